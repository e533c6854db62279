/**
 * One port of a virtio-console (spec 5.3.6): moves bytes between its two queues and its backend. Transmit
 * stops when the host takes no more, receive stops when the driver offers no buffers; neither loses a byte,
 * and at most one buffer of each direction is held here.
 */
import type { DescriptorChain } from "../../src/virtio/chain.ts";
import type { ActivationContext, Virtqueue } from "../../src/virtio/device.ts";
import type { ConsoleBackend, ConsoleEvents } from "./backend.ts";

/** Bytes moved per copy. Linux's hvc sends 16 at a time, its character ports up to 32 KiB. */
const STAGING_BYTES = 4096;

/** A port's name and nature, and where its bytes go. */
export interface PortSetup {
  readonly backend: ConsoleBackend;
  /** Shown by Linux as /dev/virtio-ports/NAME; MULTIPORT only. */
  readonly name?: string;
  /** Whether the driver should make it a console (hvc) rather than a character device; MULTIPORT only. */
  readonly isConsole?: boolean;
}

/** The queues of port `id` (spec 5.3.2): port 0 keeps 0 and 1, the control queues take 2 and 3. */
export function portQueues(id: number): { readonly receive: number; readonly transmit: number } {
  const first = id === 0 ? 0 : 2 + 2 * id;
  return { receive: first, transmit: first + 1 };
}

export class Port implements ConsoleEvents {
  readonly setup: PortSetup;
  readonly receiveQueue: number;
  readonly transmitQueue: number;
  readonly #backend: ConsoleBackend;
  readonly #input = new Uint8Array(STAGING_BYTES);
  readonly #output = new Uint8Array(STAGING_BYTES);
  #inputStart = 0;
  #inputEnd = 0;
  #outputStart = 0;
  #outputEnd = 0;
  /** The chain whose bytes are being written while the host has no room. */
  #held: DescriptorChain | undefined;
  /** The queue it came from: a queue that was stopped meanwhile takes it along. */
  #heldFrom: Virtqueue | undefined;
  #context: ActivationContext | undefined;
  #open = false;
  /** Whether only the driver's word (PORT_OPEN) opens the port; else what it prints does, too. */
  #opensByWord = false;

  constructor(id: number, setup: PortSetup) {
    this.setup = setup;
    this.#backend = setup.backend;
    const queues = portQueues(id);
    this.receiveQueue = queues.receive;
    this.transmitQueue = queues.transmit;
    setup.backend.attach(this);
  }

  /** Whether the guest's end is open: only then does input flow (CON-17). */
  get open(): boolean {
    return this.#open;
  }

  /** DRIVER_OK; `opensByWord`: with MULTIPORT. The port is closed. */
  activate(context: ActivationContext, opensByWord: boolean): void {
    this.#context = context;
    this.#opensByWord = opensByWord;
  }

  setOpen(open: boolean): void {
    if (open === this.#open) return;
    this.#open = open;
    this.#backend.guestOpened(open);
    if (open) this.readable();
  }

  /** ConsoleEvents: input waits. */
  readable(): void {
    this.#context?.notifyLater(this.receiveQueue);
  }

  /** ConsoleEvents: output has room. */
  writable(): void {
    this.#context?.notifyLater(this.transmitQueue);
  }

  /** Fills the driver's receive buffers with waiting input. */
  receive(): void {
    const queue = this.#context?.queues[this.receiveQueue];
    if (queue === undefined || !this.#open) return;
    let budget = queue.size; // others are waiting for the loop, too (HD-05)
    while (this.#fillInput()) {
      if (budget-- === 0) {
        this.#context?.notifyLater(this.receiveQueue);
        break;
      }
      const chain = this.#nextReceiveBuffer(queue);
      if (chain === undefined) break; // no buffers: input waits with the host (CON-09)
      const length = Math.min(chain.writer.remaining, this.#inputEnd - this.#inputStart);
      chain.writer.bytes(this.#input.subarray(this.#inputStart, this.#inputStart + length));
      this.#inputStart += length;
      queue.complete(chain);
    }
    queue.flush();
  }

  /** The next receive buffer; asks for kicks first when there seems to be none. */
  #nextReceiveBuffer(queue: Virtqueue): DescriptorChain | undefined {
    return queue.pop() ?? (queue.arm() ? queue.pop() : undefined);
  }

  /** Whether input is at hand, asking the backend if need be. */
  #fillInput(): boolean {
    if (this.#inputStart < this.#inputEnd) return true;
    this.#inputStart = 0;
    this.#inputEnd = this.#backend.read(this.#input);
    return this.#inputEnd > 0;
  }

  /** Writes what the driver has made available to the backend, in order. */
  transmit(): void {
    const queue = this.#context?.queues[this.transmitQueue];
    if (this.#heldFrom !== queue) this.#dropHeld();
    if (queue === undefined) return;
    let budget = queue.size;
    queue.disarm();
    do {
      while (this.#finishHeld(queue)) {
        if (budget-- === 0) {
          queue.flush();
          this.#context?.notifyLater(this.transmitQueue);
          return;
        }
        this.#held = queue.pop();
        this.#heldFrom = queue;
        if (this.#held === undefined) break;
        if (!this.#opensByWord) this.setOpen(true);
      }
      queue.flush();
    } while (this.#held === undefined && queue.arm());
  }

  /** Writes the rest of the held chain. False: the host has no room, `writable` will come (CON-10). */
  #finishHeld(queue: Virtqueue): boolean {
    const chain = this.#held;
    if (chain === undefined) return true;
    for (;;) {
      while (this.#outputStart < this.#outputEnd) {
        const rest = this.#output.subarray(this.#outputStart, this.#outputEnd);
        const taken = this.#backend.write(rest, rest.length);
        if (taken === 0) return false;
        this.#outputStart += taken;
      }
      const length = Math.min(chain.reader.remaining, STAGING_BYTES);
      if (length === 0) break;
      chain.reader.bytes(this.#output, length);
      this.#outputStart = 0;
      this.#outputEnd = length;
    }
    this.#held = undefined;
    queue.complete(chain); // used.len 0: nothing was written to the guest (CON-07)
    return true;
  }

  /** What a chain that is no longer ours had left to say is lost: only a host that takes nothing can hold one. */
  #dropHeld(): void {
    this.#held = undefined;
    this.#heldFrom = undefined;
    this.#outputStart = this.#outputEnd = 0;
  }

  reset(): void {
    this.#context = undefined;
    this.#dropHeld();
    this.setOpen(false); // input already read stays: the next driver gets it
  }

  /** A byte of emergency output, outside of any queue (spec 5.3.4). */
  emergency(byte: number): void {
    this.#backend.write(Uint8Array.of(byte), 1);
  }
}
