/* Test of the power button: leaves with status= when it is pressed. */
#include "cmdline.h"
#include "print.h"
#include "ring0.h"
#include "tests.h"

#define POWER_BUTTON_IRQ 9

static volatile bool pressed;

static void on_power_button(void) {
  pressed = true;
}

/* Ring 0: only there may a guest halt until an interrupt comes. */
static void wait_for_button(uint64_t unused) {
  (void)unused;
  irq_route(POWER_BUTTON_IRQ, on_power_button);
  print("ready\n");
  while (!pressed) asm volatile("sti; hlt; cli" : : : "memory");
}

uint8_t test_power(void) {
  ring0_call(wait_for_button, 0);
  return (uint8_t)cmdline_number("status", 0);
}
