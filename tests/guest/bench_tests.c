/* Benchmarks: the time-stamp counter around a loop, reported as JSON. */
#include "block.h"
#include "cmdline.h"
#include "cpu.h"
#include "print.h"
#include "ring0.h"
#include "tests.h"

#define DEFAULT_OPS 10000

#define DISKS_MAX 4

static struct block disks[DISKS_MAX];
static unsigned disk_count;

struct load {
  bool random, write;
  uint32_t block_size;
  uint64_t blocks;             /* whole blocks on the disk */
  uint64_t ops;                /* to be measured */
  uint64_t started, last;      /* so many will have been started at the end */
  uint64_t random_state;
};

/* Marsaglia's xorshift64: cheap, and the same sequence in every run. */
static uint64_t next_random(uint64_t *state) {
  uint64_t x = *state;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return *state = x;
}

static struct load load_of_cmdline(void) {
  const char *mode = cmdline_text("mode");
  if (!mode) mode = "randread";
  struct load load = {
    .random = same_text(mode, "randread") || same_text(mode, "randwrite"),
    .write = same_text(mode, "seqwrite") || same_text(mode, "randwrite"),
    .block_size = (uint32_t)cmdline_number("bs", 4096),
    .ops = cmdline_number("ops", DEFAULT_OPS),
    .random_state = cmdline_number("seed", 0x9e3779b97f4a7c15),
  };
  if (!load.random && !load.write && !same_text(mode, "seqread")) die("mode= is not known");
  if (load.block_size == 0 || load.block_size % SECTOR) die("bs= must be sectors of 512");
  return load;
}

static void start_request(struct load *load, struct block *disk, uint16_t slot) {
  uint64_t block = load->random ? next_random(&load->random_state) : load->started;
  uint64_t sector = block % load->blocks * (load->block_size / SECTOR);
  block_submit(disk, slot, load->write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, sector, load->block_size);
  load->started++;
}

/* Takes what one disk has finished, refills, and notifies once. Returns how many finished; does not wait. */
static uint64_t serve_completions(struct load *load, struct block *disk) {
  uint64_t done = 0;
  for (uint16_t slot; (slot = virtq_take(&disk->queue)) != NO_TOKEN; done++) {
    if (disk->slots[slot].status != VIRTIO_BLK_S_OK) die("a request of the benchmark failed");
    if (load->started < load->last) start_request(load, disk, slot);
  }
  if (done) virtq_kick(&disk->queue);
  return done;
}

/* `disks=`: so many, each with `qd=` requests in flight; the load goes to all of them. */
static void open_disks(struct load *load, unsigned depth) {
  disk_count = (unsigned)cmdline_number("disks", 1);
  if (disk_count == 0 || disk_count > DISKS_MAX) die("disks= must be 1..4");
  load->blocks = ~0ull;
  for (unsigned i = 0; i < disk_count; i++) {
    block_open_nth(&disks[i], i + (unsigned)cmdline_number("disk", 0), depth, load->block_size);
    uint64_t blocks = disks[i].capacity / (load->block_size / SECTOR);
    if (blocks < load->blocks) load->blocks = blocks;
  }
  if (load->blocks == 0) die("the disk is smaller than bs=");
}

static void fill_disks(struct load *load, unsigned depth) {
  for (unsigned i = 0; i < disk_count; i++) {
    for (uint16_t slot = 0; slot < depth && load->started < load->last; slot++) {
      start_request(load, &disks[i], slot);
    }
    virtq_kick(&disks[i].queue);
  }
}

static uint64_t serve_disks(struct load *load) {
  uint64_t done = 0;
  for (unsigned i = 0; i < disk_count; i++) done += serve_completions(load, &disks[i]);
  if (done == 0) cpu_relax();
  return done;
}

/* `ramp=CYCLES`: so long the load runs before it is measured, like fio's ramp_time. */
uint8_t test_blk_bench(void) {
  struct load load = load_of_cmdline();
  unsigned depth = (unsigned)cmdline_number("qd", 1);
  uint64_t ramp = cmdline_number("ramp", 0), ramped = 0;
  open_disks(&load, depth);
  load.last = ramp ? UINT64_MAX : load.ops;
  uint64_t begin = cycles();
  fill_disks(&load, depth);
  if (ramp) {
    while (cycles() - begin < ramp) ramped += serve_disks(&load);
    load.last = ramped + load.ops;
    begin = cycles();
  }
  uint64_t done = 0;
  while (done < load.ops) done += serve_disks(&load);
  uint64_t end = cycles();
  print_result(done, done * load.block_size, end - begin);
  return 0;
}

/* The two register loops; with the word `ring0` they run there, where exits are cheaper on some hosts. */
static uintptr_t bench_register;
static uint64_t bench_cycles;

static void read_loop(uint64_t count) {
  uint64_t begin = cycles();
  while (count--) mmio_read32(bench_register);
  bench_cycles = cycles() - begin;
}

static void kick_loop(uint64_t count) {
  uint64_t begin = cycles();
  while (count--) mmio_write32(bench_register, 0);
  bench_cycles = cycles() - begin;
}

static void run_loop(void (*loop)(uint64_t)) {
  uint64_t count = cmdline_number("count", DEFAULT_OPS);
  if (cmdline_flag("ring0")) {
    ring0_call(loop, count);
  } else {
    loop(count);
  }
  print_result(count, 0, bench_cycles);
}

/* `at=`: a register of a monitor that has no virtio devices, like the C loop the benchmarks compare with. */
static bool register_is_given(void) {
  bench_register = cmdline_number("at", 0);
  return bench_register != 0;
}

uint8_t test_mmio_bench(void) {
  if (register_is_given()) {
    run_loop(read_loop);
    return 0;
  }
  struct virtio_device *device = virtio_find(0, (unsigned)cmdline_number("device", 0));
  bench_register = device->base + cmdline_number("reg", MMIO_MAGIC);
  run_loop(read_loop);
  return 0;
}

/* Queue 0 stays empty: what is measured is the way of the notification. */
uint8_t test_kick_bench(void) {
  static struct virtqueue queue;
  if (register_is_given()) {
    run_loop(kick_loop);
    return 0;
  }
  struct virtio_device *device = virtio_find(0, (unsigned)cmdline_number("device", 0));
  virtio_negotiate(device, 0);
  if (!virtio_queue(device, &queue, 0)) die("the device has no queue 0");
  virtio_driver_ok(device);
  bench_register = device->base + MMIO_QUEUE_NOTIFY;
  run_loop(kick_loop);
  return 0;
}
