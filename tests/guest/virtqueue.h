/* Layout of a split virtqueue (virtio 1.4, 2.7), and its set-up for virtio.c. */
#ifndef VIRTQUEUE_H
#define VIRTQUEUE_H

#include "virtio.h"

#define VIRTQ_DESC_F_NEXT 1
#define VIRTQ_DESC_F_WRITE 2
#define VIRTQ_DESC_F_INDIRECT 4
#define VIRTQ_AVAIL_F_NO_INTERRUPT 1
#define VIRTQ_USED_F_NO_NOTIFY 1

struct virtq_desc {
  uint64_t address;
  uint32_t length;
  uint16_t flags, next;
};

/* ring[size] is followed by used_event. */
struct virtq_avail {
  uint16_t flags, idx;
  uint16_t ring[];
};

struct virtq_used_element {
  uint32_t id, length;
};

/* ring[size] is followed by avail_event. */
struct virtq_used {
  uint16_t flags, idx;
  struct virtq_used_element ring[];
};

/* Allocates the rings for a queue of `size` entries and chains all descriptors into the free list. */
void virtq_init(struct virtqueue *queue, struct virtio_device *device, uint16_t index, uint16_t size);

#endif
