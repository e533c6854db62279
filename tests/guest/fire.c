/*
 * Fires what the host has written down: a program of register accesses, memory accesses and waits for each processor, in
 * the initrd (tests/fuzz/fire_program.ts writes it). Nothing is decided here but which features a device may be asked for.
 */
#include <stdbool.h>

#include "cmdline.h"
#include "cpu.h"
#include "memory.h"
#include "print.h"
#include "ring0.h"
#include "smp.h"
#include "tests.h"
#include "virtio.h"

#define FIRE_MAGIC 0x45524946u

/* The low byte of an instruction's first word; what is above it, and the words behind it, are its operands. */
enum {
  FIRE_END,
  FIRE_CASE,       /* number: for reports */
  FIRE_DEVICE,     /* number: registers are those of this device from here on */
  FIRE_WRITE,      /* size, offset (16 bits) | value */
  FIRE_READ,       /* size, offset (16 bits) */
  FIRE_POKE,       /* bytes (24 bits) | address, 2 words | data */
  FIRE_FILL,       /* byte | address, 2 words | bytes */
  FIRE_NEGOTIATE,  /* - | mask of the features in word 0 */
  FIRE_PAUSE,      /* - | cycles */
  FIRE_FLIP,       /* size | address, 2 words | one value, 2 words | the other, 2 words | times */
  FIRE_RESET,      /* and waits until it is done */
  FIRE_AWAIT,      /* value (16 bits in the upper half) | address, 2 words: until it is there */
  FIRE_AT_MOST,    /* the same: fails when there is more */
  FIRE_CHECK,      /* - | address, 2 words | bytes | their hash */
  FIRE_BARRIER,    /* until all processors are here */
};

/* Cycles a device may take to finish what is in flight: seconds on any machine. */
#define PATIENCE 60000000000ull
/* Looks at the status after a reset that another processor may undo. */
#define RESET_LOOKS 200

#define MMIO_DEVICE_FEATURES 0x010
#define MMIO_DEVICE_FEATURES_SEL 0x014
#define MMIO_DRIVER_FEATURES 0x020
#define MMIO_DRIVER_FEATURES_SEL 0x024
#define MMIO_STATUS 0x070
#define FEATURE_WORDS 4
#define STATUS_DRIVER 3
#define STATUS_FEATURES_OK 0xb

#define HASH_START 2166136261u
#define HASH_FACTOR 16777619u

static const uint32_t *program;
static uint32_t at_barrier;
static uint64_t shots, checks;
static struct spinlock report;

struct shooter {
  const uint32_t *at;
  uintptr_t base;
  uint32_t number, device;
  uint32_t barriers;
  uint64_t shots, checks;
};

static uintptr_t address(const uint32_t *words) {
  return (uintptr_t)((uint64_t)words[1] << 32 | words[0]);
}

/* What has failed is one line; the machine ends, or others would go on changing what is to be looked at. */
__attribute__((noreturn)) static void fail(const struct shooter *shooter, const char *what, uint64_t where,
                                           uint64_t value) {
  spin_lock(&report);     /* for good */
  print("case ");
  print_dec(shooter->number);
  print(" device ");
  print_dec(shooter->device);
  print(" ");
  print(what);
  print(" 0x");
  print_hex(where, 16);
  print(" ");
  print_dec(value);
  print("\n");
  leave(2);
}

static void write_register(uintptr_t where, uint32_t size, uint32_t value) {
  switch (size) {
    case 1: mmio_write8(where, (uint8_t)value); break;
    case 2: mmio_write16(where, (uint16_t)value); break;
    case 8: mmio_write64(where, (uint64_t)value << 32 | value); break;
    default: mmio_write32(where, value);
  }
}

static void read_register(uintptr_t where, uint32_t size) {
  switch (size) {
    case 1: mmio_read8(where); break;
    case 2: mmio_read16(where); break;
    case 8: mmio_read64(where); break;
    default: mmio_read32(where);
  }
}

static bool reset(uintptr_t base, uint64_t looks) {
  mmio_write32(base + MMIO_STATUS, 0);
  while (looks--) {
    if (mmio_read32(base + MMIO_STATUS) == 0) return true;
    cpu_relax();
  }
  return false;
}

static void accept(uintptr_t base, const uint32_t *offered, uint32_t mask) {
  for (uint32_t word = 0; word < FEATURE_WORDS; word++) {
    mmio_write32(base + MMIO_DRIVER_FEATURES_SEL, word);
    mmio_write32(base + MMIO_DRIVER_FEATURES, word ? offered[word] : offered[word] & mask);
  }
  mmio_write32(base + MMIO_STATUS, STATUS_FEATURES_OK);
}

/* A device that does not take some of its features gets all of them. */
static void negotiate(uintptr_t base, uint32_t mask) {
  uint32_t offered[FEATURE_WORDS];
  if (!reset(base, RESET_LOOKS)) return;
  mmio_write32(base + MMIO_STATUS, 1);
  mmio_write32(base + MMIO_STATUS, STATUS_DRIVER);
  for (uint32_t word = 0; word < FEATURE_WORDS; word++) {
    mmio_write32(base + MMIO_DEVICE_FEATURES_SEL, word);
    offered[word] = mmio_read32(base + MMIO_DEVICE_FEATURES);
  }
  accept(base, offered, mask);
  if (mmio_read32(base + MMIO_STATUS) == STATUS_FEATURES_OK || !reset(base, RESET_LOOKS)) return;
  mmio_write32(base + MMIO_STATUS, STATUS_DRIVER);
  accept(base, offered, ~0u);
}

static void store(uintptr_t where, uint32_t size, uint64_t value) {
  switch (size) {
    case 1: *(volatile uint8_t *)where = (uint8_t)value; break;
    case 2: *(volatile uint16_t *)where = (uint16_t)value; break;
    case 4: *(volatile uint32_t *)where = (uint32_t)value; break;
    default: *(volatile uint64_t *)where = value;
  }
}

static void flip(const uint32_t *words, uint32_t size) {
  uint64_t one = (uint64_t)words[3] << 32 | words[2], other = (uint64_t)words[5] << 32 | words[4];
  for (uint32_t i = 0; i < words[6]; i++) {
    store(address(words), size, other);
    store(address(words), size, one);
  }
}

static uint32_t hash(const uint8_t *bytes, uint32_t length) {
  uint32_t value = HASH_START;
  while (length--) value = (value ^ *bytes++) * HASH_FACTOR;
  return value;
}

static void wait_for(const struct shooter *shooter, const volatile uint16_t *where, uint16_t value) {
  uint64_t begin = cycles();
  while (*where != value) {
    if (cycles() - begin > PATIENCE) fail(shooter, "was not served", (uintptr_t)where, *where);
    cpu_relax();
  }
}

static void wait_for_reset(const struct shooter *shooter) {
  uint64_t begin = cycles();
  mmio_write32(shooter->base + MMIO_STATUS, 0);
  for (uint32_t status; (status = mmio_read32(shooter->base + MMIO_STATUS)) != 0; cpu_relax()) {
    if (cycles() - begin > PATIENCE) fail(shooter, "was not reset", shooter->base, status);
  }
}

static void check(struct shooter *shooter, const uint32_t *words) {
  uint32_t found = hash((const uint8_t *)address(words), words[2]);
  if (found != words[3]) fail(shooter, "changed", address(words), words[2]);
  shooter->checks++;
}

static void meet(struct shooter *shooter) {
  uint32_t all = ++shooter->barriers * smp_count();
  __atomic_add_fetch(&at_barrier, 1, __ATOMIC_SEQ_CST);
  while (__atomic_load_n(&at_barrier, __ATOMIC_SEQ_CST) < all) cpu_relax();
}

/* One instruction; false at the end. */
static bool shoot(struct shooter *shooter) {
  const uint32_t *words = shooter->at + 1;
  uint32_t first = shooter->at[0], small = first >> 8 & 0xff, offset = first >> 16;
  shooter->at++;
  switch (first & 0xff) {
    case FIRE_END:
      return false;
    case FIRE_CASE:
      shooter->number = first >> 8;
      break;
    case FIRE_DEVICE:
      shooter->device = small;
      shooter->base = virtio_find(0, small)->base;
      break;
    case FIRE_WRITE:
      shooter->at += 1;
      shooter->shots++;
      write_register(shooter->base + offset, small, words[0]);
      break;
    case FIRE_READ:
      shooter->shots++;
      read_register(shooter->base + offset, small);
      break;
    case FIRE_POKE:
      shooter->at += 2 + ((first >> 8) + 3) / 4;
      memcpy((void *)address(words), words + 2, first >> 8);
      break;
    case FIRE_FILL:
      shooter->at += 3;
      memset((void *)address(words), (int)small, words[2]);
      break;
    case FIRE_NEGOTIATE:
      shooter->at += 1;
      negotiate(shooter->base, words[0]);
      break;
    case FIRE_PAUSE:
      shooter->at += 1;
      for (uint64_t begin = cycles(); cycles() - begin < words[0];) cpu_relax();
      break;
    case FIRE_FLIP:
      shooter->at += 7;
      flip(words, small);
      break;
    case FIRE_RESET:
      wait_for_reset(shooter);
      break;
    case FIRE_AWAIT:
      shooter->at += 2;
      wait_for(shooter, (const volatile uint16_t *)address(words), (uint16_t)offset);
      break;
    case FIRE_AT_MOST: {
      shooter->at += 2;
      uint16_t value = *(const volatile uint16_t *)address(words);
      if (value > offset) fail(shooter, "gave back more than there was", address(words), value);
      shooter->checks++;
      break;
    }
    case FIRE_CHECK:
      shooter->at += 4;
      check(shooter, words);
      break;
    case FIRE_BARRIER:
      meet(shooter);
      break;
    default:
      fail(shooter, "is no instruction", (uintptr_t)(words - 1), first);
  }
  return true;
}

static void fire(unsigned cpu) {
  struct shooter shooter = { .at = program + program[2 + cpu] / 4 };
  while (shoot(&shooter)) {
  }
  __atomic_add_fetch(&shots, shooter.shots, __ATOMIC_SEQ_CST);
  __atomic_add_fetch(&checks, shooter.checks, __ATOMIC_SEQ_CST);
}

/* The program is copied below what it may have devices write to: no case may change the cases behind it. */
uint8_t test_fire(void) {
  const struct memory_range *module = boot_module();
  if (module->size < 8) die("the program to fire is the initrd, and there is none");
  uint32_t *copy = memory_take(module->size);
  memcpy(copy, (const void *)module->base, module->size);
  program = copy;
  if (program[0] != FIRE_MAGIC) die("the initrd is no program to fire");
  if (program[1] != smp_count()) die("the program is for another number of processors");
  if ((uintptr_t)copy + module->size > cmdline_number("below", ~0ull)) die("the program is too long");
  smp_run(fire);
  print_field("shots", shots);
  print_field("checks", checks);
  return 0;
}
