/**
 * The control queues of a MULTIPORT console (spec 5.3.6.2). What is still to be said is kept as one set of
 * flags per port, not as a list of messages: a driver that asks a million times without offering buffers
 * makes nothing grow (HD-91, CON-23).
 */
import { virtio_console_control as LAYOUT } from "./abi.ts";
import {
  VIRTIO_CONSOLE_CONSOLE_PORT,
  VIRTIO_CONSOLE_DEVICE_READY,
  VIRTIO_CONSOLE_PORT_ADD,
  VIRTIO_CONSOLE_PORT_NAME,
  VIRTIO_CONSOLE_PORT_OPEN,
  VIRTIO_CONSOLE_PORT_READY,
  VIRTIO_CONSOLE_RESIZE,
} from "./abi.ts";
import type { ActivationContext, Virtqueue } from "../../src/virtio/device.ts";
import type { Port } from "./port.ts";

export const CONTROL_RECEIVE_QUEUE = 2;
export const CONTROL_TRANSMIT_QUEUE = 3;

// Pending messages of one port, in the order they have to go out (CON-15).
const ADD = 1;
const CONSOLE = 2;
const NAME = 4;
const OPEN = 8;
const RESIZE = 16;
const SENDING_ORDER = [ADD, CONSOLE, NAME, OPEN, RESIZE] as const;

const encoder = new TextEncoder();

export class ControlQueues {
  readonly #ports: readonly Port[];
  readonly #pending: Uint8Array;
  /** Ports the driver knows: ADD must not name one twice (CON-20). */
  readonly #added: Set<number> = new Set();
  readonly #message = new Uint8Array(LAYOUT.size);
  readonly #messageView = new DataView(this.#message.buffer);
  #columns: number;
  #rows: number;
  #context: ActivationContext | undefined;

  constructor(ports: readonly Port[], columns: number, rows: number) {
    this.#ports = ports;
    this.#pending = new Uint8Array(ports.length);
    this.#columns = columns;
    this.#rows = rows;
  }

  activate(context: ActivationContext): void {
    this.#context = context;
  }

  reset(): void {
    this.#context = undefined;
    this.#pending.fill(0);
    this.#added.clear();
  }

  /** Console ports learn the new window size. */
  resize(columns: number, rows: number): void {
    this.#columns = columns;
    this.#rows = rows;
    for (let id = 0; id < this.#ports.length; id++) {
      const port = this.#ports[id] as Port;
      if (port.setup.isConsole === true && port.open) this.#say(id, RESIZE);
    }
    this.#context?.notifyLater(CONTROL_RECEIVE_QUEUE);
  }

  #say(id: number, messages: number): void {
    this.#pending[id] = (this.#pending[id] as number) | messages;
  }

  /** Reads the driver's messages. */
  transmit(): void {
    const queue = this.#context?.queues[CONTROL_TRANSMIT_QUEUE];
    if (queue === undefined) return;
    let budget = queue.size;
    queue.disarm();
    do {
      for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
        // Short messages are ignored, longer ones may carry what a later spec adds (CON-22).
        if (chain.reader.remaining >= LAYOUT.size) {
          const id = chain.reader.u32();
          const event = chain.reader.u16();
          this.#receive(id, event, chain.reader.u16());
        }
        queue.complete(chain);
        if (--budget === 0) {
          queue.flush();
          this.#context?.notifyLater(CONTROL_TRANSMIT_QUEUE);
          this.receive();
          return;
        }
      }
      queue.flush();
    } while (queue.arm());
    this.receive();
  }

  #receive(id: number, event: number, value: number): void {
    if (event === VIRTIO_CONSOLE_DEVICE_READY) {
      if (value === 1) this.#addPorts();
      return;
    }
    const port = this.#ports[id];
    if (port === undefined) return;
    if (event === VIRTIO_CONSOLE_PORT_READY && value === 1) {
      const { name, isConsole } = port.setup;
      this.#say(
        id,
        OPEN | (isConsole === true ? CONSOLE | RESIZE : 0) | (name === undefined ? 0 : NAME),
      );
    } else if (event === VIRTIO_CONSOLE_PORT_OPEN) {
      port.setOpen(value === 1);
    }
  }

  #addPorts(): void {
    for (let id = 0; id < this.#ports.length; id++) {
      if (this.#added.has(id)) continue;
      this.#added.add(id);
      this.#say(id, ADD);
    }
  }

  /** Sends pending messages into the driver's buffers. */
  receive(): void {
    const queue = this.#context?.queues[CONTROL_RECEIVE_QUEUE];
    if (queue === undefined) return;
    for (let id = 0; id < this.#ports.length; id++) {
      for (const message of SENDING_ORDER) {
        if (((this.#pending[id] as number) & message) === 0) continue;
        if (!this.#send(queue, id, message)) {
          queue.flush();
          return; // no buffers now: the rest waits for the next kick
        }
        this.#pending[id] = (this.#pending[id] as number) & ~message;
      }
    }
    queue.flush();
  }

  #send(queue: Virtqueue, id: number, message: number): boolean {
    const chain = queue.pop() ?? (queue.arm() ? queue.pop() : undefined);
    if (chain === undefined) return false;
    const payload = this.#payload(id, message);
    this.#messageView.setUint32(LAYOUT.at.id, id, true);
    this.#messageView.setUint16(LAYOUT.at.event, eventOf(message), true);
    this.#messageView.setUint16(LAYOUT.at.value, 1, true);
    const writer = chain.writer;
    // A buffer too short for the message gets what fits (CON-24).
    writer.bytes(this.#message, Math.min(LAYOUT.size, writer.remaining));
    writer.bytes(payload, Math.min(payload.length, writer.remaining));
    queue.complete(chain);
    return true;
  }

  #payload(id: number, message: number): Uint8Array {
    if (message === NAME) return encoder.encode(this.#ports[id]?.setup.name); // no NUL (CON-18)
    if (message !== RESIZE) return new Uint8Array();
    // The spec says cols, rows; Linux (drivers/char/virtio_console.c) and FreeBSD read rows, cols, and they
    // are who listens (checklist U-07).
    const size = new DataView(new ArrayBuffer(4));
    size.setUint16(0, this.#rows, true);
    size.setUint16(2, this.#columns, true);
    return new Uint8Array(size.buffer);
  }
}

function eventOf(message: number): number {
  switch (message) {
    case ADD:
      return VIRTIO_CONSOLE_PORT_ADD;
    case CONSOLE:
      return VIRTIO_CONSOLE_CONSOLE_PORT;
    case NAME:
      return VIRTIO_CONSOLE_PORT_NAME;
    case OPEN:
      return VIRTIO_CONSOLE_PORT_OPEN;
    default:
      return VIRTIO_CONSOLE_RESIZE;
  }
}
