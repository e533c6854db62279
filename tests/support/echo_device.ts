/**
 * The simplest device there can be: writes back the complement of what it read. Completion can be held back,
 * so that resets and queue stops meet requests in flight.
 */
import { ConfigBytes } from "../../src/virtio/config_bytes.ts";
import type { DescriptorChain } from "../../src/virtio/chain.ts";
import type { ActivationContext, VirtioDevice, Virtqueue } from "../../src/virtio/device.ts";

/** Device-specific features of its own: INVERT, and LOUD, which needs INVERT. */
export const ECHO_F_INVERT: bigint = 1n << 0n;
export const ECHO_F_LOUD: bigint = 1n << 1n;
/** Config: u32 version, u32 the driver may write. */
export const ECHO_CONFIG_BYTES = 8;

interface Held {
  readonly queue: Virtqueue;
  readonly chain: DescriptorChain;
}

export class EchoDevice implements VirtioDevice {
  readonly type = 42;
  readonly features: bigint = ECHO_F_INVERT | ECHO_F_LOUD;
  readonly config: ConfigBytes;
  readonly queueSizes: readonly number[];
  /** Chains wait in `held` until `release`. */
  holding = false;
  readonly held: Held[] = [];
  activations = 0;
  resets = 0;
  /** `reset` calls that found a request in flight: there must be none (VirtioDevice.reset). */
  unquietResets = 0;
  /** Queue indexes of every `notify`. */
  readonly notified: number[] = [];
  #context: ActivationContext | undefined;
  #quiesced: (() => void) | undefined;

  constructor(queueSizes: readonly number[] = [256, 64]) {
    this.queueSizes = queueSizes;
    this.config = new ConfigBytes(ECHO_CONFIG_BYTES, (offset, value) => {
      if (offset >= 4) this.config.store(offset, value);
    });
  }

  /** The context of the present life. */
  get context(): ActivationContext | undefined {
    return this.#context;
  }

  acceptFeatures(features: bigint): boolean {
    return (features & ECHO_F_LOUD) === 0n || (features & ECHO_F_INVERT) !== 0n;
  }

  activate(context: ActivationContext): void {
    this.activations++;
    this.#context = context;
  }

  notify(index: number): void {
    this.notified.push(index);
    const queue = this.#context?.queues[index];
    if (queue === undefined || this.#quiesced !== undefined) return;
    let budget = queue.size; // a driver that refills as fast as we drain must not hold the loop (HD-05)
    queue.disarm();
    do {
      for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
        this.#take(queue, chain);
        if (--budget === 0) {
          queue.flush();
          this.#context?.notifyLater(index);
          return;
        }
      }
      queue.flush();
    } while (queue.arm());
  }

  #take(queue: Virtqueue, chain: DescriptorChain): void {
    if (this.holding) this.held.push({ queue, chain });
    else this.#answer({ queue, chain });
  }

  #answer({ queue, chain }: Held): void {
    while (chain.reader.remaining > 0 && chain.writer.remaining > 0) {
      chain.writer.u8(~chain.reader.u8());
    }
    queue.complete(chain);
  }

  /** Finishes the first `count` requests in flight, as a slow backend does when it is done. */
  release(count: number = this.held.length): void {
    for (const held of this.held.splice(0, count)) {
      this.#answer(held);
      held.queue.flush();
    }
    this.#finishQuiesce();
  }

  #finishQuiesce(): void {
    const done = this.#quiesced;
    if (done === undefined || this.held.length > 0) return;
    this.#quiesced = undefined;
    done();
  }

  quiesce(done: () => void): void {
    this.#quiesced = done;
    this.#finishQuiesce();
  }

  reset(): void {
    this.resets++;
    if (this.held.length > 0) this.unquietResets++;
    this.#context = undefined;
    this.#quiesced = undefined;
    new Array<number>(4).fill(0).forEach((zero, i) => this.config.store(4 + i, zero));
  }

  /** Changes the config from the device's side, and tells the driver. */
  bumpVersion(): void {
    this.config.update((view) => view.setUint32(0, view.getUint32(0, true) + 1, true));
    this.#context?.configChanged();
  }
}

/** What the echo of `bytes` looks like. */
export function echoOf(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(bytes, (byte) => ~byte);
}
