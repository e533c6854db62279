/* A driver of virtio-net (virtio 1.4, 5.1). */
#include "net.h"

#include "cmdline.h"
#include "memory.h"
#include "ring0.h"

#define DEFAULT_BUFFER 2048

void net_open(struct net *net, uint64_t wanted, unsigned receive_buffers) {
  net->device = virtio_find(VIRTIO_ID_NET, (unsigned)cmdline_number("card", 0));
  virtio_negotiate(net->device, wanted | VIRTIO_NET_F_MAC | VIRTIO_NET_F_STATUS);
  if (!virtio_queue(net->device, &net->receive, 0)) die("the card has no receive queue");
  if (!virtio_queue(net->device, &net->send, 1)) die("the card has no transmit queue");
  virtio_driver_ok(net->device);
  for (unsigned i = 0; i < sizeof net->mac; i++) {
    net->mac[i] = virtio_config8(net->device, NET_CONFIG_MAC + i);
  }
  net->buffer = (uint32_t)cmdline_number("buffer", DEFAULT_BUFFER);
  net->count = receive_buffers < net->receive.size ? receive_buffers : net->receive.size;
  net->packets = memory_take(net->count * sizeof *net->packets);
  for (unsigned i = 0; i < net->count; i++) {
    net->packets[i] = memory_take(net->buffer);
    net_offer(net, (uint16_t)i);
  }
  virtq_kick(&net->receive);
}

void net_offer(struct net *net, uint16_t token) {
  struct segment segment = { net->packets[token], net->buffer, true };
  if (!virtq_add(&net->receive, &segment, 1, token)) die("the receive ring is full");
}

bool net_send(struct net *net, struct net_packet *packet, uint32_t length, uint16_t token) {
  struct segment segment = { packet, length, false };
  return virtq_add(&net->send, &segment, 1, token);
}
