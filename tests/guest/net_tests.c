/* Tests of virtio-net: a host of its own that answers ARP, ping and UDP; frames with bad headers; benchmarks. */
#include "cmdline.h"
#include "cpu.h"
#include "memory.h"
#include "net.h"
#include "print.h"
#include "ring0.h"
#include "tests.h"

#define TYPE_IPV4 0x0800
#define TYPE_ARP 0x0806
#define TYPE_EXPERIMENT 0x88b5         /* IEEE 802.1: for local experiments; no host answers it */
#define PROTOCOL_ICMP 1
#define PROTOCOL_UDP 17
#define IP_HEADER 20
#define DEFAULT_ADDRESS 0x0a000002     /* 10.0.0.2 */
#define RING 256

static struct net net;
static uint32_t address;

static uint16_t get16(const uint8_t *at) {
  return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at) {
  return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static void put16(uint8_t *at, uint16_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

static void swap(uint8_t *left, uint8_t *right, unsigned length) {
  while (length--) {
    uint8_t byte = *left;
    *left++ = *right;
    *right++ = byte;
  }
}

uint8_t test_net_info(void) {
  net_open(&net, VIRTIO_NET_F_MTU, 0);
  print("features ");
  print_hex(net.device->offered, 16);
  print("\nmac ");
  for (unsigned i = 0; i < 6; i++) print_hex(net.mac[i], 2);
  print("\n");
  print_field("status", virtio_config16(net.device, NET_CONFIG_STATUS));
  print_field("mtu", virtio_config16(net.device, NET_CONFIG_MTU));
  return 0;
}

/* Makes the answer to an ARP request of it; false if it is not for us. */
static bool answer_arp(uint8_t *frame) {
  uint8_t *arp = frame + ETHERNET_HEADER;
  if (get16(arp + 6) != 1 || get32(arp + 24) != address) return false;
  put16(arp + 6, 2);
  swap(arp + 8, arp + 18, 10);         /* addresses of sender and target */
  memcpy(arp + 8, net.mac, 6);
  memcpy(frame, frame + 6, 6);
  memcpy(frame + 6, net.mac, 6);
  return true;
}

/*
 * Makes the answer to a packet of it: sender and receiver change places, which leaves every checksum as it is,
 * and an echo request becomes a reply.
 */
static bool answer_ip(uint8_t *frame) {
  uint8_t *ip = frame + ETHERNET_HEADER, *inner = ip + IP_HEADER;
  if (ip[0] != 0x45 || get32(ip + 16) != address) return false;
  if (ip[9] == PROTOCOL_ICMP) {
    if (inner[0] != 8) return false;
    uint32_t sum = get16(inner + 2) + 0x0800u;
    inner[0] = 0;
    put16(inner + 2, (uint16_t)(sum + (sum >> 16)));
  } else if (ip[9] == PROTOCOL_UDP) {
    swap(inner, inner + 2, 2);
  } else {
    return false;
  }
  swap(ip + 12, ip + 16, 4);
  memcpy(frame, frame + 6, 6);
  memcpy(frame + 6, net.mac, 6);       /* it may have come to all */
  return true;
}

static bool is_quit(const uint8_t *frame, uint32_t length) {
  const uint8_t *payload = frame + ETHERNET_HEADER + IP_HEADER + 8;
  return length >= ETHERNET_HEADER + IP_HEADER + 8 + 4 && frame[ETHERNET_HEADER + 9] == PROTOCOL_UDP &&
         memcmp(payload, "quit", 4) == 0;
}

/* Takes back what was sent and offers it for receiving. */
static void recycle(void) {
  uint16_t token;
  while ((token = virtq_take(&net.send)) != NO_TOKEN) net_offer(&net, token);
}

uint8_t test_net_echo(void) {
  uint64_t answered = 0;
  address = (uint32_t)cmdline_number("ip", DEFAULT_ADDRESS);
  net_open(&net, VIRTIO_NET_F_CSUM | VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_MRG_RXBUF | VIRTIO_NET_F_MTU, RING / 2);
  print("ready\n");
  for (bool quit = false; !quit;) {
    uint16_t token = virtq_wait(&net.receive);
    do {
      struct net_packet *packet = net.packets[token];
      uint32_t length = net.receive.used_length;
      if (length < sizeof packet->header + ETHERNET_HEADER) die("a packet is shorter than its headers");
      if (packet->header.buffers != 1) die("a packet does not fit a buffer");
      uint8_t *frame = packet->frame;
      uint16_t type = get16(frame + 12);
      quit |= is_quit(frame, length - (uint32_t)sizeof packet->header);
      bool answer = (type == TYPE_ARP && answer_arp(frame)) || (type == TYPE_IPV4 && answer_ip(frame));
      packet->header.buffers = 0;
      packet->header.flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
      if (answer) {
        answered++;
        if (!net_send(&net, packet, length, token)) die("the transmit ring is full");
      } else {
        net_offer(&net, token);
      }
    } while ((token = virtq_take(&net.receive)) != NO_TOKEN);
    virtq_kick(&net.send);
    recycle();
    virtq_kick(&net.receive);
  }
  while (net.send.free_count < net.send.size) virtq_take(&net.send);
  print_field("answered", answered);
  return 0;
}

static void put32(uint8_t *at, uint32_t value) {
  put16(at, (uint16_t)(value >> 16));
  put16(at + 2, (uint16_t)value);
}

static uint16_t ip_checksum(const uint8_t *ip) {
  uint32_t sum = 0;
  for (unsigned i = 0; i < IP_HEADER; i += 2) sum += get16(ip + i);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)~sum;
}

#define CLIENT_ADDRESS 0x0a000003      /* 10.0.0.3 */
#define CLIENT_PORT 4000
#define ECHO_PORT 7
#define UDP_PAYLOAD (ETHERNET_HEADER + IP_HEADER + 8)
#define RETRY_CYCLES 1000000000ull

static uint8_t payload_byte(uint32_t round, uint32_t i) {
  return (uint8_t)(i * 31 + round * 7 + (i >> 8));
}

/* A datagram with `length` bytes of payload for the echo, to whoever is on the cable. No UDP checksum: it is optional. */
static void fill_datagram(struct net_packet *packet, uint32_t round, uint32_t length) {
  uint8_t *frame = packet->frame, *ip = frame + ETHERNET_HEADER, *udp = ip + IP_HEADER;
  memset(packet, 0, sizeof packet->header + UDP_PAYLOAD);
  memset(frame, 0xff, 6);
  memcpy(frame + 6, net.mac, 6);
  put16(frame + 12, TYPE_IPV4);
  ip[0] = 0x45;
  put16(ip + 2, (uint16_t)(IP_HEADER + 8 + length));
  ip[8] = 64;
  ip[9] = PROTOCOL_UDP;
  put32(ip + 12, CLIENT_ADDRESS);
  put32(ip + 16, address);
  put16(ip + 10, ip_checksum(ip));
  put16(udp, CLIENT_PORT);
  put16(udp + 2, ECHO_PORT);
  put16(udp + 4, (uint16_t)(8 + length));
  for (uint32_t i = 0; i < length; i++) frame[UDP_PAYLOAD + i] = payload_byte(round, i);
}

/* Whether `frame` is the echo of that datagram; ends the guest when it is and a byte is wrong. */
static bool is_echo(const uint8_t *frame, uint32_t received, uint32_t round, uint32_t length) {
  const uint8_t *udp = frame + ETHERNET_HEADER + IP_HEADER;
  if (received < UDP_PAYLOAD + length || get16(frame + 12) != TYPE_IPV4) return false;
  if (frame[ETHERNET_HEADER + 9] != PROTOCOL_UDP || get16(udp + 2) != CLIENT_PORT) return false;
  if (get16(udp + 4) != 8 + length) return false;
  for (uint32_t i = 0; i < length; i++) {
    if (frame[UDP_PAYLOAD + i] != payload_byte(round, i)) die("an echo has a wrong byte");
  }
  return true;
}

/* Sends datagrams of growing length to the echo at `ip=`, each until its answer comes; then "quit" with the word. */
uint8_t test_net_client(void) {
  uint64_t count = cmdline_number("count", 1472);
  uint32_t most = (uint32_t)cmdline_number("most", 1472);
  address = (uint32_t)cmdline_number("ip", DEFAULT_ADDRESS);
  net_open(&net, 0, RING / 2);
  struct net_packet *packet = memory_take(sizeof *packet + UDP_PAYLOAD + most);
  for (uint32_t round = 0; round < count; round++) {
    uint32_t length = round % most + 1;
    fill_datagram(packet, round, length);
    for (bool answered = false; !answered;) {
      if (!net_send(&net, packet, (uint32_t)sizeof packet->header + UDP_PAYLOAD + length, 0)) die("ring");
      virtq_kick(&net.send);
      virtq_wait(&net.send);
      uint64_t sent = cycles();
      while (!answered && cycles() - sent < RETRY_CYCLES) {
        uint16_t token = virtq_take(&net.receive);
        if (token == NO_TOKEN) continue;
        uint32_t received = net.receive.used_length - (uint32_t)sizeof packet->header;
        answered = is_echo(net.packets[token]->frame, received, round, length);
        net_offer(&net, token);
        virtq_kick(&net.receive);
      }
    }
  }
  if (cmdline_flag("quit")) {
    fill_datagram(packet, 0, 4);
    memcpy(packet->frame + UDP_PAYLOAD, "quit", 4);
    net_send(&net, packet, (uint32_t)sizeof packet->header + UDP_PAYLOAD + 4, 0);
    virtq_kick(&net.send);
    virtq_wait(&net.send);
  }
  print_field("echoes", count);
  return 0;
}

/* A broadcast frame of `length` bytes that no host answers, under an empty header. */
static void fill_frame(struct net_packet *packet, uint32_t length) {
  memset(packet, 0, sizeof packet->header + length);
  memset(packet->frame, 0xff, 6);
  memcpy(packet->frame + 6, net.mac, 6);
  put16(packet->frame + 12, TYPE_EXPERIMENT);
  for (uint32_t i = ETHERNET_HEADER; i < length; i++) packet->frame[i] = generated_byte(i);
}

static const struct net_header bad_headers[] = {
  { .flags = 1, .csum_start = 0xffff, .csum_offset = 0xffff },
  { .flags = 1, .csum_start = 99, .csum_offset = 0 },
  { .flags = 1, .csum_start = 0, .csum_offset = 0 },
  { .flags = 1, .gso_type = 1, .gso_size = 0, .csum_start = 34, .csum_offset = 16 },
  { .flags = 0, .gso_type = 1, .gso_size = 1000, .csum_start = 34, .csum_offset = 16 },
  { .flags = 1, .gso_type = 1, .gso_size = 1000, .csum_start = 90, .csum_offset = 16 },
  { .flags = 1, .gso_type = 3, .gso_size = 1000, .csum_start = 34, .csum_offset = 6 },
  { .flags = 1, .gso_type = 0x21, .gso_size = 1000, .csum_start = 34, .csum_offset = 16 },
  { .flags = 1, .gso_type = 0xff, .gso_size = 1000, .csum_start = 34, .csum_offset = 16 },
  { .gso_type = 0x80 },
};

/* Frames that must not get out, then `count=` that must. */
uint8_t test_net_bad(void) {
  struct net_packet *packet = memory_take(sizeof *packet + 100);
  net_open(&net, VIRTIO_NET_F_CSUM | VIRTIO_NET_F_HOST_TSO4, 0);
  for (unsigned i = 0; i < sizeof bad_headers / sizeof *bad_headers; i++) {
    fill_frame(packet, 100);
    packet->header = bad_headers[i];
    net_send(&net, packet, sizeof packet->header + 100, 0);
    virtq_kick(&net.send);
    virtq_wait(&net.send);
  }
  for (uint32_t length = 1; length < sizeof packet->header + ETHERNET_HEADER; length++) {
    fill_frame(packet, 100);
    net_send(&net, packet, length, 0);
    virtq_kick(&net.send);
    virtq_wait(&net.send);
  }
  for (uint64_t count = cmdline_number("count", 1); count > 0; count--) {
    fill_frame(packet, 100);
    net_send(&net, packet, sizeof packet->header + 100, 0);
    virtq_kick(&net.send);
    virtq_wait(&net.send);
  }
  return 0;
}

/* An IPv4 packet of TCP, to be cut into segments of `mss`; nobody listens where it goes. */
static void fill_segment(struct net_packet *packet, uint32_t length, uint16_t mss) {
  uint8_t *ip = packet->frame + ETHERNET_HEADER, *tcp = ip + IP_HEADER;
  fill_frame(packet, length);
  put16(packet->frame + 12, TYPE_IPV4);
  memset(ip, 0, IP_HEADER + 20);
  ip[0] = 0x45;
  put16(ip + 2, (uint16_t)(length - ETHERNET_HEADER));
  ip[8] = 64;
  ip[9] = 6;
  put32(ip + 12, DEFAULT_ADDRESS);
  put32(ip + 16, 0x0a000063);            /* 10.0.0.99: not the host's, so it is dropped there */
  put16(ip + 10, ip_checksum(ip));
  tcp[12] = 0x50;
  tcp[13] = 0x10;
  packet->header = (struct net_header){
    .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .hdr_len = 54,
    .gso_size = mss, .csum_start = 34, .csum_offset = 16,
  };
}

/* Sends `count=` frames of `size=` bytes, `depth=` at a time, with `tso` as TCP segments to be cut. */
uint8_t test_net_send(void) {
  uint64_t count = cmdline_number("count", 100000), started = 0, done = 0;
  uint32_t size = (uint32_t)cmdline_number("size", 64);
  unsigned depth = (unsigned)cmdline_number("depth", 128);
  net_open(&net, VIRTIO_NET_F_CSUM | VIRTIO_NET_F_HOST_TSO4, 0);
  if (depth == 0 || depth > net.send.size || size < ETHERNET_HEADER) die("depth= or size= is out of range");
  struct net_packet **packets = memory_take(depth * sizeof *packets);
  for (unsigned i = 0; i < depth; i++) {
    packets[i] = memory_take(sizeof **packets + size);
    if (cmdline_flag("tso")) {
      fill_segment(packets[i], size, 1448);
    } else {
      fill_frame(packets[i], size);
    }
  }
  uint64_t begin = cycles();
  for (uint16_t token = 0; token < depth && started < count; token++, started++) {
    net_send(&net, packets[token], sizeof(struct net_header) + size, token);
  }
  virtq_kick(&net.send);
  while (done < count) {
    uint16_t token = virtq_wait(&net.send);
    do {
      done++;
      if (started < count) {
        net_send(&net, packets[token], sizeof(struct net_header) + size, token);
        started++;
      }
    } while ((token = virtq_take(&net.send)) != NO_TOKEN);
    virtq_kick(&net.send);
  }
  print_result(count, count * size, cycles() - begin);
  return 0;
}

/* Receives `count=` frames of at least `size=` bytes and counts from the first one on. */
uint8_t test_net_receive(void) {
  uint64_t count = cmdline_number("count", 100000), seen = 0, bytes = 0, begin = 0, last = 0;
  uint32_t least = (uint32_t)cmdline_number("size", 60);
  net_open(&net, VIRTIO_NET_F_MRG_RXBUF, RING);
  print("ready\n");
  while (seen < count) {
    uint16_t token = virtq_wait(&net.receive);
    do {
      uint32_t length = net.receive.used_length - (uint32_t)sizeof(struct net_header);
      if (length >= least && seen++ == 0) begin = cycles();
      if (length >= least) bytes += length;
      net_offer(&net, token);
    } while ((token = virtq_take(&net.receive)) != NO_TOKEN);
    last = cycles();
    virtq_kick(&net.receive);
  }
  print_result(seen, bytes, last - begin);
  return 0;
}
