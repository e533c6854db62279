/* The interval timer (Intel 8254) and its gate, from whichever access `first` names. */
#include "cmdline.h"
#include "cpu.h"
#include "print.h"
#include "smp.h"
#include "tests.h"

#define COUNTER_0 0x40
#define COUNTER_2 0x42
#define CONTROL 0x43
#define GATE_PORT 0x61
#define GATE 1
#define SPEAKER 2
#define OUTPUT 0x20
#define ONE_SHOT 0xb0              /* counter 2, low byte then high byte, mode 0: output high when it is at 0 */
#define COUNT 23864                /* 20 ms at 1193182 Hz */

static bool is_first(const char *name) {
  const char *first = cmdline_text("first");
  return first && same_text(first, name);
}

static void first_access(unsigned cpu) {
  (void)cpu;
  if (is_first("control")) out8(CONTROL, ONE_SHOT);
  if (is_first("gate")) out8(GATE_PORT, GATE);
  if (is_first("speaker")) out8(GATE_PORT, SPEAKER);
  if (is_first("look")) print_field("counter", in8(COUNTER_0));
}

/* Prints what port 0x61 says after the first access, then waits for one run of the counter. */
uint8_t test_pit(void) {
  smp_run(first_access);
  uint8_t gate = in8(GATE_PORT);
  print_field("gate", gate & (GATE | SPEAKER));
  if (!is_first("gate")) out8(GATE_PORT, GATE);
  if (!is_first("control")) out8(CONTROL, ONE_SHOT);
  out8(COUNTER_2, COUNT & 0xff);
  out8(COUNTER_2, COUNT >> 8);
  /* Nothing is printed before it is over: that takes longer than the counter, if the monitor starts a thread for it. */
  int early = (in8(GATE_PORT) & OUTPUT) != 0;
  uint64_t looks = 0;
  while (!(in8(GATE_PORT) & OUTPUT)) looks++;
  print_field("early", early);
  print_field("late", looks > 0);
  return 0;
}
