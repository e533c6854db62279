/* Tests of the serial port. */
#include "cmdline.h"
#include "cpu.h"
#include "line.h"
#include "print.h"
#include "ring0.h"
#include "serial.h"
#include "tests.h"

uint8_t test_serial(void) {
  print("hello from the tiny guest\n");
  void (*put)(uint8_t) = cmdline_flag("raw") ? serial_put_raw : serial_put;
  uint64_t bytes = cmdline_number("bytes", 0);
  for (uint64_t i = 0; i < bytes; i++) put(generated_byte(i));
  return 0;
}

uint8_t test_serial_echo(void) {
  struct line line = { 0 };
  print("ready\n");
  for (;;) {
    int byte = serial_poll();
    if (byte < 0) cpu_relax();
    if (byte >= 0 && line_push(&line, (uint8_t)byte)) {
      if (line_is(&line, "quit")) return 0;
      print("echo: ");
      print_bytes(line.text, line.length);
      print("\n");
      line.length = 0;
    }
  }
}

static struct line irq_line;
static volatile bool irq_quit;

static void on_serial(void) {
  for (int byte; (byte = serial_poll()) >= 0;) {
    serial_put_raw((uint8_t)byte);
    if (!line_push(&irq_line, (uint8_t)byte)) continue;
    irq_quit = line_is(&irq_line, "quit");
    irq_line.length = 0;
  }
}

/* Ring 0: only there may a guest halt until an interrupt comes. */
static void echo_by_interrupt(uint64_t unused) {
  (void)unused;
  irq_route(SERIAL_IRQ, on_serial);
  serial_enable_receive_interrupt();
  print("ready\n");
  while (!irq_quit) asm volatile("sti; hlt; cli" : : : "memory");
}

uint8_t test_serial_irq(void) {
  ring0_call(echo_by_interrupt, 0);
  return 0;
}
