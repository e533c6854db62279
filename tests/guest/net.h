/* virtio-net (virtio 1.4, 5.1): one pair of queues, a fixed number of receive buffers, frames sent from anywhere. */
#ifndef NET_H
#define NET_H

#include "virtio.h"

#define VIRTIO_ID_NET 1

/* Feature bits, clause 5.1.3. */
#define VIRTIO_NET_F_CSUM FEATURE(0)
#define VIRTIO_NET_F_GUEST_CSUM FEATURE(1)
#define VIRTIO_NET_F_MTU FEATURE(3)
#define VIRTIO_NET_F_MAC FEATURE(5)
#define VIRTIO_NET_F_HOST_TSO4 FEATURE(11)
#define VIRTIO_NET_F_MRG_RXBUF FEATURE(15)
#define VIRTIO_NET_F_STATUS FEATURE(16)

/* Configuration fields, clause 5.1.4. */
#define NET_CONFIG_MAC 0
#define NET_CONFIG_STATUS 6
#define NET_CONFIG_MTU 10

#define VIRTIO_NET_HDR_F_NEEDS_CSUM 1
#define VIRTIO_NET_HDR_GSO_TCPV4 1

#define ETHERNET_HEADER 14

/* In front of every frame, clause 5.1.6. */
struct net_header {
  uint8_t flags, gso_type;
  uint16_t hdr_len, gso_size, csum_start, csum_offset, buffers;
};

/* A header and the frame behind it, as they lie in memory. */
struct net_packet {
  struct net_header header;
  uint8_t frame[];
};

struct net {
  struct virtio_device *device;
  struct virtqueue receive, send;
  uint8_t mac[6];
  uint32_t buffer;             /* bytes of each receive buffer */
  unsigned count;              /* of them */
  struct net_packet **packets; /* by token */
};

/* Brings up the card that `card=` names, with `buffer=` (2K) bytes in each receive buffer. */
void net_open(struct net *net, uint64_t wanted, unsigned receive_buffers);

/* Gives receive buffer `token` to the device; it gets visible with virtq_kick. */
void net_offer(struct net *net, uint16_t token);

/* Queues `length` bytes, header included; they must not change until `token` comes back. False: the ring is full. */
bool net_send(struct net *net, struct net_packet *packet, uint32_t length, uint16_t token);

#endif
