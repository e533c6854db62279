/* Requests of virtio-blk: header, data, status (virtio 1.4, 5.2.6). */
#include "block.h"

#include "cmdline.h"
#include "memory.h"
#include "print.h"
#include "ring0.h"

#define STATUS_UNTOUCHED 0xff      /* no status has this value: finds a device that forgot to write it */

#define WANTED                                                                           \
  (VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_RO | VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_FLUSH | \
   VIRTIO_BLK_F_CONFIG_WCE | VIRTIO_BLK_F_DISCARD | VIRTIO_BLK_F_WRITE_ZEROES)

void block_open(struct block *disk, unsigned slots, uint32_t buffer) {
  block_open_nth(disk, (unsigned)cmdline_number("disk", 0), slots, buffer);
}

void block_open_nth(struct block *disk, unsigned n, unsigned slots, uint32_t buffer) {
  if (slots == 0 || slots > BLOCK_SLOTS) die("qd= must be 1 to 128");
  disk->device = virtio_find(VIRTIO_ID_BLOCK, n);
  virtio_negotiate(disk->device, WANTED);
  if (!virtio_queue(disk->device, &disk->queue, 0)) die("the disk has no queue");
  virtio_driver_ok(disk->device);
  disk->capacity = virtio_config64(disk->device, BLK_CONFIG_CAPACITY);
  disk->slots = memory_take(slots * sizeof(struct block_slot));
  for (unsigned i = 0; i < slots; i++) disk->slots[i].data = memory_take(buffer);
}

/* Whether the data of a request goes to the guest. */
static bool is_read(uint32_t type) {
  return type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
}

void block_submit(struct block *disk, uint16_t slot, uint32_t type, uint64_t sector, uint32_t length) {
  struct block_slot *request = &disk->slots[slot];
  request->header = (struct block_header){ .type = type, .sector = sector };
  request->length = length;
  request->status = STATUS_UNTOUCHED;
  struct segment segments[3] = { { &request->header, sizeof request->header, false } };
  unsigned count = 1;
  if (length) segments[count++] = (struct segment){ request->data, length, is_read(type) };
  segments[count++] = (struct segment){ (void *)&request->status, 1, true };
  if (!virtq_add(&disk->queue, segments, count, slot)) die("the ring is too small for qd=");
}

uint8_t block_request(struct block *disk, uint32_t type, uint64_t sector, uint32_t length) {
  block_submit(disk, 0, type, sector, length);
  virtq_kick(&disk->queue);
  virtq_wait(&disk->queue);
  return disk->slots[0].status;
}

void block_sum_add(struct block_sum *sum, const uint8_t *data, uint64_t offset, uint32_t length) {
  const uint32_t *words = (const uint32_t *)data;
  uint32_t weight = (uint32_t)(offset / 4) * 2 + 1, a = sum->plain, b = sum->weighted;
  for (uint32_t i = 0; i < length / 4; i++, weight += 2) {
    a += words[i];
    b += words[i] * weight;
  }
  *sum = (struct block_sum){ a, b };
}

void block_sum_print(const struct block_sum *sum, uint64_t bytes) {
  print("sum ");
  print_hex(sum->plain, 8);
  print_hex(sum->weighted, 8);
  print(" ");
  print_field("bytes", bytes);
}
