/* kvmclock on several processors (Documentation/virt/kvm/x86/msr.rst, MSR_KVM_SYSTEM_TIME_NEW). */
#include "cmdline.h"
#include "cpu.h"
#include "memory.h"
#include "print.h"
#include "ring0.h"
#include "smp.h"
#include "tests.h"

#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01
#define CLOCK_ENABLED 1
#define CPUID_KVM_FEATURES 0x40000001
#define FEATURE_CLOCKSOURCE2 8
#define CLOCK_STABLE 1             /* one master clock: times of different processors may be compared */
#define CLOCK_STOPPED 2            /* set by KVM when the monitor says that the guest was paused */

/* struct pvclock_vcpu_time_info; the host writes it. */
struct clock {
  volatile uint32_t version;
  uint32_t padding;
  volatile uint64_t timestamp, system_time;
  volatile uint32_t multiplier;
  volatile int8_t shift;
  volatile uint8_t flags;
  uint8_t rest[34];                /* two in one cache line, or across pages, would be read wrongly */
};

static struct clock *clocks;
static uint64_t rounds, latest_time, wrong;
static uint32_t enabled, stable, stopped;

static void enable_clock(uint64_t cpu) {
  uint32_t features, b, c, d;
  asm volatile("cpuid" : "=a"(features), "=b"(b), "=c"(c), "=d"(d) : "a"(CPUID_KVM_FEATURES), "c"(0));
  if (!(features & FEATURE_CLOCKSOURCE2)) die("KVM offers no kvmclock");
  uint32_t address = (uint32_t)(uintptr_t)&clocks[cpu] | CLOCK_ENABLED;
  asm volatile("wrmsr" : : "c"(MSR_KVM_SYSTEM_TIME_NEW), "a"(address), "d"(0) : "memory");
  __atomic_add_fetch(&enabled, 1, __ATOMIC_SEQ_CST);
}

/* Nanoseconds; the host changes the parameters under an odd version. */
static uint64_t clock_time(const struct clock *clock) {
  uint64_t time;
  uint32_t version;
  do {
    version = clock->version & ~1u;
    compiler_barrier();
    uint64_t delta = ordered_cycles() - clock->timestamp;
    delta = clock->shift < 0 ? delta >> -clock->shift : delta << clock->shift;
    time = clock->system_time + (uint64_t)((unsigned __int128)delta * clock->multiplier >> 32);
    compiler_barrier();
  } while (clock->version != version);
  return time;
}

static void compare_times(unsigned cpu) {
  ring0_call(enable_clock, cpu);
  while (__atomic_load_n(&enabled, __ATOMIC_SEQ_CST) < smp_count()) cpu_relax();
  for (uint64_t i = 0; i < rounds; i++) {
    uint64_t latest = __atomic_load_n(&latest_time, __ATOMIC_SEQ_CST);
    uint64_t now = clock_time(&clocks[cpu]);
    if (now < latest) __atomic_add_fetch(&wrong, 1, __ATOMIC_SEQ_CST);
    while (latest < now && !__atomic_compare_exchange_n(&latest_time, &latest, now, false,
                                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
  }
  if (clocks[cpu].flags & CLOCK_STABLE) __atomic_add_fetch(&stable, 1, __ATOMIC_SEQ_CST);
}

uint8_t test_smp_clock(void) {
  clocks = memory_take(CPUS_MAX * sizeof *clocks);
  rounds = cmdline_number("count", 1000);
  smp_run(compare_times);
  print_field("stable", stable);
  print_field("backwards", wrong);
  return 0;
}

static void await_stop(unsigned cpu) {
  ring0_call(enable_clock, cpu);
  while (__atomic_load_n(&enabled, __ATOMIC_SEQ_CST) < smp_count()) cpu_relax();
  if (cpu == 0) print("ready\n");
  while (!(clocks[cpu].flags & CLOCK_STOPPED)) cpu_relax();
  __atomic_add_fetch(&stopped, 1, __ATOMIC_SEQ_CST);
}

uint8_t test_smp_stopped(void) {
  clocks = memory_take(CPUS_MAX * sizeof *clocks);
  smp_run(await_stop);
  print_field("stopped", stopped);
  return 0;
}
