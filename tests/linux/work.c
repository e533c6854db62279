/* Finds the program that was asked for. */
#include "work.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} programs[] = {
	{ "files", files },
	{ "memory", memory },
	{ "cpus", cpus },
	{ "messages", messages },
};

void fail(const char *what)
{
	printf("%s: %s\n", what, strerror(errno));
	exit(1);
}

int main(int argc, char **argv)
{
	for (unsigned int i = 0; argc > 1 && i < sizeof(programs) / sizeof(programs[0]); i++)
		if (strcmp(argv[1], programs[i].name) == 0)
			return programs[i].run(argc - 1, argv + 1);
	printf("work: there is no such program\n");
	return 2;
}
