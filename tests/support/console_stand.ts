/** A console on fake terminals, up and running, with the driver's half of the control protocol (spec 5.3.6.2). */
import { ConsoleDevice } from "../../devices/console/device.ts";
import type { PortSetup } from "../../devices/console/port.ts";
import { assertEquals, fail } from "../../src/std/assert.ts";
import type { DriverQueue } from "./driver_queue.ts";
import type { TransportKind } from "./driver_transport.ts";
import { FakeTerminal } from "./fake_terminal.ts";
import { concat, GuestRam, littleEndian } from "./guest_ram.ts";
import { InterruptSink } from "./interrupt_sink.ts";
import { ManualLoop } from "./manual_loop.ts";
import { MockDriver, type PlacedRequest } from "./mock_driver.ts";

export const CONTROL_RECEIVE = 2;
export const CONTROL_TRANSMIT = 3;
export const EVENT = {
  DEVICE_READY: 0,
  PORT_ADD: 1,
  PORT_READY: 3,
  CONSOLE_PORT: 4,
  RESIZE: 5,
  PORT_OPEN: 6,
  PORT_NAME: 7,
} as const;
const MESSAGE_BYTES = 8;
const CONFIG_CHANGE = 2;

/** One control message. */
export interface ControlMessage {
  readonly id: number;
  readonly event: number;
  readonly value: number;
  readonly payload: Uint8Array;
}

/** A port without its terminal. */
export type PortKind = Omit<PortSetup, "backend">;

interface Posted {
  readonly head: number;
  readonly placed: PlacedRequest;
}

export class ConsoleStand {
  readonly ram = new GuestRam();
  readonly loop = new ManualLoop();
  readonly line = new InterruptSink();
  readonly faults: Error[] = [];
  readonly terminals: readonly FakeTerminal[];
  readonly device: ConsoleDevice;
  readonly driver: MockDriver;
  /** Receive buffers with the device, by queue. */
  readonly #posted = new Map<number, Posted[]>();

  constructor(kind: TransportKind, ports: readonly PortKind[] = [{}]) {
    this.terminals = ports.map(() => new FakeTerminal());
    this.device = new ConsoleDevice({
      ports: ports.map((port, i) => ({ ...port, backend: this.terminal(i) })),
      columns: 80,
      rows: 25,
    });
    this.driver = new MockDriver(kind.attach(this.device, this), this.ram, this.loop);
    this.bringUp();
  }

  /** A driver that is ready for input, as Linux shows it: when it is told of the size, it reads it. */
  bringUp(features?: bigint): void {
    this.start(features);
    this.readSize();
  }

  /** Up to DRIVER_OK, and no further. */
  start(features?: bigint): void {
    this.driver.bringUp(features === undefined ? { size: 16 } : { size: 16, features });
    this.#posted.clear();
  }

  /** What a driver does when it is told that the size has changed. Returns columns and rows, or undefined when it was not told. */
  readSize(): readonly [columns: number, rows: number] | undefined {
    const { transport } = this.driver;
    if ((transport.interruptStatus() & CONFIG_CHANGE) === 0) return undefined;
    transport.acknowledge(CONFIG_CHANGE);
    return [transport.readConfig(0, 2), transport.readConfig(2, 2)];
  }

  terminal(port = 0): FakeTerminal {
    return this.terminals[port] ?? fail(`There is no port ${port}`);
  }

  queue(index: number): DriverQueue {
    return this.driver.queue(index);
  }

  /** Sends bytes through a transmit queue and waits until they are taken. */
  send(bytes: Uint8Array, queue = 1): void {
    assertEquals(
      this.driver.call(this.queue(queue), { readable: bytes, writable: 0 }).usedLength,
      0,
    );
  }

  /** Offers a receive buffer; any other writable bytes are not touched. */
  offer(bytes: number, queue = 0): void {
    const placed = this.driver.prepare({ readable: new Uint8Array(), writable: bytes });
    const head = this.driver.submit(this.queue(queue), placed);
    this.#posted.set(queue, [...this.#postedOn(queue), { head, placed }]);
    this.loop.settle();
  }

  /** Buffers that came back since the last call, cut to their used length. */
  received(queue = 0): Uint8Array[] {
    this.loop.settle();
    return this.queue(queue).poll().map(({ head, length }) => {
      const posted = this.#postedOn(queue);
      const mine = posted.find((other) => other.head === head) ?? fail(`Head ${head} is unknown`);
      this.#posted.set(queue, posted.filter((other) => other !== mine));
      return this.ram.read(mine.placed.writableAt, length);
    });
  }

  #postedOn(queue: number): readonly Posted[] {
    return this.#posted.get(queue) ?? [];
  }

  /** Sends a control message. */
  say(id: number, event: number, value: number): void {
    this.send(controlBytes(id, event, value), CONTROL_TRANSMIT);
  }

  /** Offers control buffers. */
  listen(count = 8, bytes = 64): void {
    for (let i = 0; i < count; i++) this.offer(bytes, CONTROL_RECEIVE);
  }

  /** Control messages since the last call. */
  heard(): ControlMessage[] {
    return this.received(CONTROL_RECEIVE).map(parseControl);
  }

  /** Every port announced, ready and opened, as Linux does it; nothing left to hear. */
  openPorts(): void {
    this.listen(14);
    this.say(0, EVENT.DEVICE_READY, 1);
    this.terminals.forEach((_, id) => this.say(id, EVENT.PORT_READY, 1));
    this.terminals.forEach((_, id) => this.say(id, EVENT.PORT_OPEN, 1));
    this.heard();
  }

  /** INV-2 and INV-3. */
  checkInvariants(): void {
    assertEquals(this.ram.firstForeignChange(), undefined, "INV-2");
    this.terminals.forEach((terminal) => terminal.makeRoom(Infinity));
    this.bringUp();
    this.send(Uint8Array.of(1));
  }
}

/** struct virtio_console_control. */
export function controlBytes(id: number, event: number, value: number): Uint8Array {
  return concat(littleEndian(id, 4), littleEndian(event, 2), littleEndian(value, 2));
}

function parseControl(bytes: Uint8Array): ControlMessage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, MESSAGE_BYTES);
  return {
    id: view.getUint32(0, true),
    event: view.getUint16(4, true),
    value: view.getUint16(6, true),
    payload: bytes.slice(MESSAGE_BYTES),
  };
}
