/* The instructions C has no words for. */
#ifndef CPU_H
#define CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline void out8(uint16_t port, uint8_t value) {
  asm volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t in8(uint16_t port) {
  uint8_t value;
  asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}

/* Device registers go through plain moves, the one form every instruction emulator decodes. */
static inline uint32_t mmio_read32(uintptr_t address) {
  uint32_t value;
  asm volatile("movl (%1), %0" : "=r"(value) : "r"(address) : "memory");
  return value;
}

static inline uint16_t mmio_read16(uintptr_t address) {
  uint16_t value;
  asm volatile("movw (%1), %0" : "=r"(value) : "r"(address) : "memory");
  return value;
}

static inline uint8_t mmio_read8(uintptr_t address) {
  uint8_t value;
  asm volatile("movb (%1), %0" : "=q"(value) : "r"(address) : "memory");
  return value;
}

static inline void mmio_write32(uintptr_t address, uint32_t value) {
  asm volatile("movl %0, (%1)" : : "r"(value), "r"(address) : "memory");
}

static inline void mmio_write16(uintptr_t address, uint16_t value) {
  asm volatile("movw %0, (%1)" : : "r"(value), "r"(address) : "memory");
}

static inline uint64_t mmio_read64(uintptr_t address) {
  uint64_t value;
  asm volatile("movq (%1), %0" : "=r"(value) : "r"(address) : "memory");
  return value;
}

static inline void mmio_write64(uintptr_t address, uint64_t value) {
  asm volatile("movq %0, (%1)" : : "r"(value), "r"(address) : "memory");
}

static inline void mmio_write8(uintptr_t address, uint8_t value) {
  asm volatile("movb %0, (%1)" : : "q"(value), "r"(address) : "memory");
}

/* Orders an earlier store against a later load, the only order x86 does not keep (and no SSE2). */
static inline void full_barrier(void) {
  asm volatile("lock; addl $0, (%%rsp)" : : : "memory", "cc");
}

/* x86 keeps loads among loads and stores among stores: only the compiler must be held back. */
static inline void compiler_barrier(void) {
  asm volatile("" : : : "memory");
}

static inline void cpu_relax(void) {
  asm volatile("pause" : : : "memory");
}

/* The counter after every earlier load (Intel SDM vol. 2, RDTSC: lfence holds it back). */
static inline uint64_t ordered_cycles(void) {
  uint32_t low, high;
  asm volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
  return (uint64_t)high << 32 | low;
}

static inline uint64_t cycles(void) {
  uint32_t low, high;
  asm volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
  return (uint64_t)high << 32 | low;
}

#endif
