/*
 * `work files DIRECTORY`: file after file, each with content and length of its own, each on the disk (fsync of
 * the file and of the directory) before its number is printed. tests/support/numbered_files.ts knows the content.
 */
#include "work.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#define MAX_WORDS 4096

static uint32_t words[MAX_WORDS];

/* 4 bytes to 16 KiB, in no order; every word differs from its neighbours and from the other files'. */
static size_t content(uint32_t number)
{
	size_t count = number * 2654435761u % MAX_WORDS + 1;

	for (size_t i = 0; i < count; i++)
		words[i] = (number * MAX_WORDS + (uint32_t)i) * 2246822519u;
	return count * sizeof(words[0]);
}

static void write_file(uint32_t number)
{
	char name[32];
	size_t size = content(number);
	int file;

	snprintf(name, sizeof(name), "f%u", number);
	file = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
	if (file < 0)
		fail(name);
	if (write(file, words, size) != (ssize_t)size || fsync(file) < 0)
		fail(name);
	close(file);
}

int files(int argc, char **argv)
{
	int directory;

	if (argc < 2 || chdir(argv[1]) < 0)
		fail("directory");
	directory = open(".", O_RDONLY | O_DIRECTORY);
	setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
	for (uint32_t number = 0; ; number++) {
		write_file(number);
		if (fsync(directory) < 0)
			fail("fsync");
		printf("written %u\n", number);
	}
}
