/** The serial port's other end, on the I/O thread: moves bytes between the rings and the host's channel. */
import type { ByteRing } from "../../src/ipc/byte_ring.ts";
import type { EventLoop, Watch } from "../../src/loop/event_loop.ts";
import type { ByteChannel, ByteChannelEvents } from "../../src/virtio/byte_channel.ts";
import {
  IER_RECEIVED,
  SERIAL_IER,
  SERIAL_INPUT_POLLED,
  SERIAL_INPUT_STALLED,
  SERIAL_OUTPUT_ANNOUNCED,
  SERIAL_OUTPUT_URGENT,
  SERIAL_READER_RISES,
} from "./serial.ts";

/** Output that is not urgent (no newline yet) is gathered for this long: a prompt shows up at once for people. */
const GATHER_MS = 2;
const CHUNK_BYTES = 4096;
/**
 * The receive interrupt must stay enabled this long before it counts as wanting input: drivers switch it on for a
 * moment when they probe (8250_port.c autoconfig).
 */
const WANTED_MS = 20;

/** The shared state of one port, as the control block lays it out. */
export interface SerialShared {
  readonly words: Int32Array;
  readonly base: number;
  readonly transmit: ByteRing;
  readonly receive: ByteRing;
}

export class SerialHostSide implements ByteChannelEvents {
  readonly #shared: SerialShared;
  readonly #channel: ByteChannel;
  readonly #loop: EventLoop;
  readonly #raise: () => void;
  readonly #output = new Uint8Array(CHUNK_BYTES);
  readonly #input = new Uint8Array(CHUNK_BYTES);
  #inputStart = 0;
  #inputEnd = 0;
  #gathering: Watch | undefined;
  #probing: Watch | undefined;
  /** Whether the guest has shown that it reads input: until then it waits with the host, perhaps for hvc0. */
  #wanted = false;

  /** `raise` is an edge on the port's interrupt line. */
  constructor(shared: SerialShared, channel: ByteChannel, loop: EventLoop, raise: () => void) {
    this.#shared = shared;
    this.#channel = channel;
    this.#loop = loop;
    this.#raise = raise;
    channel.attach(this);
    channel.guestOpened(true); // a serial line has no notion of being closed
  }

  #word(word: number): number {
    return Atomics.load(this.#shared.words, this.#shared.base + word);
  }

  #setWord(word: number, value: number): void {
    Atomics.store(this.#shared.words, this.#shared.base + word, value);
  }

  /** A vCPU has woken us. */
  woken(): void {
    if (this.#word(SERIAL_OUTPUT_ANNOUNCED) !== 0) {
      if (this.#word(SERIAL_OUTPUT_URGENT) !== 0) this.drain();
      else this.#gathering ??= this.#loop.timer(GATHER_MS, { ready: () => this.drain() });
    }
    if (!this.#wanted) this.#lookForReader();
    this.readable();
  }

  #lookForReader(): void {
    if (this.#word(SERIAL_INPUT_POLLED) !== 0) {
      this.#wanted = true;
    } else if ((this.#word(SERIAL_IER) & IER_RECEIVED) !== 0) {
      if (this.#probing === undefined) this.#probe();
    }
  }

  #probe(): void {
    const rises = this.#word(SERIAL_READER_RISES);
    this.#probing = this.#loop.timer(WANTED_MS, { ready: () => this.#confirmReader(rises) });
  }

  #confirmReader(rises: number): void {
    this.#probing = undefined;
    if ((this.#word(SERIAL_IER) & IER_RECEIVED) === 0) return;
    // Switched off and on again meanwhile: several flashes are no reader either.
    if (this.#word(SERIAL_READER_RISES) !== rises) return this.#probe();
    this.#wanted = true;
    this.readable();
  }

  /** Writes out everything the guest has sent, as far as the host takes it. */
  drain(): void {
    this.#gathering?.[Symbol.dispose]();
    this.#gathering = undefined;
    // Cleared before the look: a byte pushed after it announces itself again.
    this.#setWord(SERIAL_OUTPUT_URGENT, 0);
    this.#setWord(SERIAL_OUTPUT_ANNOUNCED, 0);
    const ring = this.#shared.transmit;
    for (;;) {
      const count = ring.peek(this.#output);
      if (count === 0) return;
      const taken = this.#channel.write(this.#output, count);
      ring.drop(taken);
      ring.wake();
      if (taken < count) return; // `writable` will come
    }
  }

  /** ByteChannelEvents: the host has room again. */
  writable(): void {
    this.drain();
  }

  /** ByteChannelEvents: the host has input; or there is room for it again. */
  readable(): void {
    if (!this.#wanted) return;
    let pushed = false;
    while (this.#fillInput()) {
      if (!this.#shared.receive.push(this.#input[this.#inputStart] as number)) {
        this.#setWord(SERIAL_INPUT_STALLED, 1);
        // The guest may have emptied the ring before it could see the flag.
        if (this.#shared.receive.length === this.#shared.receive.capacity) break;
        continue;
      }
      this.#inputStart++;
      pushed = true;
    }
    if (pushed && (this.#word(SERIAL_IER) & IER_RECEIVED) !== 0) this.#raise();
  }

  #fillInput(): boolean {
    if (this.#inputStart < this.#inputEnd) return true;
    this.#inputStart = 0;
    this.#inputEnd = this.#channel.read(this.#input);
    return this.#inputEnd > 0;
  }
}
