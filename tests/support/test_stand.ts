/** One device under test behind one transport, a neighbour beside it, and the invariants after every case. */
import { assert, assertEquals } from "../../src/std/assert.ts";
import type { VirtioDevice } from "../../src/virtio/device.ts";
import type { DriverQueue } from "./driver_queue.ts";
import type { DriverTransport, TransportKind } from "./driver_transport.ts";
import { EchoDevice, echoOf } from "./echo_device.ts";
import { GuestRam, pattern } from "./guest_ram.ts";
import { InterruptSink } from "./interrupt_sink.ts";
import { ManualLoop } from "./manual_loop.ts";
import { type Answer, type BringUp, MockDriver, type RequestBytes } from "./mock_driver.ts";

/** An honest request, and how to tell that it was served. */
export interface Request extends RequestBytes {
  readonly check: (answer: Answer) => void;
}

/** A device with everything a generic case needs to know. */
export interface Specimen {
  readonly device: VirtioDevice;
  /** The queue honest requests go to. */
  readonly queue: number;
  /** Requests with different seeds differ. */
  request(seed: number): Request;
  /** From now on requests stay in flight. */
  stall(): void;
  /** The backend works again, and finishes what waited. */
  release(): void;
  /** A change of the configuration from the host's side; see DeviceRow.changesConfig. */
  changeConfig(): void;
  /** The host's side does something of its own that `value` chooses: input, room, errors. */
  meddle?(value: number): void;
}

/** A row of the device table: facts that decide which cases apply. */
export interface DeviceRow {
  readonly name: string;
  readonly make: (ram: GuestRam) => Specimen;
  /** Device-specific features that may be offered (BF-FEAT-04). */
  readonly knownFeatures: bigint;
  /** A subset of the offer that must be refused, if the type has one (BF-FEAT-06). */
  readonly refusedFeatures?: bigint;
  readonly configBytes: number;
  /** Config bytes a driver may change. */
  readonly writableConfig: readonly number[];
  readonly changesConfig: boolean;
  /** Whether requests make the device write to guest memory. */
  readonly answers: boolean;
  /** Whether a stalled backend leaves many requests in flight, rather than one and a full ring. */
  readonly holdsMany: boolean;
  /** Why no backend can hold its requests up, if that is so. */
  readonly neverStalls?: string;
}

export class TestStand {
  readonly ram = new GuestRam();
  readonly loop = new ManualLoop();
  readonly line = new InterruptSink();
  readonly faults: Error[] = [];
  readonly specimen: Specimen;
  readonly transport: DriverTransport;
  readonly driver: MockDriver;
  readonly #neighbour: MockDriver;
  #seed = 0;

  constructor(readonly row: DeviceRow, readonly kind: TransportKind) {
    this.specimen = row.make(this.ram);
    this.transport = kind.attach(this.specimen.device, this);
    this.driver = new MockDriver(this.transport, this.ram, this.loop);
    this.#neighbour = this.#makeNeighbour(kind);
  }

  #makeNeighbour(kind: TransportKind): MockDriver {
    const surroundings = {
      ram: this.ram,
      loop: this.loop,
      line: new InterruptSink(),
      faults: this.faults,
    };
    const transport = kind.attach(new EchoDevice([8]), surroundings);
    const driver = new MockDriver(transport, this.ram, this.loop);
    driver.bringUp();
    return driver;
  }

  /** The queue honest requests go to. */
  get queue(): DriverQueue {
    return this.driver.queue(this.specimen.queue);
  }

  /** Whether the device has set NEEDS_RESET. */
  get isBroken(): boolean {
    return (this.transport.status() & 0x40) !== 0;
  }

  bringUp(options: BringUp = {}): void {
    this.driver.bringUp({ size: 16, ...options });
  }

  /** A request that differs from the ones before. */
  nextRequest(): Request {
    return this.specimen.request(this.#seed++);
  }

  /** One honest request from start to end. */
  roundTrip(): void {
    const request = this.nextRequest();
    request.check(this.driver.call(this.queue, request));
  }

  /**
   * A request out of the way, and its interrupts: a device may announce its configuration with the first one,
   * and cases that count interrupts are about those that follow.
   */
  warmUp(): void {
    this.roundTrip();
    this.transport.acknowledge(0xffff_ffff);
    this.line.take();
  }

  /** Kicks the request queue and lets the loop come to rest. */
  kick(queue = this.specimen.queue): void {
    this.transport.kick(queue);
    this.loop.settle();
  }

  /** Fails unless the device has given up and said so (BF-STAT-06, BF-STAT-07). */
  assertBroken(): void {
    assert(this.isBroken, "The device should have set NEEDS_RESET");
    assertEquals(this.transport.interruptStatus() & 2, 2, "config-change interrupt bit");
    assertEquals(this.faults.length, 1, "faults reported");
  }

  /** INV-1, INV-2 and INV-3 (INV-6 is checked by every `poll`). */
  checkInvariants(): void {
    const change = this.ram.firstForeignChange();
    assertEquals(change, undefined, `INV-2: changed without permission at ${change?.toString(16)}`);
    const bytes = pattern(16, 5);
    const answer = this.#neighbour.call(this.#neighbour.queue(0), {
      readable: bytes,
      writable: bytes.length,
    });
    assertEquals(answer.response, echoOf(bytes), "INV-1: the neighbour's answer");
    this.specimen.release();
    this.loop.settle();
    this.bringUp(); // INV-3
    this.roundTrip();
    assertEquals(this.ram.firstForeignChange(), undefined, "INV-2 after coming up again");
  }
}
