/* What needs ring 0: interrupts, exceptions, and the ways of ending a machine. */
#ifndef RING0_H
#define RING0_H

#include <stdint.h>

#define STATUS_FAILED 1
#define STATUS_EXCEPTION 99

/* What save_and_dispatch in entry.S leaves on the stack. */
struct frame {
  uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
  uint64_t rdi, rsi, rbp, rbx, rdx, rcx, rax;
  uint64_t vector, error;
  uint64_t rip, cs, rflags, rsp, ss;
};

/* entry.S: runs function(argument) in ring 0 and returns to ring 3. */
void ring0_call(void (*function)(uint64_t), uint64_t argument);

typedef void (*irq_handler)(void);

/* Remaps the PIC to vectors 32..47 and unmasks `irq` alone. */
void irq_route(unsigned irq, irq_handler handler);

/* Reads `exit=mmio@ADDRESS`, the place of the exit register when it is not port 0xf4. */
void ending_init(void);

/* Leaves by writing `status` to the exit register. */
__attribute__((noreturn)) void leave(uint8_t status);

/* Leaves the way the word `end=` says. */
__attribute__((noreturn)) void finish(uint8_t status);

/* Ring 0: stops this processor for good. */
void halt_forever(uint64_t unused);

/* Prints "guest failed: WHY" and leaves with STATUS_FAILED. */
__attribute__((noreturn)) void die(const char *why);

#endif
