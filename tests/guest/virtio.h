/* A modern virtio driver over MMIO (virtio 1.4, 2.7 split virtqueues, 4.2 MMIO), by polling. */
#ifndef VIRTIO_H
#define VIRTIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Device ids, clause 5. */
#define VIRTIO_ID_CONSOLE 3
#define VIRTIO_ID_BLOCK 2
#define VIRTIO_ID_RNG 4
#define VIRTIO_ID_VSOCK 19

/* Feature bits, clause 6. */
#define FEATURE(bit) (1ull << (bit))
#define VIRTIO_F_INDIRECT_DESC FEATURE(28)
#define VIRTIO_F_EVENT_IDX FEATURE(29)
#define VIRTIO_F_VERSION_1 FEATURE(32)

/* MMIO registers used outside virtio.c, clause 4.2.2. */
#define MMIO_MAGIC 0x000
#define MMIO_QUEUE_NOTIFY 0x050

#define INTERRUPT_USED 1u
#define INTERRUPT_CONFIG 2u

struct virtio_device {
  uintptr_t base;
  uint32_t id;
  unsigned irq;
  uint64_t offered, accepted;
};

#define QUEUE_MAX 256          /* as many entries as we ever ask for */
#define CHAIN_MAX 4            /* buffers in one request: also the size of an indirect table */
#define NO_TOKEN 0xffffu

struct virtq_desc;
struct virtq_avail;
struct virtq_used;

struct virtqueue {
  struct virtio_device *device;
  uint16_t index, size;
  bool event_idx, indirect, want_interrupts;
  uint16_t free_head, free_count;
  uint16_t avail_idx;          /* next entry we will publish */
  uint16_t kicked_idx;         /* avail_idx at the last look at whether to notify */
  uint16_t used_idx;           /* next entry we will take */
  uint32_t used_length;        /* bytes the device wrote into the request last taken */
  volatile struct virtq_desc *desc;
  volatile struct virtq_avail *avail;
  volatile struct virtq_used *used;
  volatile struct virtq_desc *tables;   /* size * CHAIN_MAX indirect entries */
  uint16_t tokens[QUEUE_MAX];
};

/* One buffer of a request. */
struct segment {
  void *data;
  uint32_t length;
  bool device_writes;
};

/* Reads the `virtio_mmio.device=` words; empty slots (device id 0) are left out. */
void virtio_init(void);

/* The n-th device with this id (0: any), in the order of the words; ends the guest if there is none. */
struct virtio_device *virtio_find(uint32_t id, unsigned n);

/* Reset up to FEATURES_OK (clause 3.1.1). Takes what is offered of `wanted` and of the ring features. */
void virtio_negotiate(struct virtio_device *device, uint64_t wanted);

/* Feature bits the device offers; two accesses a word, so one processor at a time. */
uint64_t virtio_offered(const struct virtio_device *device);

/* Sets up queue `index`; false if the device has no such queue. */
bool virtio_queue(struct virtio_device *device, struct virtqueue *queue, uint16_t index);

void virtio_driver_ok(struct virtio_device *device);

/* Puts a request into the ring; it gets visible with virtq_kick. False if the ring is full. */
bool virtq_add(struct virtqueue *queue, const struct segment *segments, unsigned count, uint16_t token);

/* Publishes what was added and notifies the device if it wants that. */
void virtq_kick(struct virtqueue *queue);

/* The token of a finished request, or NO_TOKEN. */
uint16_t virtq_take(struct virtqueue *queue);

/* The same, but waits. */
uint16_t virtq_wait(struct virtqueue *queue);

/* Reads InterruptStatus and acknowledges the bits of `mask` that are set; returns those. */
uint32_t virtio_acknowledge(struct virtio_device *device, uint32_t mask);

uint32_t virtio_config32(const struct virtio_device *device, unsigned offset);
uint16_t virtio_config16(const struct virtio_device *device, unsigned offset);
uint8_t virtio_config8(const struct virtio_device *device, unsigned offset);
void virtio_config_write8(const struct virtio_device *device, unsigned offset, uint8_t value);
uint64_t virtio_config64(const struct virtio_device *device, unsigned offset);
uint32_t virtio_config_generation(const struct virtio_device *device);

#endif
