/* virtio-blk (virtio 1.4, 5.2): one request queue, up to BLOCK_SLOTS requests in flight. */
#ifndef BLOCK_H
#define BLOCK_H

#include "virtio.h"

#define SECTOR 512u
#define BLOCK_SLOTS 128

/* Feature bits, clause 5.2.3. */
#define VIRTIO_BLK_F_SEG_MAX FEATURE(2)
#define VIRTIO_BLK_F_RO FEATURE(5)
#define VIRTIO_BLK_F_BLK_SIZE FEATURE(6)
#define VIRTIO_BLK_F_FLUSH FEATURE(9)
#define VIRTIO_BLK_F_CONFIG_WCE FEATURE(11)
#define VIRTIO_BLK_F_DISCARD FEATURE(13)
#define VIRTIO_BLK_F_WRITE_ZEROES FEATURE(14)

/* Request types, clause 5.2.6. */
#define VIRTIO_BLK_T_IN 0
#define VIRTIO_BLK_T_OUT 1
#define VIRTIO_BLK_T_FLUSH 4
#define VIRTIO_BLK_T_GET_ID 8
#define VIRTIO_BLK_T_DISCARD 11
#define VIRTIO_BLK_T_WRITE_ZEROES 13
#define VIRTIO_BLK_S_OK 0
#define BLOCK_ID_BYTES 20

/* Configuration fields, clause 5.2.4. */
#define BLK_CONFIG_CAPACITY 0x00
#define BLK_CONFIG_SEG_MAX 0x0c
#define BLK_CONFIG_BLK_SIZE 0x14
#define BLK_CONFIG_WRITEBACK 0x20

struct block_header {
  uint32_t type, reserved;
  uint64_t sector;
};

/* Everything of one request in flight; its number is the queue's token. */
struct block_slot {
  struct block_header header;
  uint8_t *data;
  uint32_t length;
  volatile uint8_t status;
};

struct block {
  struct virtio_device *device;
  struct virtqueue queue;
  uint64_t capacity;           /* in sectors */
  struct block_slot *slots;
};

/* Brings up the disk that `disk=` names, with `buffer` bytes for each of `slots` requests. */
void block_open(struct block *disk, unsigned slots, uint32_t buffer);

/* The same for the n-th disk. */
void block_open_nth(struct block *disk, unsigned n, unsigned slots, uint32_t buffer);

/* Queues a request on a slot; the device sees it at the next virtq_kick. */
void block_submit(struct block *disk, uint16_t slot, uint32_t type, uint64_t sector, uint32_t length);

/* One request from start to end on slot 0; returns its status. */
uint8_t block_request(struct block *disk, uint32_t type, uint64_t sector, uint32_t length);

/* Sums over the words of a disk, each weighted by its place: blocks may come in any order but not in any place. */
struct block_sum {
  uint32_t plain, weighted;
};

/* Adds `length` bytes that are `offset` bytes into the range summed. */
void block_sum_add(struct block_sum *sum, const uint8_t *data, uint64_t offset, uint32_t length);

/* "sum HEX16 bytes N" */
void block_sum_print(const struct block_sum *sum, uint64_t bytes);

#endif
