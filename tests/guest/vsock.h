/* virtio-vsock (virtio 1.4, 5.10): packets and credit of many connections, by polling. */
#ifndef VSOCK_H
#define VSOCK_H

#include "virtio.h"

#define VSOCK_OP_REQUEST 1
#define VSOCK_OP_RESPONSE 2
#define VSOCK_OP_RST 3
#define VSOCK_OP_SHUTDOWN 4
#define VSOCK_OP_RW 5
#define VSOCK_OP_CREDIT_UPDATE 6
#define VSOCK_OP_CREDIT_REQUEST 7
#define VSOCK_SHUTDOWN_RCV 1u
#define VSOCK_SHUTDOWN_SEND 2u
#define VSOCK_SHUTDOWN_BOTH 3u

#define VSOCK_TYPE_STREAM 1
#define VSOCK_TYPE_SEQPACKET 2
#define VSOCK_SEQ_EOM 1u

#define VSOCK_HOST 2
#define VSOCK_PACKET_MAX 65536u
#define VSOCK_CONNECTIONS 256

struct vsock_header {
  uint64_t source_cid, destination_cid;
  uint32_t source_port, destination_port, length;
  uint16_t type, op;
  uint32_t flags, buf_alloc, fwd_cnt;
} __attribute__((packed));

enum vsock_state { VSOCK_FREE, VSOCK_CONNECTING, VSOCK_OPEN, VSOCK_CLOSING };

struct vsock_connection {
  enum vsock_state state;
  uint32_t local_port, peer_port;
  uint32_t sent, peer_buf_alloc, peer_fwd_cnt;
  uint32_t received, forwarded, told;  /* the device hears of `forwarded` as `fwd_cnt` */
  uint32_t peer_shutdown;
  bool was_reset;                      /* by the peer, while it was open */
  uint64_t bytes_out, bytes_in;        /* for the test: payload so far */
  bool output_ended;
};

struct vsock {
  struct virtio_device *device;
  struct virtqueue receive, transmit, events;
  uint64_t cid;
  uint16_t type;                       /* of all connections */
  uint32_t buf_alloc;                  /* what we say we have for each connection */
  uint32_t receive_bytes;              /* size of a receive buffer, header included */
  uint8_t *receive_buffers;
  struct vsock_header *headers;        /* one for each transmit slot */
  uint16_t free_slots[QUEUE_MAX], free_count;
  uint32_t listen_port;                /* 0: nobody listens */
  struct vsock_connection connections[VSOCK_CONNECTIONS];
};

/* Brings the device up with `receive_bytes` for each receive buffer; `seqpacket` makes all connections SOCK_SEQPACKET. */
void vsock_open(struct vsock *vsock, uint32_t receive_bytes, uint32_t buf_alloc);

/* Starts to connect; NULL when no connection is free. */
struct vsock_connection *vsock_connect(struct vsock *vsock, uint32_t port);

/* Bytes the host has room for. */
uint32_t vsock_credit(const struct vsock_connection *connection);

/* Queues a packet with `length` bytes at `data`, which stay as they are until it has been taken. False: no slot. */
bool vsock_send(struct vsock *vsock, struct vsock_connection *connection, uint16_t op, uint32_t flags,
                const void *data, uint32_t length);

/* What a received packet is for the test; RW has its payload. The state has changed already. */
typedef void vsock_handler(struct vsock *vsock, struct vsock_connection *connection,
                           const struct vsock_header *header, const uint8_t *payload);

/* Takes what has arrived and what has been sent, and publishes what was queued. */
void vsock_poll(struct vsock *vsock, vsock_handler *handler);

#endif
