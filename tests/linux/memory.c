/*
 * `work memory MIB`: writes to every page its own address, in both halves; reads all of it back; looks up in
 * /proc/self/pagemap which of the machine's pages they are, and counts those below and above the hole.
 */
#include "work.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ul
#define FOUR_GIB_PAGES (1ul << 20)
/* Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_NUMBER ((1ull << 55) - 1)

static uint64_t *word(char *memory, size_t page, size_t half)
{
	return (uint64_t *)(memory + page * PAGE + half * (PAGE - sizeof(uint64_t)));
}

int memory(int argc, char **argv)
{
	size_t pages = argc > 1 ? strtoul(argv[1], NULL, 10) * 256 : 0;
	size_t low = 0, high = 0, bad = 0, unknown = 0;
	int pagemap = open("/proc/self/pagemap", O_RDONLY);
	char *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (pagemap < 0 || memory == MAP_FAILED)
		fail("memory");
	for (size_t i = 0; i < pages; i++)
		for (size_t half = 0; half < 2; half++)
			*word(memory, i, half) = (i << 1 | half) * 0x9e3779b97f4a7c15ull;
	for (size_t i = 0; i < pages; i++) {
		uint64_t entry = 0;

		for (size_t half = 0; half < 2; half++)
			bad += *word(memory, i, half) != (i << 1 | half) * 0x9e3779b97f4a7c15ull;
		if (pread(pagemap, &entry, sizeof(entry), ((uintptr_t)memory / PAGE + i) * sizeof(entry)) < 0)
			fail("pagemap");
		if (!(entry & PAGEMAP_PRESENT) || !(entry & PAGEMAP_NUMBER))
			unknown++;
		else if ((entry & PAGEMAP_NUMBER) < FOUR_GIB_PAGES)
			low++;
		else
			high++;
	}
	printf("low=%zu high=%zu unknown=%zu bad=%zu\n", low, high, unknown, bad);
	return bad != 0 || unknown != 0;
}
