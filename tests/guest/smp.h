/* Other processors: found, started, and given work in ring 3. */
#ifndef SMP_H
#define SMP_H

#include <stdint.h>

#define CPUS_MAX 64

/* Taken by one processor at a time. Zero is free. */
struct spinlock {
  uint32_t taken;
};

void spin_lock(struct spinlock *lock);
void spin_unlock(struct spinlock *lock);

/* Work for one processor; `cpu` is 0 for the boot processor. */
typedef void (*cpu_work)(unsigned cpu);

/* How many processors the MP table lists, at most `cpus=`; without a table, `cpus=`. */
unsigned smp_count(void);

/* The APIC id of processor `cpu` as the MP table tells it. */
unsigned smp_apic_id(unsigned cpu);

/*
 * Starts processors 1..smp_count()-1, each into `work(cpu)`; they halt when it returns. Ends the guest when one
 * does not come.
 */
void smp_start(cpu_work work);

/* The same and runs work(0), then waits for everybody's end. */
void smp_run(cpu_work work);

/* The APIC id the local APIC of the calling processor has. */
unsigned local_apic_id(void);

#endif
