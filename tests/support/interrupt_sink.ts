/** Interrupts that only count. */
import type { Interrupt } from "../../src/virtio/device.ts";
import type { IrqLine } from "../../transports/mmio_interrupt.ts";

/** An edge-triggered line of the machine. `onEdge` runs inside `raise`, as an interrupt handler might. */
export class InterruptSink implements IrqLine {
  edges = 0;
  onEdge: () => void = () => {};

  raise(): void {
    this.edges++;
    this.onEdge();
  }

  /** Edges since the last call. */
  take(): number {
    const edges = this.edges;
    this.edges = 0;
    return edges;
  }
}

/** What a queue or a device raises when no transport is involved. */
export class InterruptRecord implements Interrupt {
  readonly queues: number[] = [];
  configs = 0;

  queue(index: number): void {
    this.queues.push(index);
  }

  config(): void {
    this.configs++;
  }

  /** Queue interrupts since the last call. */
  takeQueues(): number[] {
    return this.queues.splice(0);
  }
}
