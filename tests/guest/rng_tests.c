/* Tests of virtio-rng (virtio 1.4, 5.4). */
#include "block.h"
#include "cmdline.h"
#include "cpu.h"
#include "memory.h"
#include "print.h"
#include "ring0.h"
#include "tests.h"

#define GREEDY_BUFFER (1u << 20)

static struct virtqueue requests;
static struct block disk;

static void rng_open(void) {
  struct virtio_device *device = virtio_find(VIRTIO_ID_RNG, 0);
  virtio_negotiate(device, 0);
  if (!virtio_queue(device, &requests, 0)) die("the entropy device has no queue");
  virtio_driver_ok(device);
}

static void rng_submit(uint8_t *buffer, uint32_t length, uint16_t token) {
  struct segment segment = { buffer, length, true };
  if (!virtq_add(&requests, &segment, 1, token)) die("the entropy queue is full");
}

static unsigned count_ones(const uint8_t *bytes, uint32_t length) {
  unsigned ones = 0;
  for (uint32_t i = 0; i < length; i++) {
    for (uint8_t byte = bytes[i]; byte; byte &= (uint8_t)(byte - 1)) ones++;
  }
  return ones;
}

/* Gets `bytes=` of them, `bs=` at a time: how many, how many of their bits are 1, and in how long. */
uint8_t test_rng(void) {
  uint64_t wanted = cmdline_number("bytes", 65536), bytes = 0, ones = 0;
  uint32_t block_size = (uint32_t)cmdline_number("bs", 64);
  uint8_t *buffer = memory_take(block_size);
  rng_open();
  uint64_t begin = cycles();
  while (bytes < wanted) {
    rng_submit(buffer, block_size, 0);
    virtq_kick(&requests);
    virtq_wait(&requests);
    if (requests.used_length == 0) die("a buffer came back empty");
    ones += count_ones(buffer, requests.used_length);
    bytes += requests.used_length;
  }
  uint64_t end = cycles();
  print_field("bytes", bytes);
  print_field("ones", ones);
  print_field("cycles", end - begin);
  return 0;
}

/* Keeps the entropy queue full of buffers of 1 MiB while it reads `ops=` sectors of a disk. */
uint8_t test_rng_greedy(void) {
  uint64_t ops = cmdline_number("ops", 100), taken = 0;
  uint8_t *buffer = memory_take(GREEDY_BUFFER);
  block_open(&disk, 1, SECTOR);
  rng_open();
  for (uint16_t i = 0; i < requests.size; i++) rng_submit(buffer, GREEDY_BUFFER, i);
  virtq_kick(&requests);
  uint64_t begin = cycles();
  for (uint64_t op = 0; op < ops; op++) {
    block_submit(&disk, 0, VIRTIO_BLK_T_IN, op % disk.capacity, SECTOR);
    virtq_kick(&disk.queue);
    while (virtq_take(&disk.queue) == NO_TOKEN) {
      for (uint16_t token; (token = virtq_take(&requests)) != NO_TOKEN; taken++) {
        rng_submit(buffer, GREEDY_BUFFER, token);
      }
      virtq_kick(&requests);
      cpu_relax();
    }
  }
  uint64_t end = cycles();
  print_field("buffers", taken);
  print_field("cycles", end - begin);
  return 0;
}
