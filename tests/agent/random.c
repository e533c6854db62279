/* Writes random-looking bytes to its output: how many, and the seed. Marsaglia's xorshift32, as tests/support/disk_image.ts. */
#include "freestanding.h"

static unsigned words[8192];

static unsigned long number(const char *text)
{
	unsigned long value = 0;

	while (*text)
		value = value * 10 + (*text++ - '0');
	return value;
}

__attribute__((noreturn, used)) static void start(long *stack)
{
	char **arguments = (char **)(stack + 1);
	unsigned long left = number(arguments[1]);
	unsigned state = number(arguments[2]) | 1;
	long status = 0;

	while (left > 0 && status == 0) {
		const char *at = (const char *)words;
		unsigned long count = left < sizeof(words) ? left : sizeof(words);

		for (unsigned i = 0; i < sizeof(words) / 4; i++) {
			state ^= state << 13;
			state ^= state >> 17;
			state ^= state << 5;
			words[i] = state;
		}
		left -= count;
		while (count > 0 && status == 0) {
			long done = call(__NR_write, 1, (long)at, count, 0, 0);

			if (done <= 0)
				status = 1;
			at += done;
			count -= done;
		}
	}
	for (;;)
		call(__NR_exit_group, status, 0, 0, 0, 0);
}
