/*
 * Tests of virtio-vsock. Connections are made (`connect=PORT`) or taken (`listen=PORT`), `conns=` at once and
 * `total=` in all, and each of them does what `mode=` says:
 *   source  sends `bytes=` of the pattern, ends its output and waits for the host to close
 *   sink    checks that what it receives is the pattern; closes when the host ends its output
 *   echo    sends back what it receives; closes when the host ends its output
 *   stuck   takes nothing and says nothing: the host has to bear it
 *   abrupt  sends `bytes=`, then RST
 * With `seqpacket` they are connections of messages: those sent have `message=` bytes, and an echo keeps the boundaries.
 */
#include "cmdline.h"
#include "cpu.h"
#include "memory.h"
#include "print.h"
#include "ring0.h"
#include "tests.h"
#include "vsock.h"

/* The pattern repeats after 251 * 257 bytes: no power of two, so a block in the wrong place is seen. */
#define PERIOD 64507u
#define ECHO_BYTES 16384u      /* a power of two, for the ring */
#define ECHO_PACKET 4096u

static struct vsock vsock;
/* `echo_flags` has the flags of each packet at its last byte's place in the ring, and 0 elsewhere. */
static uint8_t *pattern, *echo_rings, *echo_flags, *echo_packets;
static uint64_t wanted_bytes, message_bytes, finished, resets, failures, messages, total_in, total_out;

enum mode { SOURCE, SINK, ECHO, STUCK, ABRUPT };
static enum mode mode;

static enum mode mode_of_cmdline(void) {
  static const char *const names[] = { "source", "sink", "echo", "stuck", "abrupt" };
  const char *name = cmdline_text("mode");
  for (unsigned i = 0; name && i < sizeof names / sizeof *names; i++) {
    if (same_text(names[i], name)) return (enum mode)i;
  }
  die("mode= is not known");
}

/* A period and a packet: any piece of the stream lies in it in one piece. */
static void make_pattern(void) {
  uint32_t size = PERIOD + VSOCK_PACKET_MAX;
  pattern = memory_take(size);
  for (uint32_t i = 0; i < size; i++) pattern[i] = (uint8_t)((i % PERIOD % 251) ^ (i % PERIOD % 257));
}

/* memcmp by words: a gigabyte is to be checked. */
static bool same_bytes(const uint8_t *left, const uint8_t *right, uint32_t length) {
  uint32_t i = 0;
  for (; i + 8 <= length; i += 8) {
    if (*(const uint64_t *)(left + i) != *(const uint64_t *)(right + i)) return false;
  }
  return memcmp(left + i, right + i, length - i) == 0;
}

static unsigned number_of(const struct vsock_connection *connection) {
  return (unsigned)(connection - vsock.connections);
}

static size_t echo_place(const struct vsock_connection *connection, uint64_t offset) {
  return (size_t)number_of(connection) * ECHO_BYTES + offset % ECHO_BYTES;
}

static void receive_data(struct vsock_connection *connection, const uint8_t *payload, uint32_t length, uint32_t flags) {
  messages += flags & VSOCK_SEQ_EOM;
  if (mode == SINK && !same_bytes(payload, pattern + connection->bytes_in % PERIOD, length)) failures++;
  if (mode == ECHO) {
    for (uint32_t i = 0; i < length; i++) {
      size_t place = echo_place(connection, connection->bytes_in + i);
      echo_rings[place] = payload[i];
      echo_flags[place] = i + 1 == length ? (uint8_t)flags : 0;
    }
  }
  connection->bytes_in += length;
  if (mode == SINK || mode == SOURCE || mode == ABRUPT) connection->forwarded += length;
}

static void handle(struct vsock *from, struct vsock_connection *connection, const struct vsock_header *header,
                   const uint8_t *payload) {
  (void)from;
  if (header->op == VSOCK_OP_RW) receive_data(connection, payload, header->length, header->flags);
  if (header->op == VSOCK_OP_RST) {
    finished++;
    resets += connection->was_reset;
    total_in += connection->bytes_in;
    total_out += connection->bytes_out;
  }
}

static void close_connection(struct vsock_connection *connection) {
  if (vsock_send(&vsock, connection, VSOCK_OP_SHUTDOWN, VSOCK_SHUTDOWN_BOTH, NULL, 0)) {
    connection->state = VSOCK_CLOSING;
  }
}

static void end_output(struct vsock_connection *connection) {
  if (mode == ABRUPT) {
    if (!vsock_send(&vsock, connection, VSOCK_OP_RST, 0, NULL, 0)) return;
    connection->state = VSOCK_FREE;
    finished++;
  } else if (vsock_send(&vsock, connection, VSOCK_OP_SHUTDOWN, VSOCK_SHUTDOWN_SEND, NULL, 0)) {
    connection->output_ended = true;
  }
}

static void send_pattern(struct vsock_connection *connection) {
  while (connection->bytes_out < wanted_bytes) {
    uint32_t length = vsock_credit(connection);
    if (length > VSOCK_PACKET_MAX) length = VSOCK_PACKET_MAX;
    if (length > wanted_bytes - connection->bytes_out) length = (uint32_t)(wanted_bytes - connection->bytes_out);
    uint32_t flags = 0;
    if (message_bytes) {
      uint64_t left = message_bytes - connection->bytes_out % message_bytes;
      if (length > left) length = (uint32_t)left;
      if (length == left || connection->bytes_out + length == wanted_bytes) flags = VSOCK_SEQ_EOM;
    }
    const uint8_t *data = pattern + connection->bytes_out % PERIOD;
    if (length == 0 || !vsock_send(&vsock, connection, VSOCK_OP_RW, flags, data, length)) return;
    connection->bytes_out += length;
  }
  if (!connection->output_ended) end_output(connection);
}

/* A packet at a time: its copy must stay as it is until the device has taken it, and there is one a connection. */
static void send_echo(struct vsock_connection *connection) {
  uint32_t length = (uint32_t)(connection->bytes_in - connection->bytes_out);
  if (vsock.transmit.free_count != vsock.transmit.size) return;
  if (length > vsock_credit(connection)) length = vsock_credit(connection);
  if (length > ECHO_PACKET) length = ECHO_PACKET;
  if (length == 0) return;
  uint8_t *packet = echo_packets + (size_t)number_of(connection) * ECHO_PACKET;
  uint32_t flags = 0;
  for (uint32_t i = 0; i < length; i++) {
    size_t place = echo_place(connection, connection->bytes_out + i);
    packet[i] = echo_rings[place];
    flags = echo_flags[place];
    if (flags) length = i + 1;
  }
  connection->forwarded += length;
  if (!vsock_send(&vsock, connection, VSOCK_OP_RW, flags, packet, length)) {
    connection->forwarded -= length;
    return;
  }
  connection->bytes_out += length;
}

static void serve(struct vsock_connection *connection) {
  if (connection->state != VSOCK_OPEN || mode == STUCK) return;
  if (mode == SOURCE || mode == ABRUPT) send_pattern(connection);
  if (mode == ECHO) send_echo(connection);
  if (connection->state != VSOCK_OPEN) return;
  if (connection->forwarded - connection->told >= vsock.buf_alloc / 4) {
    vsock_send(&vsock, connection, VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0);
  }
  bool said_all = mode == SOURCE ? connection->output_ended : connection->bytes_out == connection->bytes_in;
  if ((connection->peer_shutdown & VSOCK_SHUTDOWN_SEND) && (mode == SINK || said_all)) {
    close_connection(connection);
  }
}

static bool start_one(void) {
  uint64_t port = cmdline_number("connect", 0);
  return port == 0 || vsock_connect(&vsock, (uint32_t)port);
}

static unsigned in_use(void) {
  unsigned used = 0;
  for (unsigned i = 0; i < VSOCK_CONNECTIONS; i++) used += vsock.connections[i].state != VSOCK_FREE;
  return used;
}

uint8_t test_vsock(void) {
  uint64_t at_once = cmdline_number("conns", 1), total = cmdline_number("total", at_once), started = 0;
  mode = mode_of_cmdline();
  wanted_bytes = cmdline_number("bytes", 0);
  message_bytes = cmdline_number("message", 0);
  make_pattern();
  echo_rings = memory_take(VSOCK_CONNECTIONS * ECHO_BYTES);
  echo_flags = memory_take(VSOCK_CONNECTIONS * ECHO_BYTES);
  echo_packets = memory_take(VSOCK_CONNECTIONS * ECHO_PACKET);
  uint32_t buf_alloc = mode == ECHO ? ECHO_BYTES : (uint32_t)cmdline_number("credit", 262144);
  vsock_open(&vsock, (uint32_t)cmdline_number("rxsize", 4096), buf_alloc);
  vsock.listen_port = (uint32_t)cmdline_number("listen", 0);
  print("ready\n");
  uint64_t begin = cycles();
  while (finished < total) {
    while (!vsock.listen_port && started < total && in_use() < at_once && start_one()) started++;
    vsock_poll(&vsock, handle);
    for (unsigned i = 0; i < VSOCK_CONNECTIONS; i++) serve(&vsock.connections[i]);
    virtq_kick(&vsock.transmit);
  }
  uint64_t end = cycles();
  print_field("connections", finished);
  print_field("resets", resets);
  print_field("failures", failures);
  print_field("messages", messages);
  print_field("in", total_in);
  print_field("out", total_out);
  print_field("cycles", end - begin);
  return failures != 0;
}

static bool answered;

static void handle_answer(struct vsock *from, struct vsock_connection *connection,
                          const struct vsock_header *header, const uint8_t *payload) {
  (void)from, (void)payload;
  if (header->op == VSOCK_OP_RW) {
    connection->forwarded += header->length;
    answered = true;
  }
  if (header->op == VSOCK_OP_RST) die("the host closed the connection");
}

/* `ops=` times a byte to the host (`connect=`, where an echo must listen) and back. */
uint8_t test_vsock_bench(void) {
  uint64_t ops = cmdline_number("ops", 10000);
  make_pattern();
  vsock_open(&vsock, 4096, 262144);
  struct vsock_connection *connection = vsock_connect(&vsock, (uint32_t)cmdline_number("connect", 80));
  while (connection->state != VSOCK_OPEN) vsock_poll(&vsock, handle_answer);
  uint64_t begin = cycles();
  for (uint64_t op = 0; op < ops; op++) {
    answered = false;
    vsock_send(&vsock, connection, VSOCK_OP_RW, 0, pattern, 1);
    virtq_kick(&vsock.transmit);
    while (!answered) vsock_poll(&vsock, handle_answer);
  }
  print_result(ops, ops, cycles() - begin);
  return 0;
}
