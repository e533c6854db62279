/**
 * virtio-console (spec 5.3): a terminal for the guest (hvc0), or, with MULTIPORT, several named byte streams.
 * Owned by the I/O thread; bytes are moved by `port.ts`, ports are announced by `control.ts`.
 */
import { VIRTIO_ID_CONSOLE } from "../../src/abi/virtio.ts";
import { ConfigBytes } from "../../src/virtio/config_bytes.ts";
import type { ActivationContext, VirtioDevice } from "../../src/virtio/device.ts";
import {
  virtio_console_config as CONFIG,
  VIRTIO_CONSOLE_F_EMERG_WRITE,
  VIRTIO_CONSOLE_F_MULTIPORT,
  VIRTIO_CONSOLE_F_SIZE,
} from "./abi.ts";
import { CONTROL_RECEIVE_QUEUE, CONTROL_TRANSMIT_QUEUE, ControlQueues } from "./control.ts";
import { Port, type PortSetup } from "./port.ts";

const QUEUE_SIZE = 64;

/** What a console is made of. */
export interface ConsoleSetup {
  /** Port 0 first. More than one, or a name, makes it a MULTIPORT console. */
  readonly ports: readonly PortSetup[];
  readonly columns: number;
  readonly rows: number;
}

export class ConsoleDevice implements VirtioDevice {
  readonly type = VIRTIO_ID_CONSOLE;
  readonly queueSizes: readonly number[];
  readonly features: bigint;
  readonly config: ConfigBytes;
  readonly #ports: readonly Port[];
  readonly #control: ControlQueues;
  #context: ActivationContext | undefined;
  #multiport = false;

  constructor(setup: ConsoleSetup) {
    this.#ports = setup.ports.map((port, id) => new Port(id, port));
    this.#control = new ControlQueues(this.#ports, setup.columns, setup.rows);
    const multiport = setup.ports.length > 1 || setup.ports[0]?.name !== undefined;
    this.features = VIRTIO_CONSOLE_F_SIZE | VIRTIO_CONSOLE_F_EMERG_WRITE |
      (multiport ? VIRTIO_CONSOLE_F_MULTIPORT : 0n);
    const queues = multiport ? 2 * setup.ports.length + 2 : 2; // CON-02
    this.queueSizes = new Array<number>(queues).fill(QUEUE_SIZE);
    this.config = new ConfigBytes(CONFIG.size, (offset, value) => {
      // Works in every state of the device, and in any width: only the low byte counts (CON-04..06).
      if (offset === CONFIG.at.emerg_wr) this.#ports[0]?.emergency(value);
    }, (offset) => {
      if (offset < CONFIG.at.max_nr_ports) this.#sizeRead();
    });
    this.config.update((view) => {
      view.setUint16(CONFIG.at.cols, setup.columns, true);
      view.setUint16(CONFIG.at.rows, setup.rows, true);
      if (multiport) view.setUint32(CONFIG.at.max_nr_ports, setup.ports.length, true);
    });
  }

  acceptFeatures(): boolean {
    return true; // the three bits are independent of each other
  }

  activate(context: ActivationContext): void {
    this.#context = context;
    this.#multiport = (context.features & VIRTIO_CONSOLE_F_MULTIPORT) !== 0n;
    for (const port of this.#ports) port.activate(context, this.#multiport);
    this.#control.activate(context);
    if (!this.#multiport) this.#awaitDriver(context);
  }

  /**
   * Without MULTIPORT nobody says PORT_OPEN, and DRIVER_OK is too early: Linux frees every buffer that comes back
   * before its port is listed, with the input in it (drivers/char/virtio_console.c, virtcons_probe and in_intr), and
   * between the two can lie seconds. But a driver that takes SIZE reads the size when it is told that it has changed,
   * and Linux does not before its port is listed (drivers/virtio/virtio.c, virtio_config_enable). So we tell it, and
   * the port is open when the driver reads the size, or prints. A driver without SIZE is taken at its word.
   */
  #awaitDriver({ features, configChanged }: ActivationContext): void {
    if ((features & VIRTIO_CONSOLE_F_SIZE) === 0n) return this.#ports[0]?.setOpen(true);
    this.config.update(() => {}); // to this driver any size is news
    configChanged();
  }

  #sizeRead(): void {
    if (this.#context !== undefined && !this.#multiport) this.#ports[0]?.setOpen(true);
  }

  notify(queue: number): void {
    if (this.#multiport && queue === CONTROL_RECEIVE_QUEUE) return this.#control.receive();
    if (this.#multiport && queue === CONTROL_TRANSMIT_QUEUE) return this.#control.transmit();
    for (const port of this.#ports) {
      if (queue === port.receiveQueue) return port.receive();
      if (queue === port.transmitQueue) return port.transmit();
    }
  }

  /** The window has changed: port 0's in the configuration space, every console port's by message (CON-12). */
  resize(columns: number, rows: number): void {
    this.config.update((view) => {
      view.setUint16(CONFIG.at.cols, columns, true);
      view.setUint16(CONFIG.at.rows, rows, true);
    });
    if (this.#context !== undefined && (this.#context.features & VIRTIO_CONSOLE_F_SIZE) !== 0n) {
      this.#context.configChanged();
    }
    this.#control.resize(columns, rows);
  }

  quiesce(done: () => void): void {
    done(); // nothing is in flight: a held chain is only looked at again from `notify`
  }

  reset(): void {
    this.#context = undefined;
    this.#multiport = false;
    for (const port of this.#ports) port.reset();
    this.#control.reset();
  }
}
