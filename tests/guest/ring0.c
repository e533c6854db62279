/* Exceptions, the 8259 interrupt controllers, and the endings. */
#include "ring0.h"

#include "cmdline.h"
#include "cpu.h"
#include "layout.h"
#include "print.h"

#define EXIT_PORT 0xf4
#define I8042_COMMAND 0x64
#define I8042_PULSE_RESET 0xfe

/* Intel 8259A data sheet: the initialisation words ICW1..ICW4, then the mask (OCW1) and EOI (OCW2). */
#define PIC1_COMMAND 0x20
#define PIC1_DATA 0x21
#define PIC2_COMMAND 0xa0
#define PIC2_DATA 0xa1
#define ICW1_INIT_ICW4 0x11
#define ICW3_PRIMARY 0x04
#define ICW3_SECONDARY 0x02
#define ICW4_8086 0x01
#define OCW2_EOI 0x20
#define CASCADE_IRQ 2

/* Intel SDM vol. 3, 11.4-11.5: the local APIC, through which the PIC's output passes. */
#define APIC_SPURIOUS 0xfee000f0
#define APIC_SPURIOUS_ENABLED 0x1ff
#define APIC_LVT_LINT0 0xfee00350
#define APIC_LVT_EXTINT 0x700

extern char ring0_gate[];

static irq_handler handlers[16];
static uintptr_t exit_register;     /* 0: the I/O port */

static uint64_t fault_address(void) {
  uint64_t address;
  asm volatile("movq %%cr2, %0" : "=r"(address));
  return address;
}

__attribute__((noreturn)) static void report_exception(const struct frame *frame) {
  print("guest exception ");
  print_dec(frame->vector);
  print(" at 0x");
  print_hex(frame->rip, 16);
  print(" error 0x");
  print_hex(frame->error, 8);
  print(" address 0x");
  print_hex(fault_address(), 16);
  print("\n");
  leave(STATUS_EXCEPTION);
}

static void serve_irq(unsigned irq) {
  if (handlers[irq]) handlers[irq]();
  if (irq >= 8) out8(PIC2_COMMAND, OCW2_EOI);
  out8(PIC1_COMMAND, OCW2_EOI);
}

/* Called by entry.S in ring 0 for every exception and interrupt. */
void on_interrupt(struct frame *frame);
void on_interrupt(struct frame *frame) {
  if (frame->vector >= VECTOR_PIC) {
    serve_irq((unsigned)(frame->vector - VECTOR_PIC));
  } else if (frame->vector == VECTOR_UD && frame->rip == (uintptr_t)ring0_gate) {
    ((void (*)(uint64_t))frame->rdi)(frame->rsi);
    frame->rip += 2;
  } else {
    report_exception(frame);
  }
}

void irq_route(unsigned irq, irq_handler handler) {
  handlers[irq] = handler;
  out8(PIC1_COMMAND, ICW1_INIT_ICW4);
  out8(PIC2_COMMAND, ICW1_INIT_ICW4);
  out8(PIC1_DATA, VECTOR_PIC);
  out8(PIC2_DATA, VECTOR_PIC + 8);
  out8(PIC1_DATA, ICW3_PRIMARY);
  out8(PIC2_DATA, ICW3_SECONDARY);
  out8(PIC1_DATA, ICW4_8086);
  out8(PIC2_DATA, ICW4_8086);
  uint16_t open = (uint16_t)(1u << irq | (irq >= 8 ? 1u << CASCADE_IRQ : 0));
  out8(PIC1_DATA, (uint8_t)~open);
  out8(PIC2_DATA, (uint8_t)(~open >> 8));
  /* Virtual wire mode, for firmware that left LINT0 masked. */
  mmio_write32(APIC_SPURIOUS, APIC_SPURIOUS_ENABLED);
  mmio_write32(APIC_LVT_LINT0, APIC_LVT_EXTINT);
}

void ending_init(void) {
  static const char prefix[] = "mmio@";
  const char *where = cmdline_text("exit");
  if (!where) return;
  for (unsigned i = 0; prefix[i]; i++) {
    if (*where++ != prefix[i]) die("exit= wants mmio@ADDRESS");
  }
  exit_register = parse_number(&where);
}

void halt_forever(uint64_t unused) {
  (void)unused;
  for (;;) asm volatile("cli; hlt");
}

/* Runs in either ring. The machine should be gone after the write; if not, stop burning CPU time. */
void leave(uint8_t status) {
  if (exit_register) {
    mmio_write8(exit_register, status);
  } else {
    out8(EXIT_PORT, status);
  }
  uint16_t cs;
  asm("movw %%cs, %0" : "=r"(cs));
  if (cs == KERNEL_CS) halt_forever(0);
  for (;;) ring0_call(halt_forever, 0);
}

void die(const char *why) {
  print("guest failed: ");
  print(why);
  print("\n");
  leave(STATUS_FAILED);
}

struct __attribute__((packed)) table_pointer {
  uint16_t limit;
  uint64_t base;
};

/* With this IDT the invalid opcode, the fault on its gate and the double fault all fail: shutdown. */
static void triple_fault(uint64_t limit) {
  static const uint64_t no_gates[512];
  struct table_pointer idt = { (uint16_t)limit, (uintptr_t)no_gates };
  asm volatile("lidt %0; ud2" : : "m"(idt));
}

/* Emulators of ring 0 do not know popcnt; on hardware it just works, and the guest then halts. */
static void unknown_instruction(uint64_t value) {
  asm volatile("popcntq %0, %0" : "+r"(value));
  halt_forever(0);
}

void finish(uint8_t status) {
  const char *end = cmdline_text("end");
  if (!end || same_text(end, "exit")) leave(status);
  if (same_text(end, "i8042")) out8(I8042_COMMAND, I8042_PULSE_RESET);
  if (same_text(end, "triple")) ring0_call(triple_fault, 0);
  if (same_text(end, "triple-full")) ring0_call(triple_fault, 4095);
  if (same_text(end, "hlt")) ring0_call(halt_forever, 0);
  if (same_text(end, "ud")) ring0_call(unknown_instruction, 0);
  if (same_text(end, "fault")) *(volatile uint8_t *)~0xffful = 0;
  if (same_text(end, "spin") || same_text(end, "i8042")) {
    for (;;) cpu_relax();
  }
  die("end= is not a known ending");
}
