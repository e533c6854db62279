/*
 * Several queue pairs of a card (virtio 1.4, 5.1.6.5.5): each datagram is sent on a pair of our choice, and its answer
 * has to come back on that pair, because the device sends a flow where it last came from.
 */
#include "cmdline.h"
#include "cpu.h"
#include "memory.h"
#include "net.h"
#include "print.h"
#include "ring0.h"
#include "tests.h"

#define VIRTIO_NET_F_CTRL_VQ FEATURE(17)
#define VIRTIO_NET_F_MQ FEATURE(22)
#define NET_CONFIG_MAX_PAIRS 8
#define CTRL_MQ 4
#define CTRL_MQ_VQ_PAIRS_SET 0
#define CTRL_OK 0

#define MOST_PAIRS 8
#define BUFFERS 64
#define BUFFER 2048
#define IP (ETHERNET_HEADER)
#define UDP (IP + 20)
#define PAYLOAD (UDP + 8)
#define OUR_ADDRESS 0x0a000003         /* 10.0.0.3 */
#define ECHO_ADDRESS 0x0a000001        /* 10.0.0.1 */
#define ECHO_PORT 7
#define FIRST_PORT 4000
#define RETRY_CYCLES 2000000000ull

struct pair {
  struct virtqueue receive, send;
  struct net_packet *buffers[BUFFERS];
  struct net_packet *packet;           /* the one that is being sent */
  uint64_t answers;
};

static struct virtio_device *card;
static struct pair pairs[MOST_PAIRS];
static struct virtqueue control;
static uint8_t mac[6];
static uint64_t astray;

static void put16(uint8_t *at, uint32_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value) {
  put16(at, value >> 16);
  put16(at + 2, value & 0xffff);
}

static uint32_t get16(const uint8_t *at) {
  return (uint32_t)(at[0] << 8 | at[1]);
}

static void offer(struct pair *pair, uint16_t token) {
  struct segment segment = { pair->buffers[token], BUFFER, true };
  if (!virtq_add(&pair->receive, &segment, 1, token)) die("the receive ring is full");
}

static void open_card(unsigned count) {
  card = virtio_find(VIRTIO_ID_NET, 0);
  virtio_negotiate(card, VIRTIO_NET_F_MAC | VIRTIO_NET_F_CTRL_VQ | VIRTIO_NET_F_MQ);
  if (!(card->accepted & VIRTIO_NET_F_MQ)) die("the card has one pair of queues");
  unsigned most = virtio_config16(card, NET_CONFIG_MAX_PAIRS);
  print_field("max_pairs", most);
  if (count > most || count > MOST_PAIRS) die("pairs= is out of range");
  for (unsigned i = 0; i < count; i++) {
    if (!virtio_queue(card, &pairs[i].receive, (uint16_t)(2 * i))) die("a receive queue is missing");
    if (!virtio_queue(card, &pairs[i].send, (uint16_t)(2 * i + 1))) die("a transmit queue is missing");
    pairs[i].packet = memory_take(BUFFER);
  }
  if (!virtio_queue(card, &control, (uint16_t)(2 * most))) die("the control queue is missing");
  virtio_driver_ok(card);
  for (unsigned i = 0; i < sizeof mac; i++) mac[i] = virtio_config8(card, NET_CONFIG_MAC + i);
  for (unsigned i = 0; i < count; i++) {
    for (uint16_t token = 0; token < BUFFERS; token++) {
      pairs[i].buffers[token] = memory_take(BUFFER);
      offer(&pairs[i], token);
    }
    virtq_kick(&pairs[i].receive);
  }
}

static void use_pairs(unsigned count) {
  struct { uint8_t class, command; uint16_t pairs; } *request = memory_take(sizeof *request);
  uint8_t *answer = memory_take(1);
  request->class = CTRL_MQ;
  request->command = CTRL_MQ_VQ_PAIRS_SET;
  request->pairs = (uint16_t)count;
  *answer = 0xff;
  struct segment segments[] = { { request, sizeof *request, false }, { answer, 1, true } };
  if (!virtq_add(&control, segments, 2, 0)) die("the control ring is full");
  virtq_kick(&control);
  virtq_wait(&control);
  if (*answer != CTRL_OK) die("the card refused its queue pairs");
}

/* The number of a datagram is in its payload, so that a late answer is not taken for another. */
static void fill(uint8_t *frame, unsigned flow, uint32_t number) {
  uint32_t sum = 0;
  memset(frame, 0, PAYLOAD);
  memset(frame, 0xff, 6);
  memcpy(frame + 6, mac, 6);
  put16(frame + 12, 0x0800);
  frame[IP] = 0x45;
  put16(frame + IP + 2, 20 + 8 + 4);
  frame[IP + 8] = 64;
  frame[IP + 9] = 17;
  put32(frame + IP + 12, OUR_ADDRESS);
  put32(frame + IP + 16, ECHO_ADDRESS);
  for (unsigned i = 0; i < 20; i += 2) sum += get16(frame + IP + i);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  put16(frame + IP + 10, ~sum & 0xffff);
  put16(frame + UDP, FIRST_PORT + flow);
  put16(frame + UDP + 2, ECHO_PORT);
  put16(frame + UDP + 4, 8 + 4);
  put32(frame + PAYLOAD, number);
}

static bool is_answer(const uint8_t *frame, uint32_t length, unsigned flow, uint32_t number) {
  uint8_t wanted[4];
  put32(wanted, number);
  return length >= PAYLOAD + 4 && get16(frame + 12) == 0x0800 && frame[IP + 9] == 17 &&
         get16(frame + UDP) == ECHO_PORT && get16(frame + UDP + 2) == FIRST_PORT + flow &&
         memcmp(frame + PAYLOAD, wanted, 4) == 0;
}

/* Looks through what came on all pairs; true once the answer is among it. */
static bool answered(unsigned on, unsigned flow, uint32_t number) {
  bool found = false;
  for (unsigned i = 0; i < MOST_PAIRS && pairs[i].packet; i++) {
    for (uint16_t token; (token = virtq_take(&pairs[i].receive)) != NO_TOKEN; offer(&pairs[i], token)) {
      uint32_t length = pairs[i].receive.used_length - (uint32_t)sizeof(struct net_header);
      if (!is_answer(pairs[i].buffers[token]->frame, length, flow, number)) continue;
      if (!found) pairs[i].answers++;
      if (!found && i != on) astray++;
      found = true;
    }
    virtq_kick(&pairs[i].receive);
  }
  return found;
}

static void ask(unsigned on, unsigned flow, uint32_t number) {
  struct pair *pair = &pairs[on];
  for (bool done = false; !done;) {
    memset(&pair->packet->header, 0, sizeof pair->packet->header);
    fill(pair->packet->frame, flow, number);
    struct segment segment = { pair->packet, sizeof(struct net_header) + PAYLOAD + 4, false };
    if (!virtq_add(&pair->send, &segment, 1, 0)) die("the transmit ring is full");
    virtq_kick(&pair->send);
    virtq_wait(&pair->send);
    for (uint64_t sent = cycles(); !done && cycles() - sent < RETRY_CYCLES;) done = answered(on, flow, number);
  }
}

/* `rounds=` times `flows=` datagrams over `pairs=` pairs, each flow on another pair every round; then over one alone. */
uint8_t test_net_pairs(void) {
  unsigned count = (unsigned)cmdline_number("pairs", 2), flows = (unsigned)cmdline_number("flows", 8);
  unsigned rounds = (unsigned)cmdline_number("rounds", 10);
  uint32_t number = 1;
  open_card(count);
  use_pairs(count);
  for (unsigned round = 0; round < rounds; round++) {
    for (unsigned flow = 0; flow < flows; flow++) ask((flow + round) % count, flow, number++);
  }
  for (unsigned i = 0; i < count; i++) print_field("answers", pairs[i].answers);
  print_field("astray", astray);
  use_pairs(1);
  pairs[0].answers = 0;
  for (unsigned flow = 0; flow < flows; flow++) ask(0, flow, number++);
  print_field("alone", pairs[0].answers);
  return astray != 0;
}
