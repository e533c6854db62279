/* INIT and SIPI by the local APIC (Intel SDM vol. 3, 9.4.4), and the MP table (MP specification 1.4, 4). */
#include "smp.h"

#include "cmdline.h"
#include "cpu.h"
#include "layout.h"
#include "memory.h"
#include "print.h"
#include "ring0.h"

/* Below 640 KiB, where a SIPI can point: the loader's command line, of which we have a copy. */
#define AP_PAGE 0x8000

#define APIC_ID 0xfee00020
#define APIC_ICR_LOW 0xfee00300
#define APIC_ICR_HIGH 0xfee00310
#define ICR_PENDING 0x1000
#define ICR_INIT 0x4500            /* assert, edge */
#define ICR_STARTUP 0x4600         /* plus the page's number */

/* How long a processor may take to come, in cycles: seconds on any machine. */
#define PATIENCE 40000000000ull

#define EBDA 0x9fc00
#define MP_TABLE_AT 4              /* in the floating pointer */
#define MP_ENTRY_COUNT 34
#define MP_ENTRIES 44
#define MP_PROCESSOR 0
#define MP_PROCESSOR_BYTES 20
#define MP_OTHER_BYTES 8
#define MP_ENABLED 1

#define KERNEL_STACK_BYTES 8192
#define USER_STACK_BYTES 16384
#define TSS_RSP0 4
#define TSS_IO_MAP 102
#define DESCRIPTOR_BUSY (2ull << 40)

extern char ap_code[], ap_code_end[], gdt[];

/* What entry.S loads on the way up; layout.h has the offsets. */
struct __attribute__((packed, aligned(8))) ap_launch {
  uint16_t gdt_limit;
  uint64_t gdt;
  uint8_t padding[6];
  uint64_t kernel_stack, user_stack, cpu;
};
_Static_assert(__builtin_offsetof(struct ap_launch, kernel_stack) == AP_KERNEL_STACK, "layout.h");
_Static_assert(__builtin_offsetof(struct ap_launch, user_stack) == AP_USER_STACK, "layout.h");
_Static_assert(__builtin_offsetof(struct ap_launch, cpu) == AP_CPU, "layout.h");

struct ap_launch ap_launch;
static cpu_work ap_work;
static uint32_t arrived, finished;
static unsigned count;
static uint8_t apic_ids[CPUS_MAX];

void spin_lock(struct spinlock *lock) {
  while (__atomic_exchange_n(&lock->taken, 1, __ATOMIC_ACQUIRE)) cpu_relax();
}

void spin_unlock(struct spinlock *lock) {
  __atomic_store_n(&lock->taken, 0, __ATOMIC_RELEASE);
}

static unsigned listed_processors(void) {
  const uint8_t *pointer = (const void *)EBDA;
  if (memcmp(pointer, "_MP_", 4)) return 0;
  const uint8_t *table = (const void *)(uintptr_t)*(const uint32_t *)(pointer + MP_TABLE_AT);
  unsigned entries = *(const uint16_t *)(table + MP_ENTRY_COUNT), found = 0;
  const uint8_t *entry = table + MP_ENTRIES;
  for (unsigned i = 0; i < entries; i++) {
    bool processor = entry[0] == MP_PROCESSOR;
    if (processor && entry[3] & MP_ENABLED && found < CPUS_MAX) apic_ids[found++] = entry[1];
    entry += processor ? MP_PROCESSOR_BYTES : MP_OTHER_BYTES;
  }
  return found;
}

unsigned smp_count(void) {
  if (count) return count;
  unsigned listed = listed_processors();
  for (unsigned i = listed; i < CPUS_MAX; i++) apic_ids[i] = (uint8_t)i;
  count = (unsigned)cmdline_number("cpus", listed ? listed : 1);
  if (listed && count > listed) count = listed;
  if (count == 0 || count > CPUS_MAX) die("cpus= must be 1 to 64");
  return count;
}

unsigned smp_apic_id(unsigned cpu) {
  return apic_ids[cpu];
}

unsigned local_apic_id(void) {
  return mmio_read32(APIC_ID) >> 24;
}

/* First C on another processor, in ring 3. */
__attribute__((noreturn)) void ap_start(uint64_t cpu);
void ap_start(uint64_t cpu) {
  __atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST);
  ap_work((unsigned)cpu);
  __atomic_add_fetch(&finished, 1, __ATOMIC_SEQ_CST);
  for (;;) ring0_call(halt_forever, 0);
}

/* Stacks, task segment and descriptors of one processor. */
static void prepare_launch(unsigned cpu) {
  uint8_t *tables = memory_take(GDT_BYTES + TSS_BYTES + IO_BITMAP_BYTES + 1);
  uint8_t *tss = tables + GDT_BYTES;
  uintptr_t kernel_stack = (uintptr_t)memory_take(KERNEL_STACK_BYTES) + KERNEL_STACK_BYTES;
  uintptr_t user_stack = (uintptr_t)memory_take(USER_STACK_BYTES) + USER_STACK_BYTES;
  *(uint64_t *)(tss + TSS_RSP0) = kernel_stack;
  *(uint16_t *)(tss + TSS_IO_MAP) = TSS_BYTES;
  tss[TSS_BYTES + IO_BITMAP_BYTES] = 0xff;
  memcpy(tables, gdt, GDT_BYTES);
  uint64_t *descriptor = (uint64_t *)(tables + TSS_SELECTOR);
  uint64_t base = (uintptr_t)tss;
  descriptor[0] = (descriptor[0] & ~(DESCRIPTOR_BUSY | 0xff0000ffffff0000)) | (base & 0xffffff) << 16 |
                  (base >> 24 & 0xff) << 56;
  descriptor[1] = base >> 32;
  ap_launch = (struct ap_launch){
    .gdt_limit = GDT_BYTES - 1,
    .gdt = (uintptr_t)tables,
    .kernel_stack = kernel_stack,
    .user_stack = user_stack - 8,  /* as if called */
    .cpu = cpu,
  };
}

static void send_ipi(unsigned apic_id, uint32_t command) {
  mmio_write32(APIC_ICR_HIGH, apic_id << 24);
  mmio_write32(APIC_ICR_LOW, command);
  while (mmio_read32(APIC_ICR_LOW) & ICR_PENDING) cpu_relax();
}

void smp_start(cpu_work work) {
  ap_work = work;
  memcpy((void *)AP_PAGE, ap_code, (size_t)(ap_code_end - ap_code));
  for (unsigned cpu = 1; cpu < smp_count(); cpu++) {
    prepare_launch(cpu);
    send_ipi(apic_ids[cpu], ICR_INIT);
    send_ipi(apic_ids[cpu], ICR_STARTUP | AP_PAGE >> 12);
    uint64_t begin = cycles();
    while (__atomic_load_n(&arrived, __ATOMIC_SEQ_CST) < cpu) {
      if (cycles() - begin > PATIENCE) {
        print_field("processor", cpu);
        die("a processor did not start");
      }
      cpu_relax();
    }
  }
}

void smp_run(cpu_work work) {
  smp_start(work);
  work(0);
  while (__atomic_load_n(&finished, __ATOMIC_SEQ_CST) + 1 < smp_count()) cpu_relax();
}
