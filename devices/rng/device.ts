/** virtio-rng (spec 5.4): random bytes for the driver, straight into its buffers. Owned by the I/O thread. */
import { VIRTIO_ID_RNG } from "../../src/abi/virtio.ts";
import type { DescriptorChain } from "../../src/virtio/chain.ts";
import {
  type ActivationContext,
  NO_CONFIG,
  type VirtioDevice,
  type Virtqueue,
} from "../../src/virtio/device.ts";
import { IovecList } from "../../src/virtio/iovec_list.ts";
import type { EntropyBackend, EntropyEvents } from "./backend.ts";

const QUEUE_SIZE = 64;
const REQUEST_QUEUE = 0;
/** Most bytes for one buffer: descriptors that overlap can claim gigabytes of a guest that has megabytes (HD-93). */
export const MAX_REQUEST_BYTES: number = 64 * 1024;
/** Most bytes before others have their turn: about half a millisecond of the kernel's generator (HD-93). */
const TURN_BYTES = 4 * MAX_REQUEST_BYTES;
/** What `#fill` says when the backend has to be waited for. */
const NONE_NOW = -1;

export class RngDevice implements VirtioDevice, EntropyEvents {
  readonly type = VIRTIO_ID_RNG;
  readonly queueSizes: readonly number[] = [QUEUE_SIZE];
  readonly features = 0n;
  readonly config = NO_CONFIG;
  readonly #backend: EntropyBackend;
  readonly #iovecs = new IovecList();
  #context: ActivationContext | undefined;

  constructor(backend: EntropyBackend) {
    this.#backend = backend;
    backend.attach(this);
  }

  acceptFeatures(): boolean {
    return true; // there are none (RNG-01)
  }

  activate(context: ActivationContext): void {
    this.#context = context;
  }

  /** EntropyEvents. */
  available(): void {
    this.#context?.notifyLater(REQUEST_QUEUE);
  }

  notify(index: number): void {
    const queue = this.#context?.queues[index];
    if (queue === undefined) return;
    let budget = queue.size; // buffers of one byte are work, too (HD-05)
    let bytes = TURN_BYTES;
    queue.disarm();
    do {
      for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
        const filled = this.#fill(chain);
        if (filled === NONE_NOW) {
          queue.unpop(chain); // `available` brings us back: a buffer gets a byte or more (RNG-02)
          return queue.flush();
        }
        queue.complete(chain);
        bytes -= filled;
        if (--budget === 0 || bytes <= 0) return this.#yield(queue);
      }
      queue.flush();
    } while (queue.arm());
  }

  /** Bytes put into `chain`, or NONE_NOW. */
  #fill({ reader, writer }: DescriptorChain): number {
    // A driver has nothing to tell us; who tries gets nothing back (RNG-06).
    if (reader.remaining > 0 || writer.remaining === 0) return 0;
    this.#iovecs.clear();
    writer.take(this.#iovecs, MAX_REQUEST_BYTES);
    const filled = this.#backend.fill(this.#iovecs);
    if (filled === 0) return NONE_NOW;
    if (filled < 0) return 0; // the last resort: drivers look at the length (RNG-07)
    writer.commit(filled);
    return filled;
  }

  #yield(queue: Virtqueue): void {
    queue.flush();
    this.#context?.notifyLater(queue.index);
  }

  quiesce(done: () => void): void {
    done(); // nothing is in flight: buffers that wait are in the ring
  }

  reset(): void {
    this.#context = undefined;
  }
}
