/* Discovery, negotiation and registers: virtio 1.4 clauses 3.1 and 4.2. */
#include "virtio.h"

#include "cmdline.h"
#include "cpu.h"
#include "memory.h"
#include "ring0.h"
#include "virtqueue.h"

/* Clause 4.2.2. */
#define MAGIC_VALUE 0x74726976
#define MODERN_VERSION 2
#define MMIO_VERSION 0x004
#define MMIO_DEVICE_ID 0x008
#define MMIO_DEVICE_FEATURES 0x010
#define MMIO_DEVICE_FEATURES_SEL 0x014
#define MMIO_DRIVER_FEATURES 0x020
#define MMIO_DRIVER_FEATURES_SEL 0x024
#define MMIO_QUEUE_SEL 0x030
#define MMIO_QUEUE_SIZE_MAX 0x034
#define MMIO_QUEUE_SIZE 0x038
#define MMIO_QUEUE_READY 0x044
#define MMIO_INTERRUPT_STATUS 0x060
#define MMIO_INTERRUPT_ACK 0x064
#define MMIO_STATUS 0x070
#define MMIO_QUEUE_DESC 0x080
#define MMIO_QUEUE_DRIVER 0x090
#define MMIO_QUEUE_DEVICE 0x0a0
#define MMIO_CONFIG_GENERATION 0x0fc
#define MMIO_CONFIG 0x100

/* Clause 2.1. */
#define STATUS_ACKNOWLEDGE 0x01
#define STATUS_DRIVER 0x02
#define STATUS_DRIVER_OK 0x04
#define STATUS_FEATURES_OK 0x08

#define DEVICES 32

static struct virtio_device devices[DEVICES];
static unsigned device_count;

static uint32_t reg(const struct virtio_device *device, unsigned offset) {
  return mmio_read32(device->base + offset);
}

static void set_reg(const struct virtio_device *device, unsigned offset, uint32_t value) {
  mmio_write32(device->base + offset, value);
}

static void set_address(const struct virtio_device *device, unsigned offset, const volatile void *at) {
  set_reg(device, offset, (uint32_t)(uintptr_t)at);
  set_reg(device, offset + 4, (uint32_t)((uintptr_t)at >> 32));
}

/* SIZE@ADDRESS:IRQ, as in Linux's Documentation/admin-guide/kernel-parameters.txt. */
static void add_device(const char *word) {
  struct virtio_device *device = &devices[device_count];
  parse_number(&word);
  if (*word++ != '@') die("virtio_mmio.device= wants SIZE@ADDRESS:IRQ");
  device->base = parse_number(&word);
  if (*word++ != ':') die("virtio_mmio.device= wants SIZE@ADDRESS:IRQ");
  device->irq = (unsigned)parse_number(&word);
  if (reg(device, MMIO_MAGIC) != MAGIC_VALUE) die("no virtio magic at the given address");
  if (reg(device, MMIO_VERSION) != MODERN_VERSION) die("not a modern virtio device (version 2)");
  device->id = reg(device, MMIO_DEVICE_ID);
  if (device->id != 0) device_count++;
}

void virtio_init(void) {
  const char *word;
  for (unsigned n = 0; (word = cmdline_nth("virtio_mmio.device", n)); n++) {
    if (device_count < DEVICES) add_device(word);
  }
}

struct virtio_device *virtio_find(uint32_t id, unsigned n) {
  for (unsigned i = 0; i < device_count; i++) {
    if ((id == 0 || devices[i].id == id) && n-- == 0) return &devices[i];
  }
  die("no such virtio device");
}

static void add_status(const struct virtio_device *device, uint32_t bit) {
  set_reg(device, MMIO_STATUS, reg(device, MMIO_STATUS) | bit);
}

uint64_t virtio_offered(const struct virtio_device *device) {
  uint64_t features = 0;
  for (uint32_t word = 0; word < 2; word++) {
    set_reg(device, MMIO_DEVICE_FEATURES_SEL, word);
    features |= (uint64_t)reg(device, MMIO_DEVICE_FEATURES) << (32 * word);
  }
  return features;
}

static void accept_features(struct virtio_device *device, uint64_t features) {
  device->accepted = features;
  for (uint32_t word = 0; word < 2; word++) {
    set_reg(device, MMIO_DRIVER_FEATURES_SEL, word);
    set_reg(device, MMIO_DRIVER_FEATURES, (uint32_t)(features >> (32 * word)));
  }
}

void virtio_negotiate(struct virtio_device *device, uint64_t wanted) {
  set_reg(device, MMIO_STATUS, 0);
  while (reg(device, MMIO_STATUS) != 0) cpu_relax();
  add_status(device, STATUS_ACKNOWLEDGE);
  add_status(device, STATUS_DRIVER);
  device->offered = virtio_offered(device);
  if (!(device->offered & VIRTIO_F_VERSION_1)) die("the device does not offer VERSION_1");
  wanted |= VIRTIO_F_VERSION_1;
  if (!cmdline_flag("noevent")) wanted |= VIRTIO_F_EVENT_IDX;
  if (!cmdline_flag("noindirect")) wanted |= VIRTIO_F_INDIRECT_DESC;
  accept_features(device, device->offered & wanted);
  add_status(device, STATUS_FEATURES_OK);
  if (!(reg(device, MMIO_STATUS) & STATUS_FEATURES_OK)) die("the device refused our features");
}

/* Clause 4.2.3.2. */
bool virtio_queue(struct virtio_device *device, struct virtqueue *queue, uint16_t index) {
  set_reg(device, MMIO_QUEUE_SEL, index);
  uint32_t size = reg(device, MMIO_QUEUE_SIZE_MAX);
  if (size == 0) return false;
  if (reg(device, MMIO_QUEUE_READY) != 0) die("a queue is ready after reset");
  virtq_init(queue, device, index, size < QUEUE_MAX ? (uint16_t)size : QUEUE_MAX);
  set_reg(device, MMIO_QUEUE_SIZE, queue->size);
  set_address(device, MMIO_QUEUE_DESC, queue->desc);
  set_address(device, MMIO_QUEUE_DRIVER, queue->avail);
  set_address(device, MMIO_QUEUE_DEVICE, queue->used);
  set_reg(device, MMIO_QUEUE_READY, 1);
  return true;
}

void virtio_driver_ok(struct virtio_device *device) {
  add_status(device, STATUS_DRIVER_OK);
}

uint32_t virtio_acknowledge(struct virtio_device *device, uint32_t mask) {
  uint32_t pending = reg(device, MMIO_INTERRUPT_STATUS) & mask;
  if (pending) set_reg(device, MMIO_INTERRUPT_ACK, pending);
  return pending;
}

uint32_t virtio_config32(const struct virtio_device *device, unsigned offset) {
  return reg(device, MMIO_CONFIG + offset);
}

uint16_t virtio_config16(const struct virtio_device *device, unsigned offset) {
  return mmio_read16(device->base + MMIO_CONFIG + offset);
}

uint8_t virtio_config8(const struct virtio_device *device, unsigned offset) {
  return mmio_read8(device->base + MMIO_CONFIG + offset);
}

void virtio_config_write8(const struct virtio_device *device, unsigned offset, uint8_t value) {
  mmio_write8(device->base + MMIO_CONFIG + offset, value);
}

/* Two halves belong together only if the generation stood still (clause 2.5.2). */
uint64_t virtio_config64(const struct virtio_device *device, unsigned offset) {
  uint64_t value;
  uint32_t generation;
  do {
    generation = virtio_config_generation(device);
    value = virtio_config32(device, offset) | (uint64_t)virtio_config32(device, offset + 4) << 32;
  } while (virtio_config_generation(device) != generation);
  return value;
}

uint32_t virtio_config_generation(const struct virtio_device *device) {
  return reg(device, MMIO_CONFIG_GENERATION);
}
