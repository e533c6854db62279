/*
 * `work cpus MS`: one thread on each CPU, pinned. They pass a clock reading from one to the next for MS
 * milliseconds each time the lock is free: whoever reads a time before the last one read has found a clock that
 * runs backwards. Each also sleeps, which needs timer interrupts of its own CPU.
 */
#define _GNU_SOURCE
#include "work.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MAX_CPUS 32
#define SLEEPS 20

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t last, deadline;
static struct {
	pthread_t thread;
	int id, ran_on;
	unsigned long turns, backwards;
} cpu[MAX_CPUS];

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static void *work(void *argument)
{
	typeof(cpu[0]) *self = argument;
	struct timespec pause = { .tv_nsec = 1000000 };
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(self->id, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		return NULL;
	self->ran_on = sched_getcpu();
	for (int i = 0; i < SLEEPS; i++)
		nanosleep(&pause, NULL);
	for (uint64_t time = 0; time < deadline; self->turns++) {
		pthread_mutex_lock(&lock);
		time = now();
		self->backwards += time < last;
		last = time;
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

int cpus(int argc, char **argv)
{
	int count = sysconf(_SC_NPROCESSORS_ONLN);

	if (argc < 2 || count > MAX_CPUS)
		fail("cpus");
	deadline = now() + strtoul(argv[1], NULL, 10) * 1000000;
	for (int i = 0; i < count; i++) {
		cpu[i].id = i;
		cpu[i].ran_on = -1;
		if (pthread_create(&cpu[i].thread, NULL, work, &cpu[i]) != 0)
			fail("thread");
	}
	for (int i = 0; i < count; i++) {
		pthread_join(cpu[i].thread, NULL);
		printf("cpu=%d ran_on=%d turns=%lu backwards=%lu\n", i, cpu[i].ran_on, cpu[i].turns,
		       cpu[i].backwards);
	}
	return 0;
}
