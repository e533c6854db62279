/* The driver's side of virtio-vsock: virtio 1.4 clause 5.10.6. */
#include "vsock.h"

#include "cmdline.h"
#include "cpu.h"
#include "memory.h"
#include "ring0.h"

#define F_SEQPACKET (1ull << 1)
#define FIRST_PORT 10000u

static uint32_t next_port = FIRST_PORT;

static void offer(struct vsock *vsock, uint16_t buffer) {
  struct segment segment = {
    vsock->receive_buffers + (size_t)buffer * vsock->receive_bytes, vsock->receive_bytes, true,
  };
  if (!virtq_add(&vsock->receive, &segment, 1, buffer)) die("the receive queue is full");
}

void vsock_open(struct vsock *vsock, uint32_t receive_bytes, uint32_t buf_alloc) {
  memset(vsock, 0, sizeof *vsock);
  vsock->device = virtio_find(VIRTIO_ID_VSOCK, 0);
  vsock->buf_alloc = buf_alloc;
  vsock->receive_bytes = receive_bytes;
  bool seqpacket = cmdline_flag("seqpacket");
  vsock->type = seqpacket ? VSOCK_TYPE_SEQPACKET : VSOCK_TYPE_STREAM;
  virtio_negotiate(vsock->device, seqpacket ? F_SEQPACKET : 0);
  if (seqpacket && !(vsock->device->offered & F_SEQPACKET)) die("the vsock device has no SEQPACKET");
  bool all = virtio_queue(vsock->device, &vsock->receive, 0) &&
             virtio_queue(vsock->device, &vsock->transmit, 1) && virtio_queue(vsock->device, &vsock->events, 2);
  if (!all) die("the vsock device has fewer than three queues");
  virtio_driver_ok(vsock->device);
  vsock->cid = virtio_config64(vsock->device, 0);
  vsock->headers = memory_take(vsock->transmit.size * sizeof(struct vsock_header));
  uint16_t slots = vsock->transmit.size / 2;  /* a packet with payload takes two descriptors */
  for (uint16_t i = 0; i < slots; i++) vsock->free_slots[vsock->free_count++] = i;
  vsock->receive_buffers = memory_take((size_t)vsock->receive.size * receive_bytes);
  for (uint16_t i = 0; i < vsock->receive.size; i++) offer(vsock, i);
  virtq_kick(&vsock->receive);
}

static struct vsock_connection *new_connection(struct vsock *vsock, enum vsock_state state) {
  for (unsigned i = 0; i < VSOCK_CONNECTIONS; i++) {
    struct vsock_connection *connection = &vsock->connections[i];
    if (connection->state != VSOCK_FREE) continue;
    memset(connection, 0, sizeof *connection);
    connection->state = state;
    return connection;
  }
  return NULL;
}

struct vsock_connection *vsock_connect(struct vsock *vsock, uint32_t port) {
  struct vsock_connection *connection = new_connection(vsock, VSOCK_CONNECTING);
  if (!connection) return NULL;
  connection->local_port = next_port++;
  connection->peer_port = port;
  if (vsock_send(vsock, connection, VSOCK_OP_REQUEST, 0, NULL, 0)) return connection;
  connection->state = VSOCK_FREE;
  return NULL;
}

uint32_t vsock_credit(const struct vsock_connection *connection) {
  return connection->peer_buf_alloc - (connection->sent - connection->peer_fwd_cnt);
}

static bool send_header(struct vsock *vsock, struct vsock_header header, const void *data) {
  if (vsock->free_count == 0) return false;
  uint16_t slot = vsock->free_slots[--vsock->free_count];
  header.source_cid = vsock->cid;
  header.destination_cid = VSOCK_HOST;
  vsock->headers[slot] = header;
  struct segment segments[] = {
    { &vsock->headers[slot], sizeof header, false },
    { (void *)(uintptr_t)data, header.length, false },
  };
  if (!virtq_add(&vsock->transmit, segments, header.length ? 2 : 1, slot)) die("the transmit queue is full");
  return true;
}

bool vsock_send(struct vsock *vsock, struct vsock_connection *connection, uint16_t op, uint32_t flags,
                const void *data, uint32_t length) {
  struct vsock_header header = {
    .source_port = connection->local_port,
    .destination_port = connection->peer_port,
    .length = length,
    .type = vsock->type,
    .op = op,
    .flags = flags,
    .buf_alloc = vsock->buf_alloc,
    .fwd_cnt = connection->forwarded,
  };
  if (!send_header(vsock, header, data)) return false;
  connection->told = connection->forwarded;
  connection->sent += length;
  return true;
}

/* An RST for a packet of no connection. */
static void refuse(struct vsock *vsock, const struct vsock_header *header) {
  struct vsock_header answer = {
    .source_port = header->destination_port, .destination_port = header->source_port, .type = header->type,
    .op = VSOCK_OP_RST,
  };
  if (header->op != VSOCK_OP_RST) send_header(vsock, answer, NULL);
}

static struct vsock_connection *find(struct vsock *vsock, const struct vsock_header *header) {
  for (unsigned i = 0; i < VSOCK_CONNECTIONS; i++) {
    struct vsock_connection *connection = &vsock->connections[i];
    if (connection->state != VSOCK_FREE && connection->local_port == header->destination_port &&
        connection->peer_port == header->source_port) {
      return connection;
    }
  }
  return NULL;
}

static struct vsock_connection *take_call(struct vsock *vsock, const struct vsock_header *header) {
  bool wanted = header->op == VSOCK_OP_REQUEST && header->destination_port == vsock->listen_port &&
                header->type == vsock->type;
  struct vsock_connection *connection = wanted ? new_connection(vsock, VSOCK_OPEN) : NULL;
  if (!connection) return NULL;
  connection->local_port = header->destination_port;
  connection->peer_port = header->source_port;
  return vsock_send(vsock, connection, VSOCK_OP_RESPONSE, 0, NULL, 0) ? connection : NULL;
}

static void receive_packet(struct vsock *vsock, const struct vsock_header *header, uint32_t used,
                           vsock_handler *handler) {
  if (used < sizeof *header || used != sizeof *header + header->length) die("a packet is not whole");
  if (header->source_cid != VSOCK_HOST || header->destination_cid != vsock->cid) die("a packet is not for us");
  struct vsock_connection *connection = find(vsock, header);
  if (!connection) connection = take_call(vsock, header);
  if (!connection) {
    refuse(vsock, header);
    return;
  }
  if (header->type != vsock->type) die("a packet has not the type of its connection");
  connection->peer_buf_alloc = header->buf_alloc;
  connection->peer_fwd_cnt = header->fwd_cnt;
  switch (header->op) {
    case VSOCK_OP_RESPONSE:
      connection->state = VSOCK_OPEN;
      break;
    case VSOCK_OP_RW:
      connection->received += header->length;
      if (connection->received - connection->forwarded > vsock->buf_alloc) die("the host ignores our credit");
      break;
    case VSOCK_OP_SHUTDOWN:
      connection->peer_shutdown |= header->flags;
      break;
    case VSOCK_OP_CREDIT_REQUEST:
      vsock_send(vsock, connection, VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0);
      break;
    case VSOCK_OP_RST:
      connection->was_reset = connection->state != VSOCK_CLOSING;
      break;
  }
  handler(vsock, connection, header, (const uint8_t *)(header + 1));
  if (header->op == VSOCK_OP_RST) connection->state = VSOCK_FREE;
}

void vsock_poll(struct vsock *vsock, vsock_handler *handler) {
  uint16_t token;
  while ((token = virtq_take(&vsock->transmit)) != NO_TOKEN) vsock->free_slots[vsock->free_count++] = token;
  while (vsock->free_count > 0 && (token = virtq_take(&vsock->receive)) != NO_TOKEN) {
    const uint8_t *buffer = vsock->receive_buffers + (size_t)token * vsock->receive_bytes;
    receive_packet(vsock, (const struct vsock_header *)buffer, vsock->receive.used_length, handler);
    offer(vsock, token);
  }
  virtq_kick(&vsock->receive);
  virtq_kick(&vsock->transmit);
}
