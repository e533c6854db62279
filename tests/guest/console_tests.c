/* Tests of virtio-console. */
#include "cmdline.h"
#include "console.h"
#include "cpu.h"
#include "print.h"
#include "ring0.h"
#include "tests.h"

static struct console console;

static void write_text(struct console_port *port, const char *text) {
  port_write(port, text, text_length(text));
}

uint8_t test_console(void) {
  console_open(&console, true);
  console_settle(&console);
  write_text(console_main_port(&console), "hello from hvc0\n");
  return 0;
}

/* Echoes lines on a port until "quit"; control messages are served meanwhile. */
static uint8_t echo_lines(struct console_port *port) {
  struct line line = { 0 };
  print("ready\n");
  for (;;) {
    console_control(&console);
    if (!port_read_line(port, &line)) {
      cpu_relax();
      continue;
    }
    if (line_is(&line, "quit")) return 0;
    write_text(port, "echo: ");
    port_write(port, line.text, line.length);
    write_text(port, "\n");
    line.length = 0;
  }
}

uint8_t test_console_echo(void) {
  console_open(&console, true);
  console_settle(&console);
  return echo_lines(console_main_port(&console));
}

uint8_t test_console_flood(void) {
  console_open(&console, true);
  console_settle(&console);
  uint64_t bytes = cmdline_number("bytes", 0), begin = cycles();
  port_flood(console_main_port(&console), bytes);
  print_result(1, bytes, cycles() - begin);
  return 0;
}

static void print_size(void) {
  uint32_t generation;
  uint16_t columns, rows;
  do {
    generation = virtio_config_generation(console.device);
    columns = virtio_config16(console.device, CONSOLE_CONFIG_COLS);
    rows = virtio_config16(console.device, CONSOLE_CONFIG_ROWS);
  } while (virtio_config_generation(console.device) != generation);
  print("size ");
  print_dec(columns);
  print("x");
  print_dec(rows);
  print("\n");
}

/* Without MULTIPORT, where the configuration space and its interrupt carry the size (5.3.6.2.1). */
uint8_t test_console_size(void) {
  console_open(&console, false);
  print_size();
  for (uint64_t prints = 1; prints < cmdline_number("count", 1); prints++) {
    while (!virtio_acknowledge(console.device, INTERRUPT_CONFIG)) cpu_relax();
    print_size();
  }
  return 0;
}

uint8_t test_ports(void) {
  const char *name = cmdline_text("port");
  struct console_port *port;
  console_open(&console, true);
  if (!console.multiport) die("the console does not offer MULTIPORT");
  while (!(port = console_named_port(&console, name ? name : "port0"))) {
    console_control(&console);
    cpu_relax();
  }
  return echo_lines(port);
}
