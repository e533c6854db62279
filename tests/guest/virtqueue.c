/* The driver's side of a split virtqueue: virtio 1.4 clause 2.7. */
#include "virtqueue.h"

#include "cmdline.h"
#include "cpu.h"
#include "memory.h"
#include "ring0.h"

static volatile uint16_t *used_event(struct virtqueue *queue) {
  return &queue->avail->ring[queue->size];
}

static volatile uint16_t *avail_event(struct virtqueue *queue) {
  return (volatile uint16_t *)&queue->used->ring[queue->size];
}

/*
 * We poll, so interrupts are noise unless the test asks for them: `used_event` just behind us is not
 * crossed for another 65535 entries (2.7.7), and without EVENT_IDX the flag does it.
 */
static void tell_interrupt_wish(struct virtqueue *queue) {
  if (queue->event_idx) {
    *used_event(queue) = queue->want_interrupts ? queue->used_idx : (uint16_t)(queue->used_idx - 1);
  } else {
    queue->avail->flags = queue->want_interrupts ? 0 : VIRTQ_AVAIL_F_NO_INTERRUPT;
  }
}

void virtq_init(struct virtqueue *queue, struct virtio_device *device, uint16_t index, uint16_t size) {
  memset(queue, 0, sizeof *queue);
  queue->device = device;
  queue->index = index;
  queue->size = size;
  queue->event_idx = device->accepted & VIRTIO_F_EVENT_IDX;
  queue->indirect = device->accepted & VIRTIO_F_INDIRECT_DESC;
  queue->want_interrupts = cmdline_flag("wantirq");
  queue->desc = memory_take(size * sizeof(struct virtq_desc));
  queue->avail = memory_take(sizeof(struct virtq_avail) + size * sizeof(uint16_t) + 2);
  queue->used = memory_take(sizeof(struct virtq_used) + size * sizeof(struct virtq_used_element) + 2);
  if (queue->indirect) queue->tables = memory_take(size * CHAIN_MAX * sizeof(struct virtq_desc));
  for (uint16_t i = 0; i < size; i++) queue->desc[i].next = (uint16_t)(i + 1);
  queue->free_count = size;
  tell_interrupt_wish(queue);
}

static void fill_descriptor(volatile struct virtq_desc *desc, const struct segment *segment, bool last) {
  desc->address = (uintptr_t)segment->data;
  desc->length = segment->length;
  desc->flags = (uint16_t)((segment->device_writes ? VIRTQ_DESC_F_WRITE : 0) |
                           (last ? 0 : VIRTQ_DESC_F_NEXT));
}

/* One ring descriptor that points to a table of its own (2.7.5.3). Returns the next free one. */
static uint16_t add_indirect(struct virtqueue *queue, const struct segment *segments, unsigned count) {
  volatile struct virtq_desc *head = &queue->desc[queue->free_head];
  volatile struct virtq_desc *table = &queue->tables[queue->free_head * CHAIN_MAX];
  for (unsigned i = 0; i < count; i++) {
    fill_descriptor(&table[i], &segments[i], i + 1 == count);
    table[i].next = (uint16_t)(i + 1);
  }
  head->address = (uintptr_t)table;
  head->length = count * sizeof *table;
  head->flags = VIRTQ_DESC_F_INDIRECT;
  queue->free_count--;
  return head->next;
}

/* A chain of ring descriptors; the free list already links them by `next`. */
static uint16_t add_chain(struct virtqueue *queue, const struct segment *segments, unsigned count) {
  uint16_t at = queue->free_head;
  for (unsigned i = 0; i < count; i++) {
    fill_descriptor(&queue->desc[at], &segments[i], i + 1 == count);
    at = queue->desc[at].next;
  }
  queue->free_count = (uint16_t)(queue->free_count - count);
  return at;
}

bool virtq_add(struct virtqueue *queue, const struct segment *segments, unsigned count, uint16_t token) {
  bool indirect = queue->indirect && count > 1;
  if (count > CHAIN_MAX || queue->free_count < (indirect ? 1 : count)) return false;
  uint16_t head = queue->free_head;
  queue->free_head = indirect ? add_indirect(queue, segments, count) : add_chain(queue, segments, count);
  queue->tokens[head] = token;
  queue->avail->ring[queue->avail_idx++ & (queue->size - 1)] = head;
  return true;
}

/* Clause 2.7.10: notify when avail_idx went past the device's event index since the last look. */
static bool wants_kick(struct virtqueue *queue) {
  uint16_t old = queue->kicked_idx, new = queue->avail_idx;
  if (!queue->event_idx) return !(queue->used->flags & VIRTQ_USED_F_NO_NOTIFY);
  return (uint16_t)(new - *avail_event(queue) - 1) < (uint16_t)(new - old);
}

void virtq_kick(struct virtqueue *queue) {
  if (queue->kicked_idx == queue->avail_idx) return;
  compiler_barrier();
  queue->avail->idx = queue->avail_idx;
  full_barrier();     /* idx must be seen before we look whether the device sleeps */
  bool kick = wants_kick(queue);
  queue->kicked_idx = queue->avail_idx;
  if (kick) mmio_write32(queue->device->base + MMIO_QUEUE_NOTIFY, queue->index);
}

/* Gives a finished chain back to the free list. */
static void release(struct virtqueue *queue, uint16_t head) {
  uint16_t last = head, count = 1;
  while (queue->desc[last].flags & VIRTQ_DESC_F_NEXT) last = queue->desc[last].next, count++;
  queue->desc[last].next = queue->free_head;
  queue->free_head = head;
  queue->free_count = (uint16_t)(queue->free_count + count);
}

uint16_t virtq_take(struct virtqueue *queue) {
  if (queue->used->idx == queue->used_idx) return NO_TOKEN;
  compiler_barrier();
  volatile struct virtq_used_element *element = &queue->used->ring[queue->used_idx & (queue->size - 1)];
  uint32_t head = element->id;
  if (head >= queue->size) die("the device used a descriptor that does not exist");
  queue->used_length = element->length;
  queue->used_idx++;
  release(queue, (uint16_t)head);
  tell_interrupt_wish(queue);
  return queue->tokens[head];
}

uint16_t virtq_wait(struct virtqueue *queue) {
  uint16_t token;
  while ((token = virtq_take(queue)) == NO_TOKEN) cpu_relax();
  return token;
}
