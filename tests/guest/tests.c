/* The guest's main program: reads the command line, runs the test it names, ends the machine. */
#include "tests.h"

#include "boot.h"
#include "cmdline.h"
#include "memory.h"
#include "print.h"
#include "ring0.h"
#include "virtio.h"

/* `say`: a line before the end, for who measures the guest's first sign of life from outside. */
static uint8_t test_idle(void) {
  if (cmdline_flag("say")) print("!\n");
  return (uint8_t)cmdline_number("status", 0);
}

static const struct {
  const char *name;
  uint8_t (*run)(void);
} tests[] = {
  { "idle", test_idle },
  { "serial", test_serial },
  { "serial-echo", test_serial_echo },
  { "serial-irq", test_serial_irq },
  { "power", test_power },
  { "pit", test_pit },
  { "console", test_console },
  { "console-echo", test_console_echo },
  { "console-flood", test_console_flood },
  { "console-size", test_console_size },
  { "ports", test_ports },
  { "blk-info", test_blk_info },
  { "blk-sum", test_blk_sum },
  { "blk-write", test_blk_write },
  { "blk-discard", test_blk_discard },
  { "blk-zero", test_blk_zero },
  { "blk-wce", test_blk_wce },
  { "blk-irq", test_blk_irq },
  { "blk-bench", test_blk_bench },
  { "net-info", test_net_info },
  { "net-echo", test_net_echo },
  { "net-client", test_net_client },
  { "net-bad", test_net_bad },
  { "net-send", test_net_send },
  { "net-receive", test_net_receive },
  { "net-pairs", test_net_pairs },
  { "rng", test_rng },
  { "rng-greedy", test_rng_greedy },
  { "vsock", test_vsock },
  { "vsock-bench", test_vsock_bench },
  { "mmio-bench", test_mmio_bench },
  { "kick-bench", test_kick_bench },
  { "smp-start", test_smp_start },
  { "smp-count", test_smp_count },
  { "smp-tsc", test_smp_tsc },
  { "smp-clock", test_smp_clock },
  { "smp-stopped", test_smp_stopped },
  { "smp-work", test_smp_work },
  { "smp-end", test_smp_end },
  { "fire", test_fire },
  { "steady", test_steady },
};

void print_result(uint64_t ops, uint64_t bytes, uint64_t cycles) {
  print("{\"ops\":");
  print_dec(ops);
  print(",\"bytes\":");
  print_dec(bytes);
  print(",\"cycles\":");
  print_dec(cycles);
  print("}\n");
}

void guest_main(const char *cmdline, const struct memory_map *map) {
  cmdline_init(cmdline);
  ending_init();
  memory_init(map);
  const char *name = cmdline_text("test");
  if (!name) name = "idle";
  for (unsigned i = 0; i < sizeof tests / sizeof *tests; i++) {
    if (!same_text(tests[i].name, name)) continue;
    /* Probing costs three exits a device: not for a test that measures a guest doing nothing. */
    if (tests[i].run != test_idle) virtio_init();
    finish(tests[i].run());
  }
  die("test= is not a known test");
}
