/* A bump allocator over the RAM above the guest's image. */
#include "memory.h"

#include <stdint.h>

#include "print.h"
#include "ring0.h"

#define PAGE 4096
#define LARGE_PAGE 0x200000

extern char guest_end[];

static uintptr_t next, limit;

static uintptr_t align_up(uintptr_t value, uintptr_t step) {
  return (value + step - 1) & ~(step - 1);
}

/*
 * Buffers start on the next 2 MiB page, so that under shadow paging they do not share one with our
 * page tables, which the host write-protects.
 */
void memory_init(const struct memory_map *map) {
  next = align_up((uintptr_t)guest_end, LARGE_PAGE);
  for (unsigned i = 0; i < map->count; i++) {
    const struct memory_range *range = &map->range[i];
    if (range->base <= next && next - range->base < range->size) limit = range->base + range->size;
  }
}

void *memory_take(size_t size) {
  size = align_up(size, PAGE);
  if (limit < next || limit - next < size) die("out of memory");
  void *taken = (void *)next;
  next += size;
  return memset(taken, 0, size);
}

void *memcpy(void *to, const void *from, size_t size) {
  void *start = to;
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
  return start;
}

void *memset(void *to, int byte, size_t size) {
  void *start = to;
  asm volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(byte) : "memory");
  return start;
}

int memcmp(const void *left, const void *right, size_t size) {
  const uint8_t *a = left, *b = right;
  for (size_t i = 0; i < size; i++) {
    if (a[i] != b[i]) return a[i] - b[i];
  }
  return 0;
}
