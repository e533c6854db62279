/* Ports and control messages of virtio-console. */
#include "console.h"

#include "cmdline.h"
#include "cpu.h"
#include "memory.h"
#include "print.h"
#include "ring0.h"

/* Clause 5.3.2: port 0 has queues 0 and 1, control 2 and 3, port n from 2n + 2 on. */
#define CONTROL_RECEIVE_QUEUE 2
#define CONTROL_TRANSMIT_QUEUE 3

/* Clause 5.3.6.2. */
#define DEVICE_READY 0
#define DEVICE_ADD 1
#define DEVICE_REMOVE 2
#define PORT_READY 3
#define CONSOLE_PORT 4
#define RESIZE 5
#define PORT_OPEN 6
#define PORT_NAME 7

struct control_message {
  uint32_t id;
  uint16_t event, value;
};

#define RECEIVE_BUFFERS 8
#define RECEIVE_BYTES 512
#define TRANSMIT_BUFFERS 8
#define TRANSMIT_BYTES 4096
#define DEFAULT_SETTLE 200000000u     /* about 0.1 s */

static void post_receive(struct virtqueue *queue, uint8_t *buffers, uint16_t which) {
  struct segment segment = { buffers + which * RECEIVE_BYTES, RECEIVE_BYTES, true };
  virtq_add(queue, &segment, 1, which);
}

static void post_all(struct virtqueue *queue, uint8_t *buffers) {
  for (uint16_t i = 0; i < RECEIVE_BUFFERS; i++) post_receive(queue, buffers, i);
  virtq_kick(queue);
}

static bool open_port(struct console *console, unsigned id) {
  struct console_port *port = &console->ports[id];
  uint16_t first = id == 0 ? 0 : (uint16_t)(2 * id + 2);
  port->id = id;
  port->receive_buffers = memory_take(RECEIVE_BUFFERS * RECEIVE_BYTES);
  port->transmit_buffers = memory_take(TRANSMIT_BUFFERS * TRANSMIT_BYTES);
  return virtio_queue(console->device, &port->receive, first) &&
         virtio_queue(console->device, &port->transmit, (uint16_t)(first + 1));
}

static void open_control(struct console *console) {
  console->control_buffers = memory_take(RECEIVE_BUFFERS * RECEIVE_BYTES);
  console->control_message = memory_take(sizeof(struct control_message));
  if (!virtio_queue(console->device, &console->control_receive, CONTROL_RECEIVE_QUEUE) ||
      !virtio_queue(console->device, &console->control_transmit, CONTROL_TRANSMIT_QUEUE)) {
    die("the console has no control queues");
  }
}

static void send_control(struct console *console, unsigned id, uint16_t event, uint16_t value) {
  *(struct control_message *)console->control_message = (struct control_message){ id, event, value };
  struct segment segment = { console->control_message, sizeof(struct control_message), false };
  virtq_add(&console->control_transmit, &segment, 1, 0);
  virtq_kick(&console->control_transmit);
  virtq_wait(&console->control_transmit);
}

/* Linux throws away what comes before its port is listed, a while after DRIVER_OK: as long as we are told to. */
static void discard_input(struct console_port *port) {
  uint64_t discard = cmdline_number("discard", 0), since = cycles();
  while (cycles() - since < discard) {
    uint16_t which = virtq_take(&port->receive);
    if (which == NO_TOKEN) continue;
    post_receive(&port->receive, port->receive_buffers, which);
    virtq_kick(&port->receive);
  }
}

void console_open(struct console *console, bool multiport) {
  console->device = virtio_find(VIRTIO_ID_CONSOLE, (unsigned)cmdline_number("device", 0));
  virtio_negotiate(console->device,
                   VIRTIO_CONSOLE_F_SIZE | (multiport ? VIRTIO_CONSOLE_F_MULTIPORT : 0));
  console->multiport = console->device->accepted & VIRTIO_CONSOLE_F_MULTIPORT;
  unsigned ports = console->multiport ? virtio_config32(console->device, CONSOLE_CONFIG_MAX_PORTS) : 1;
  if (ports > CONSOLE_PORTS) ports = CONSOLE_PORTS;
  while (console->port_count < ports && open_port(console, console->port_count)) console->port_count++;
  if (console->port_count == 0) die("the console has no queues");
  if (console->multiport) open_control(console);
  virtio_driver_ok(console->device);
  for (unsigned i = 0; i < console->port_count; i++) {
    post_all(&console->ports[i].receive, console->ports[i].receive_buffers);
  }
  if (!console->multiport) {
    discard_input(&console->ports[0]);
    /* The device tells us that the size has changed; to read it then is what shows that input may come. */
    virtio_acknowledge(console->device, INTERRUPT_CONFIG);
    virtio_config16(console->device, CONSOLE_CONFIG_COLS);
    return;
  }
  post_all(&console->control_receive, console->control_buffers);
  send_control(console, 0, DEVICE_READY, 1);
}

static void print_port(const struct console_port *port, const char *what) {
  print("port ");
  print_dec(port->id);
  print(" ");
  print(what);
}

static void set_name(struct console_port *port, const char *name, size_t length) {
  if (length > CONSOLE_NAME_MAX - 1) length = CONSOLE_NAME_MAX - 1;
  memcpy(port->name, name, length);
  port->name[length] = 0;
  print_port(port, "name ");
  print(port->name);
  print("\n");
}

static void set_size(const struct console_port *port, const uint16_t *size) {
  print_port(port, "size ");
  print_dec(size[0]);
  print("x");
  print_dec(size[1]);
  print("\n");
}

/* The device asks or tells; clause 5.3.6.2.2 says what a driver answers. */
static void handle_control(struct console *console, const uint8_t *bytes, uint32_t length) {
  const struct control_message *message = (const void *)bytes;
  const uint8_t *rest = bytes + sizeof *message;
  if (length < sizeof *message || message->id >= console->port_count) return;
  struct console_port *port = &console->ports[message->id];
  switch (message->event) {
    case DEVICE_ADD:
      port->added = true;
      send_control(console, port->id, PORT_READY, 1);
      break;
    case DEVICE_REMOVE:
      port->added = false;
      print_port(port, "removed\n");
      break;
    case CONSOLE_PORT:
      port->is_console = true;
      print_port(port, "console\n");
      send_control(console, port->id, PORT_OPEN, 1);
      break;
    case RESIZE:
      if (length >= sizeof *message + 4) set_size(port, (const uint16_t *)rest);
      break;
    case PORT_OPEN:
      port->host_open = message->value;
      print_port(port, message->value ? "open\n" : "closed\n");
      break;
    case PORT_NAME:
      set_name(port, (const char *)rest, length - sizeof *message);
      send_control(console, port->id, PORT_OPEN, 1);
      break;
    default:
      break;
  }
}

unsigned console_control(struct console *console) {
  if (!console->multiport) return 0;
  struct virtqueue *queue = &console->control_receive;
  unsigned handled = 0;
  for (uint16_t which; (which = virtq_take(queue)) != NO_TOKEN; handled++) {
    handle_control(console, console->control_buffers + which * RECEIVE_BYTES, queue->used_length);
    post_receive(queue, console->control_buffers, which);
  }
  virtq_kick(queue);
  return handled;
}

/* No message says "that was all of them", so silence has to. */
void console_settle(struct console *console) {
  if (!console->multiport) return;
  uint64_t settle = cmdline_number("settle", DEFAULT_SETTLE), since = cycles();
  while (cycles() - since < settle) {
    if (console_control(console)) since = cycles();
    cpu_relax();
  }
}

struct console_port *console_main_port(struct console *console) {
  for (unsigned i = 0; i < console->port_count; i++) {
    if (console->ports[i].is_console) return &console->ports[i];
  }
  return &console->ports[0];
}

struct console_port *console_named_port(struct console *console, const char *name) {
  for (unsigned i = 0; i < console->port_count; i++) {
    if (same_text(console->ports[i].name, name)) return &console->ports[i];
  }
  return NULL;
}

/* Sends up to TRANSMIT_BYTES from one of the port's own buffers; the device sees it at the next kick. */
static void send_buffer(struct console_port *port, uint16_t which, size_t length) {
  struct segment segment = { port->transmit_buffers + which * TRANSMIT_BYTES, (uint32_t)length, false };
  if (!virtq_add(&port->transmit, &segment, 1, which)) die("the transmit queue is too small");
}

void port_write(struct console_port *port, const void *bytes, size_t length) {
  while (length) {
    size_t part = length < TRANSMIT_BYTES ? length : TRANSMIT_BYTES;
    memcpy(port->transmit_buffers, bytes, part);
    send_buffer(port, 0, part);
    virtq_kick(&port->transmit);
    virtq_wait(&port->transmit);
    bytes = (const uint8_t *)bytes + part;
    length -= part;
  }
}

/* Fills one buffer from byte `at` of the generated stream and sends it; returns its length. */
static size_t flood_buffer(struct console_port *port, uint16_t which, uint64_t at, uint64_t bytes) {
  size_t length = bytes - at < TRANSMIT_BYTES ? bytes - at : TRANSMIT_BYTES;
  uint8_t *buffer = port->transmit_buffers + which * TRANSMIT_BYTES;
  for (size_t i = 0; i < length; i++) buffer[i] = generated_byte(at + i);
  send_buffer(port, which, length);
  return length;
}

void port_flood(struct console_port *port, uint64_t bytes) {
  uint16_t in_flight = 0;
  uint64_t sent = 0;
  while (in_flight < TRANSMIT_BUFFERS && in_flight < port->transmit.size && sent < bytes) {
    sent += flood_buffer(port, in_flight++, sent, bytes);
  }
  virtq_kick(&port->transmit);
  while (in_flight) {
    uint16_t which = virtq_wait(&port->transmit);
    do {
      in_flight--;
      if (sent == bytes) continue;
      sent += flood_buffer(port, which, sent, bytes);
      in_flight++;
    } while ((which = virtq_take(&port->transmit)) != NO_TOKEN);
    virtq_kick(&port->transmit);
  }
}

/* Makes the next filled buffer the one being read; false if there is none. */
static bool next_buffer(struct console_port *port) {
  uint16_t which = virtq_take(&port->receive);
  if (which == NO_TOKEN) return false;
  port->reading = true;
  port->buffer = which;
  port->at = 0;
  port->length = port->receive.used_length;
  if (port->length > RECEIVE_BYTES) die("the device wrote more than the buffer holds");
  return true;
}

bool port_read_line(struct console_port *port, struct line *line) {
  if (!port->reading && !next_buffer(port)) return false;
  const uint8_t *bytes = port->receive_buffers + port->buffer * RECEIVE_BYTES;
  bool complete = false;
  while (port->at < port->length && !complete) complete = line_push(line, bytes[port->at++]);
  if (port->at == port->length) {
    port->reading = false;
    post_receive(&port->receive, port->receive_buffers, port->buffer);
    virtq_kick(&port->receive);
  }
  return complete;
}
