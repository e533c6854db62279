/* What the loader told us, whichever protocol it spoke. */
#ifndef BOOT_H
#define BOOT_H

#include <stdint.h>

#define MEMORY_RANGES 32

struct memory_range {
  uint64_t base, size;
};

/* Usable RAM only. */
struct memory_map {
  unsigned count;
  struct memory_range range[MEMORY_RANGES];
};

/* The first module (the initrd); its size is 0 when there is none. */
const struct memory_range *boot_module(void);

/* tests.c: the guest's main program, in ring 3; never returns. */
void guest_main(const char *cmdline, const struct memory_map *map) __attribute__((noreturn));

#endif
