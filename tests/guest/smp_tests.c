/* Tests of several processors. */
#include "block.h"
#include "cmdline.h"
#include "cpu.h"
#include "print.h"
#include "ring0.h"
#include "serial.h"
#include "smp.h"
#include "tests.h"
#include "virtio.h"

#define DEFAULT_ROUNDS 1000

/* What CPUID says to one processor: the leaves that tell of topology. */
struct identity {
  uint32_t apic, initial, reserved, highest, x2apic, bits, logical;
};

static struct identity identities[CPUS_MAX];

struct cpuid_words {
  uint32_t eax, ebx, ecx, edx;
};

static struct cpuid_words cpuid(uint32_t leaf, uint32_t subleaf) {
  struct cpuid_words words;
  asm volatile("cpuid"
               : "=a"(words.eax), "=b"(words.ebx), "=c"(words.ecx), "=d"(words.edx)
               : "a"(leaf), "c"(subleaf));
  return words;
}

/* Ring 0: where only that is emulated, CPUID in ring 3 is the host's. */
static void read_identity(uint64_t cpu) {
  struct identity *identity = &identities[cpu];
  struct cpuid_words features = cpuid(1, 0);
  identity->initial = features.ebx >> 24;
  identity->reserved = features.ebx >> 16 & 0xff;
  identity->highest = cpuid(0, 0).eax;
  if (identity->highest < 0xb) return;
  struct cpuid_words cores = cpuid(0xb, 1);
  identity->x2apic = cores.edx;
  identity->bits = cores.eax & 31;
  identity->logical = cores.ebx & 0xffff;
}

static void note_identity(unsigned cpu) {
  identities[cpu].apic = local_apic_id();
  ring0_call(read_identity, cpu);
}

static void print_word(const char *name, uint64_t value) {
  print(" ");
  print(name);
  print(" ");
  print_dec(value);
}

uint8_t test_smp_start(void) {
  smp_run(note_identity);
  for (unsigned cpu = 0; cpu < smp_count(); cpu++) {
    const struct identity *identity = &identities[cpu];
    print("cpu ");
    print_dec(cpu);
    print_word("apic", identity->apic);
    print_word("initial", identity->initial);
    print_word("reserved", identity->reserved);
    if (identity->highest >= 0xb) {
      print_word("x2apic", identity->x2apic);
      print_word("bits", identity->bits);
      print_word("logical", identity->logical);
    }
    print("\n");
  }
  return 0;
}

static uint64_t rounds;
static uint64_t atomic_total, locked_total, wrong;
static struct spinlock total_lock;

static void count_up(unsigned cpu) {
  (void)cpu;
  for (uint64_t i = 0; i < rounds; i++) {
    __atomic_add_fetch(&atomic_total, 1, __ATOMIC_SEQ_CST);
    spin_lock(&total_lock);
    locked_total++;
    spin_unlock(&total_lock);
  }
}

uint8_t test_smp_count(void) {
  rounds = cmdline_number("count", DEFAULT_ROUNDS);
  smp_run(count_up);
  print_field("atomic", atomic_total);
  print_field("locked", locked_total);
  return 0;
}

static uint64_t latest_cycles, most_behind;

/* The latest counter value anybody has published must never be ahead of ours. */
static void compare_cycles(unsigned cpu) {
  (void)cpu;
  for (uint64_t i = 0; i < rounds; i++) {
    uint64_t latest = __atomic_load_n(&latest_cycles, __ATOMIC_SEQ_CST);
    uint64_t now = ordered_cycles();
    if (now < latest) {
      __atomic_add_fetch(&wrong, 1, __ATOMIC_SEQ_CST);
      __atomic_store_n(&most_behind, latest - now, __ATOMIC_SEQ_CST);
    }
    while (latest < now && !__atomic_compare_exchange_n(&latest_cycles, &latest, now, false,
                                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
  }
}

uint8_t test_smp_tsc(void) {
  rounds = cmdline_number("count", DEFAULT_ROUNDS);
  smp_run(compare_cycles);
  print_field("backwards", wrong);
  if (wrong) print_field("behind", most_behind);
  return 0;
}

/* smp-work: what a round does is chosen by words. */
static bool with_mmio, with_serial, with_blk;
static struct block disk;
static struct spinlock disk_lock, register_lock;
static struct virtio_device *device;
static uint64_t device_features, blocks, next_block;
static uint32_t block_bytes;
static struct block_sum sums[CPUS_MAX];
static volatile bool slot_done[BLOCK_SLOTS];

static void expect(bool right) {
  if (!right) __atomic_add_fetch(&wrong, 1, __ATOMIC_SEQ_CST);
}

/* Registers that are read alone, registers in pairs under a lock, and words the processors' threads share. */
static void check_registers(unsigned cpu) {
  expect(mmio_read32(device->base + MMIO_MAGIC) == 0x74726976);
  expect((virtio_acknowledge(device, 0) & ~(INTERRUPT_USED | INTERRUPT_CONFIG)) == 0);
  spin_lock(&register_lock);
  expect(virtio_offered(device) == device_features);
  serial_scratch_write((uint8_t)cpu);
  expect(serial_scratch_read() == (uint8_t)cpu);
  spin_unlock(&register_lock);
}

/* Whoever looks takes what is finished, for all. */
static void collect_blocks(void) {
  spin_lock(&disk_lock);
  for (uint16_t slot; (slot = virtq_take(&disk.queue)) != NO_TOKEN;) slot_done[slot] = true;
  spin_unlock(&disk_lock);
}

/* Reads the next block nobody has read; false when there is none left. */
static bool read_block(unsigned cpu) {
  uint64_t block = __atomic_fetch_add(&next_block, 1, __ATOMIC_SEQ_CST);
  if (block >= blocks) return false;
  uint16_t slot = (uint16_t)cpu;
  spin_lock(&disk_lock);
  slot_done[slot] = false;
  block_submit(&disk, slot, VIRTIO_BLK_T_IN, block * (block_bytes / SECTOR), block_bytes);
  virtq_kick(&disk.queue);
  spin_unlock(&disk_lock);
  while (!slot_done[slot]) {
    collect_blocks();
    cpu_relax();
  }
  expect(disk.slots[slot].status == VIRTIO_BLK_S_OK);
  block_sum_add(&sums[cpu], disk.slots[slot].data, block * block_bytes, block_bytes);
  return true;
}

static void work(unsigned cpu) {
  for (uint64_t i = 0; i < rounds; i++) {
    if (with_mmio) check_registers(cpu);
    if (with_serial) serial_put_raw((uint8_t)('A' + cpu % 26));
    if (with_blk) read_block(cpu);
  }
  while (with_blk && read_block(cpu)) {
  }
}

uint8_t test_smp_work(void) {
  rounds = cmdline_number("count", DEFAULT_ROUNDS);
  with_mmio = cmdline_flag("mmio");
  with_serial = cmdline_flag("serial");
  with_blk = cmdline_flag("blk");
  block_bytes = (uint32_t)cmdline_number("bs", 4096);
  if (with_blk) {
    block_open(&disk, smp_count(), block_bytes);
    blocks = disk.capacity * SECTOR / block_bytes;
  }
  if (with_mmio) {
    device = virtio_find(0, 0);
    device_features = virtio_offered(device);
  }
  smp_run(work);
  struct block_sum sum = { 0, 0 };
  for (unsigned cpu = 0; cpu < smp_count(); cpu++) {
    sum.plain += sums[cpu].plain;
    sum.weighted += sums[cpu].weighted;
  }
  print("\n");
  print_field("wrong", wrong);
  if (with_blk) block_sum_print(&sum, blocks * block_bytes);
  return 0;
}

static unsigned ender;

static void end_or_wait(unsigned cpu) {
  if (cpu == ender) finish((uint8_t)cmdline_number("status", 0));
  if (cmdline_flag("halt")) ring0_call(halt_forever, 0);
  for (;;) cpu_relax();
}

uint8_t test_smp_end(void) {
  ender = (unsigned)cmdline_number("on", 0);
  smp_run(end_or_wait);
  return 0;
}
