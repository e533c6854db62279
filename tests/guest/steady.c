/* Honest work that checks itself, round by round: for whoever wants to know whether a machine is disturbed. */
#include "block.h"
#include "cmdline.h"
#include "cpu.h"
#include "memory.h"
#include "print.h"
#include "ring0.h"
#include "tests.h"

#define BLOCK_BYTES 4096u
#define BLOCKS 64u
#define RANDOM_BYTES 32u
#define KEPT_BYTES (8u << 20)
#define LINE_BYTES 32u
#define CONSOLE_TRANSMIT_QUEUE 1

static struct block disk;
static struct virtqueue entropy, console;
static struct virtio_device *console_device;

static uint32_t word_of(uint64_t round, uint32_t i) {
  return ((uint32_t)round * 40503u + i) * 2654435761u;
}

static bool write_and_read_back(uint64_t round) {
  uint64_t sector = round % BLOCKS * (BLOCK_BYTES / SECTOR);
  uint32_t *words = (uint32_t *)disk.slots[0].data;
  for (uint32_t i = 0; i < BLOCK_BYTES / 4; i++) words[i] = word_of(round, i);
  if (block_request(&disk, VIRTIO_BLK_T_OUT, sector, BLOCK_BYTES) != VIRTIO_BLK_S_OK) return false;
  memset(words, 0, BLOCK_BYTES);
  if (block_request(&disk, VIRTIO_BLK_T_IN, sector, BLOCK_BYTES) != VIRTIO_BLK_S_OK) return false;
  for (uint32_t i = 0; i < BLOCK_BYTES / 4; i++) {
    if (words[i] != word_of(round, i)) return false;
  }
  return true;
}

static void serve(struct virtqueue *queue, void *buffer, uint32_t length, bool device_writes) {
  struct segment segment = { buffer, length, device_writes };
  virtq_add(queue, &segment, 1, 0);
  virtq_kick(queue);
  virtq_wait(queue);
}

/* Bytes that are all alike are not random: once in 256^31 times. */
static bool take_random(uint8_t *buffer) {
  bool differ = false;
  memset(buffer, 0, RANDOM_BYTES);
  serve(&entropy, buffer, RANDOM_BYTES, true);
  for (uint32_t i = 1; i < entropy.used_length; i++) differ |= buffer[i] != buffer[0];
  return differ && entropy.used_length == RANDOM_BYTES;
}

static void say(uint8_t *line, uint64_t round) {
  for (uint32_t i = 0; i < LINE_BYTES; i++) line[i] = generated_byte(round * LINE_BYTES + i);
  serve(&console, line, LINE_BYTES, false);
}

static void open_queue(struct virtio_device *device, struct virtqueue *queue, uint16_t index) {
  virtio_negotiate(device, 0);
  if (!virtio_queue(device, queue, index)) die("a device has no queue");
  virtio_driver_ok(device);
}

/*
 * `rounds=` times: a block written, read back and compared; random bytes; bytes to the console. Memory that nobody
 * is to touch is looked at in the end. Prints how often something was wrong, and the worst round's share of the time.
 */
uint8_t test_steady(void) {
  uint64_t rounds = cmdline_number("rounds", 1000), wrong = 0, worst = 0;
  uint32_t *kept = memory_take(KEPT_BYTES);
  uint8_t *buffer = memory_take(LINE_BYTES + RANDOM_BYTES);
  for (uint32_t i = 0; i < KEPT_BYTES / 4; i++) kept[i] = word_of(rounds, i);
  block_open(&disk, 1, BLOCK_BYTES);
  open_queue(virtio_find(VIRTIO_ID_RNG, 0), &entropy, 0);
  console_device = virtio_find(VIRTIO_ID_CONSOLE, 0);
  open_queue(console_device, &console, CONSOLE_TRANSMIT_QUEUE);
  uint64_t begin = cycles();
  for (uint64_t round = 0; round < rounds; round++) {
    uint64_t from = cycles();
    wrong += !write_and_read_back(round);
    wrong += !take_random(buffer + LINE_BYTES);
    say(buffer, round);
    uint64_t took = cycles() - from;
    if (took > worst) worst = took;
  }
  uint64_t end = cycles();
  for (uint32_t i = 0; i < KEPT_BYTES / 4; i++) wrong += kept[i] != word_of(rounds, i);
  print_field("wrong", wrong);
  print_field("worst", worst);
  print_field("cycles", end - begin);
  return 0;
}
