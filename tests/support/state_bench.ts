/** A `DeviceState` around an echo device, without a transport. */
import { VIRTIO_F_VERSION_1 } from "../../src/abi/virtio.ts";
import { DeviceState } from "../../src/virtio/device_state.ts";
import { DESC_BYTES, DriverQueue } from "./driver_queue.ts";
import { EchoDevice } from "./echo_device.ts";
import { GuestRam } from "./guest_ram.ts";
import { InterruptRecord } from "./interrupt_sink.ts";
import { ManualLoop } from "./manual_loop.ts";

const VERSION_1_WORD = 1;
const QUEUE_SIZE = 8;

export class StateBench {
  readonly ram = new GuestRam();
  readonly loop = new ManualLoop();
  readonly interrupt = new InterruptRecord();
  readonly device = new EchoDevice([QUEUE_SIZE, QUEUE_SIZE]);
  readonly faults: Error[] = [];
  clears = 0;
  readonly state: DeviceState;

  constructor() {
    this.state = new DeviceState(this.device, {
      memory: this.ram.memory,
      loop: this.loop,
      interrupt: this.interrupt,
      clearInterrupts: () => this.clears++,
      faulted: (reason) => this.faults.push(reason),
    });
  }

  /** Writes the status; whether it has taken effect. */
  write(value: number): { readonly done: boolean } {
    const outcome = { done: false };
    this.state.writeStatus(value, () => {
      outcome.done = true;
    });
    return outcome;
  }

  /** To FEATURES_OK, with VERSION_1 and `low` as word 0. */
  negotiate(low = 0): void {
    this.write(0);
    this.write(0x03);
    this.state.writeDriverWord(0, low);
    this.state.writeDriverWord(VERSION_1_WORD, Number(VIRTIO_F_VERSION_1 >> 32n));
    this.write(0x0b);
  }

  /** Programs a queue without making it ready. */
  program(index: number): DriverQueue {
    const queue = new DriverQueue(this.ram, index, {
      size: QUEUE_SIZE,
      desc: this.ram.allocate(DESC_BYTES * QUEUE_SIZE, 16),
      avail: this.ram.allocate(6 + 2 * QUEUE_SIZE, 2),
      used: this.ram.allocate(6 + 8 * QUEUE_SIZE, 4),
    });
    const config = this.state.queues[index];
    for (const part of ["desc", "avail", "used"] as const) {
      config?.setAddress(part, "low", queue.placement[part]);
    }
    return queue;
  }

  /** Makes a queue and makes it ready. */
  startQueue(index: number): DriverQueue {
    const queue = this.program(index);
    this.state.startQueue(index);
    return queue;
  }

  /** Up to DRIVER_OK, with both queues. */
  bringUp(): [DriverQueue, DriverQueue] {
    this.negotiate();
    const queues: [DriverQueue, DriverQueue] = [this.startQueue(0), this.startQueue(1)];
    this.write(0x0f);
    return queues;
  }

  /** Publishes one request of four bytes and kicks. */
  request(queue: DriverQueue): void {
    const at = this.ram.allocate(8);
    queue.publish(queue.add([
      { at, length: 4, writable: false },
      { at: at + 4, length: 4, writable: true },
    ]));
    this.state.kick(queue.index);
  }
}
