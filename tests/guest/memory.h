/* RAM for rings and buffers, and the routines the compiler expects to find. */
#ifndef MEMORY_H
#define MEMORY_H

#include <stddef.h>

#include "boot.h"

void memory_init(const struct memory_map *map);

/* Zeroed, page-aligned, never freed. Ends the guest when RAM is used up. */
void *memory_take(size_t size);

void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *left, const void *right, size_t size);

#endif
