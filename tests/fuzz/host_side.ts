/** The host behind a machine under fire: calls, frames, sizes and cables, in an order that a seed decides. */
import type { FrameStream } from "../../src/machine/frame_stream.ts";
import type { Machine } from "../../src/machine/machine.ts";
import { MachineError } from "../../src/machine/machine_error.ts";
import { atMost } from "../../src/machine/time_limit.ts";
import type { VsockConnection, VsockListener } from "../../src/machine/vsock_host.ts";
import { pattern } from "../support/guest_ram.ts";
import { delay } from "../support/kvm.ts";
import { frameOf } from "../support/packets.ts";
import { Random } from "./random.ts";

const EVERY_MS = 3;
/** Ports that the fuzzer's packets come from and go to (`stray_requests.ts`). */
const HOST_PORTS = [0, 1, 2];
const GUEST_PORTS = [5000, 5001] as const;
const MOST_CALLS = 16;
const CALL_MS = 200;

/** From before the machine's start to behind its end. Dispose it then. */
export class HostSide implements AsyncDisposable {
  readonly #machine: Machine;
  readonly #random: Random;
  readonly #frames: WritableStreamDefaultWriter<Uint8Array<ArrayBufferLike>>;
  readonly #listeners: VsockListener[] = [];
  readonly #work: Promise<void>[] = [];
  #calls = 0;
  #isOver = false;
  #sending: Promise<void> | undefined;

  constructor(machine: Machine, cable: FrameStream, seed: number) {
    this.#machine = machine;
    this.#random = new Random(seed);
    this.#frames = cable.writable.getWriter();
    for (const vsock of HOST_PORTS) {
      for (const type of ["stream", "seqpacket"] as const) {
        const listener = machine.listen({ vsock, type });
        this.#listeners.push(listener);
        this.#work.push(this.#answer(listener));
      }
    }
    this.#work.push(this.#meddle());
  }

  async #answer(listener: VsockListener): Promise<void> {
    try {
      for await (const call of listener) this.#work.push(this.#talk(call));
    } catch (error) {
      if (!(error instanceof MachineError)) throw error; // its machine has ended
    }
  }

  /** Says something, hears something, and hangs up; what goes wrong is the guest's affair. */
  async #talk(call: VsockConnection): Promise<void> {
    const random = this.#random;
    const writer = call.writable.getWriter();
    const ends = random.once(2);
    const said = writer.write(pattern(random.below(5000), 3));
    said.then(() => ends ? writer.close() : undefined).catch(() => {});
    const heard = call.readable.getReader().read().catch(() => undefined);
    if (!random.once(4)) {
      this.#calls++;
      await atMost(CALL_MS, heard);
      this.#calls--;
    }
    call.close();
  }

  async #meddle(): Promise<void> {
    while (!this.#isOver) {
      await delay(EVERY_MS);
      if (this.#machine.status === "running") this.#act();
    }
  }

  #act(): void {
    const random = this.#random;
    switch (random.below(8)) {
      case 0:
        return this.#machine.resize(random.below(300), random.below(100));
      case 1:
        return this.#machine.setLink(0, !random.once(3));
      case 2:
        return this.#machine.announce(0);
      case 3:
      case 4:
        this.#work.push(this.#call());
        return;
      default:
        return this.#send();
    }
  }

  #send(): void {
    // One at a time: it waits for as long as the guest's card has no buffers, and for the next guest's.
    this.#sending ??= this.#frames.write(frameOf(14 + this.#random.below(1500)))
      .finally(() => this.#sending = undefined)
      .catch(() => {});
  }

  async #call(): Promise<void> {
    if (this.#calls >= MOST_CALLS) return;
    const vsock = this.#random.of(GUEST_PORTS);
    const type = this.#random.once(2) ? "seqpacket" : "stream";
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), CALL_MS);
    this.#calls++;
    try {
      await this.#talk(await this.#machine.connect({ vsock, type, signal: patience.signal }));
    } catch {
      // refused, reset, given up: as the guest likes
    } finally {
      clearTimeout(timer);
      this.#calls--;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    for (const listener of this.#listeners) listener.close();
    for (let done = 0; done < this.#work.length;) await this.#work[done++];
    this.#frames.releaseLock();
  }
}
