/* Tests of virtio-blk. */
#include "block.h"
#include "cmdline.h"
#include "cpu.h"
#include "memory.h"
#include "print.h"
#include "ring0.h"
#include "tests.h"

#define DEFAULT_BLOCK_SIZE (128 * 1024)
#define DEFAULT_DEPTH 8
#define PATTERN_FACTOR 2654435761u     /* 2^32 / golden ratio: no two words of a block are alike */

static struct block disk;

/* A run of blocks that several requests at once walk through. */
struct transfer {
  uint32_t type, block_size, depth;
  uint64_t first_sector, bytes;
  void (*prepare)(uint8_t *data, uint64_t offset, uint32_t length);
  void (*consume)(const uint8_t *data, uint64_t offset, uint32_t length);
};

static uint8_t failed_request(const struct block_slot *slot) {
  print("error status ");
  print_dec(slot->status);
  print(" sector ");
  print_dec(slot->header.sector);
  print("\n");
  return STATUS_FAILED;
}

/* Puts the block at `offset` on a slot; returns its length, 0 past the end. */
static uint32_t start_block(const struct transfer *transfer, uint16_t slot, uint64_t offset) {
  if (offset >= transfer->bytes) return 0;
  uint64_t left = transfer->bytes - offset;
  uint32_t length = left < transfer->block_size ? (uint32_t)left : transfer->block_size;
  if (transfer->prepare) transfer->prepare(disk.slots[slot].data, offset, length);
  block_submit(&disk, slot, transfer->type, transfer->first_sector + offset / SECTOR, length);
  return length;
}

/* Keeps `depth` requests in flight until all is moved; returns the exit status. */
static uint8_t run_transfer(const struct transfer *transfer) {
  uint64_t started = 0, done = 0;
  for (uint16_t slot = 0; slot < transfer->depth; slot++) started += start_block(transfer, slot, started);
  virtq_kick(&disk.queue);
  while (done < transfer->bytes) {
    uint16_t token = virtq_wait(&disk.queue);
    do {
      struct block_slot *slot = &disk.slots[token];
      uint64_t offset = (slot->header.sector - transfer->first_sector) * SECTOR;
      if (slot->status != VIRTIO_BLK_S_OK) return failed_request(slot);
      if (transfer->consume) transfer->consume(slot->data, offset, slot->length);
      done += slot->length;
      started += start_block(transfer, token, started);
    } while ((token = virtq_take(&disk.queue)) != NO_TOKEN);
    virtq_kick(&disk.queue);
  }
  return 0;
}

static struct transfer transfer_of(uint32_t type) {
  struct transfer transfer = {
    .type = type,
    .block_size = (uint32_t)cmdline_number("bs", DEFAULT_BLOCK_SIZE),
    .depth = (uint32_t)cmdline_number("qd", DEFAULT_DEPTH),
  };
  if (transfer.block_size == 0 || transfer.block_size % SECTOR) die("bs= must be sectors of 512");
  return transfer;
}

uint8_t test_blk_info(void) {
  block_open(&disk, 1, SECTOR);
  uint64_t features = disk.device->offered;
  print_field("capacity", disk.capacity);
  print_field("ro", (features & VIRTIO_BLK_F_RO) != 0);
  print_field("blk_size",
              features & VIRTIO_BLK_F_BLK_SIZE ? virtio_config32(disk.device, BLK_CONFIG_BLK_SIZE) : 0);
  print_field("seg_max",
              features & VIRTIO_BLK_F_SEG_MAX ? virtio_config32(disk.device, BLK_CONFIG_SEG_MAX) : 0);
  print("features ");
  print_hex(features, 16);
  uint8_t status = block_request(&disk, VIRTIO_BLK_T_GET_ID, 0, BLOCK_ID_BYTES);
  print("\nid ");
  const char *id = (const char *)disk.slots[0].data;     /* NUL-terminated only if shorter than 20 */
  for (unsigned i = 0; i < BLOCK_ID_BYTES && id[i] && status == VIRTIO_BLK_S_OK; i++) print_bytes(&id[i], 1);
  print("\n");
  return status;
}

static struct block_sum sum;

static void add_to_sum(const uint8_t *data, uint64_t offset, uint32_t length) {
  block_sum_add(&sum, data, offset, length);
}

uint8_t test_blk_sum(void) {
  struct transfer transfer = transfer_of(VIRTIO_BLK_T_IN);
  block_open(&disk, transfer.depth, transfer.block_size);
  transfer.first_sector = cmdline_number("from", 0);
  transfer.bytes = cmdline_number("count", disk.capacity - transfer.first_sector) * SECTOR;
  transfer.consume = add_to_sum;
  uint8_t status = run_transfer(&transfer);
  if (status != 0) return status;
  block_sum_print(&sum, transfer.bytes);
  if (cmdline_flag("wantirq")) print_field("interrupt", virtio_acknowledge(disk.device, INTERRUPT_USED));
  return 0;
}

static uint32_t pattern_seed;

static void fill_pattern(uint8_t *data, uint64_t offset, uint32_t length) {
  uint32_t *words = (uint32_t *)data;
  uint32_t first = (uint32_t)(offset / 4) + pattern_seed;
  for (uint32_t i = 0; i < length / 4; i++) words[i] = (first + i) * PATTERN_FACTOR;
}

uint8_t test_blk_write(void) {
  struct transfer transfer = transfer_of(VIRTIO_BLK_T_OUT);
  block_open(&disk, transfer.depth, transfer.block_size);
  pattern_seed = (uint32_t)cmdline_number("seed", 0);
  transfer.first_sector = cmdline_number("sector", 0);
  transfer.bytes = cmdline_number("count", 1) * SECTOR;
  transfer.prepare = fill_pattern;
  uint8_t status = run_transfer(&transfer);
  if (status == 0 && cmdline_flag("flush")) {
    status = block_request(&disk, VIRTIO_BLK_T_FLUSH, 0, 0);
    if (status != VIRTIO_BLK_S_OK) return failed_request(&disk.slots[0]);
  }
  if (status != 0) return status;
  print("written\n");
  if (cmdline_flag("sum")) {
    struct transfer all = transfer_of(VIRTIO_BLK_T_IN);
    all.bytes = disk.capacity * SECTOR;
    all.consume = add_to_sum;
    status = run_transfer(&all);
    if (status != 0) return status;
    block_sum_print(&sum, all.bytes);
  }
  while (cmdline_flag("hang")) cpu_relax();
  return 0;
}

/* Clause 5.2.6: what DISCARD and WRITE_ZEROES carry. */
struct block_range {
  uint64_t sector;
  uint32_t count, flags;
};

#define RANGE_UNMAP 1

/* Prints the status instead of failing: refusals are what the host wants to see. */
static uint8_t run_range(uint32_t type) {
  block_open(&disk, 1, SECTOR);
  *(struct block_range *)disk.slots[0].data = (struct block_range){
    .sector = cmdline_number("sector", 0),
    .count = (uint32_t)cmdline_number("count", 1),
    .flags = cmdline_flag("unmap") ? RANGE_UNMAP : 0,
  };
  print_field("status", block_request(&disk, type, 0, sizeof(struct block_range)));
  return 0;
}

uint8_t test_blk_discard(void) {
  return run_range(VIRTIO_BLK_T_DISCARD);
}

uint8_t test_blk_zero(void) {
  return run_range(VIRTIO_BLK_T_WRITE_ZEROES);
}

uint8_t test_blk_wce(void) {
  block_open(&disk, 1, SECTOR);
  if (!(disk.device->accepted & VIRTIO_BLK_F_CONFIG_WCE)) die("the disk does not offer CONFIG_WCE");
  print_field("before", virtio_config8(disk.device, BLK_CONFIG_WRITEBACK));
  virtio_config_write8(disk.device, BLK_CONFIG_WRITEBACK, (uint8_t)cmdline_number("value", 1));
  print_field("writeback", virtio_config8(disk.device, BLK_CONFIG_WRITEBACK));
  return 0;
}

static volatile uint32_t block_interrupts;

static void on_block(void) {
  if (virtio_acknowledge(disk.device, INTERRUPT_USED)) block_interrupts++;
}

/* Ring 0: waits for every request by a real interrupt. */
static void read_by_interrupt(uint64_t count) {
  irq_route(disk.device->irq, on_block);
  disk.queue.want_interrupts = true;
  for (uint64_t i = 0; i < count; i++) {
    block_submit(&disk, 0, VIRTIO_BLK_T_IN, i % disk.capacity, SECTOR);
    virtq_kick(&disk.queue);
    /* sti takes effect after hlt began, so an interrupt in between cannot be slept through. */
    while (block_interrupts <= i) asm volatile("sti; hlt; cli" : : : "memory");
    if (virtq_take(&disk.queue) == NO_TOKEN) die("an interrupt came before its used entry");
  }
}

/*
 * The same for time. It counts requests: a monitor whose disk has a thread may deliver the interrupt of the polled
 * request below only now, so an interrupt does not yet say that a request is done.
 */
static void sleep_for_each(uint64_t count) {
  irq_route(disk.device->irq, on_block);
  for (uint64_t i = 0; i < count; i++) {
    block_submit(&disk, 0, VIRTIO_BLK_T_IN, i % disk.capacity, SECTOR);
    virtq_kick(&disk.queue);
    while (virtq_take(&disk.queue) == NO_TOKEN) asm volatile("sti; hlt; cli" : : : "memory");
  }
}

uint8_t test_blk_irq(void) {
  block_open(&disk, 1, SECTOR);
  if (disk.device->irq > 15) die("the interrupt is not one of the PIC's");
  /* One polled read also makes the queue tell its wish for interrupts anew (virtq_take). */
  disk.queue.want_interrupts = true;
  block_request(&disk, VIRTIO_BLK_T_IN, 0, SECTOR);
  virtio_acknowledge(disk.device, INTERRUPT_USED);
  uint64_t count = cmdline_number("count", 10);
  if (cmdline_flag("timed")) {
    uint64_t begin = cycles();
    ring0_call(sleep_for_each, count);
    print_result(count, count * SECTOR, cycles() - begin);
  } else {
    ring0_call(read_by_interrupt, count);
    print_field("interrupts", block_interrupts);
  }
  return 0;
}
