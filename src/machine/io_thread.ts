/** What an I/O thread holds of one machine: builds devices from the plan, binds their kicks, serves mailboxes, stops cleanly. */
import { SerialHostSide } from "../../devices/legacy/serial_host.ts";
import { makerOf } from "../../devices/makers.ts";
import { MMIO_NOTIFY, MmioTransport } from "../../transports/mmio.ts";
import { MmioInterrupt } from "../../transports/mmio_interrupt.ts";
import type { Transport } from "../../transports/transport.ts";
import { EPOLLIN } from "../abi/linux.ts";
import {
  ANNOUNCE,
  ControlBlock,
  IO_LINKS,
  IO_REQUEST,
  IO_RESIZE,
  IO_STOP,
  LINKS_DOWN,
  WINDOW_SIZE,
} from "../ipc/control_block.ts";
import { type MailboxHandler, MailboxServer } from "../ipc/mailbox.ts";
import type { IoInit, IoReport } from "../ipc/messages.ts";
import { bindIoEventfd, unbindIoEventfd } from "../kvm/vm.ts";
import type { IoEvent } from "../kvm/vm.ts";
import type { EventLoop } from "../loop/event_loop.ts";
import type { GuestMemory } from "../memory/guest_memory.ts";
import { createEventfd, drainEventfd, signalEventfd } from "../sys/eventfd.ts";
import type { FdNumber, OwnedFd } from "../sys/fd.ts";
import { EPIPE } from "../sys/sys_error.ts";
import type { ByteChannel } from "../virtio/byte_channel.ts";
import type { AccessSize } from "../virtio/device.ts";
import type { LiveDevice } from "../virtio/device_maker.ts";
import { BackendFailures } from "./backend_failures.ts";
import { Channels, NULL_CHANNEL, outputFailure } from "./channels.ts";
import { FaultReports } from "./fault_reports.ts";
import { viewRam } from "./guest_ram.ts";
import type { MachinePlan, PlannedDevice } from "./plan.ts";
import { Terminal } from "./terminal.ts";
import { WatchedChannel } from "./watched_channel.ts";

/** How long the end waits for output that nobody takes before it is dropped. */
const FLUSH_PATIENCE_MS = 1000;
const FLUSH_LOOK_MS = 1;
/** How long the end waits for requests in flight: a disk that takes longer has hung. */
const DRAIN_PATIENCE_MS = 10_000;

/** A queue's kick: the eventfd, and what KVM matches for it. */
interface Kick {
  readonly fd: OwnedFd;
  readonly event: IoEvent;
}

/** One device with its registers and kicks. */
interface Attached {
  readonly name: string;
  readonly live: LiveDevice;
  readonly transport: Transport;
  readonly kicks: readonly Kick[];
}

export class IoThread implements MailboxHandler {
  readonly #init: IoInit<MachinePlan>;
  readonly #report: (message: IoReport) => void;
  readonly #block: ControlBlock;
  readonly #loop: EventLoop & Disposable;
  readonly #ended: () => void;
  readonly #memory: GuestMemory;
  readonly #failures: BackendFailures;
  readonly #consoles: WatchedChannel[] = [];
  readonly #channels: Channels;
  readonly #mailboxes: MailboxServer;
  readonly #serial: SerialHostSide;
  readonly #attached: Attached[] = [];
  #terminal: Terminal | undefined;

  /**
   * `loop` is this machine's own, and disposed by `close`. `ended` is called, by a task of `loop`, when control has asked for the stop and everything in flight has ended: time
   * to `close`. Throws what devices throw when the host refuses them (SysError, KvmError); nothing is held then.
   */
  constructor(
    init: IoInit<MachinePlan>,
    report: (message: IoReport) => void,
    loop: EventLoop & Disposable,
    ended: () => void,
  ) {
    this.#init = init;
    this.#report = report;
    this.#failures = new BackendFailures(report);
    this.#loop = loop;
    this.#ended = ended;
    this.#block = new ControlBlock(init.block, init);
    this.#memory = viewRam(init.memory);
    this.#channels = new Channels(this.#loop, () => this.#openTerminal());
    this.#mailboxes = new MailboxServer(this.#block, init.vcpus);
    try {
      this.#serial = this.#openSerial();
      init.plan.devices.forEach((device, index) => this.#attach(device, index));
    } catch (error) {
      this.close();
      throw error;
    }
    this.#loop.watch(init.ioWakeFd, EPOLLIN, { ready: () => this.#woken() });
    this.#loop.poll({
      look: () => this.#mailboxes.look(),
      serve: () => this.#mailboxes.serve(this),
      arm: () => this.#mailboxes.arm(),
    });
  }

  #openTerminal(): Terminal {
    const { terminal: { isTty, fds }, plan: { config: { console } } } = this.#init;
    const { input, takesTypeAhead = false } = console.mode === "auto" ? console : {};
    const inputForVirtio = input === "virtio";
    this.#terminal ??= new Terminal(this.#loop, { isTty, inputForVirtio, takesTypeAhead, fds }, {
      quitRequested: () => this.#report({ type: "quit-requested" }),
      helpRequested: () => this.#report({ type: "help-requested" }),
      powerRequested: () => this.#report({ type: "power-requested" }),
      outputClosed: (errno) => {
        if (errno !== EPIPE) this.#failures.add("console", outputFailure("stdout", errno));
        this.#report({ type: "output-closed" });
      },
    });
    return this.#terminal;
  }

  #openSerial(): SerialHostSide {
    const { serial } = this.#init.plan;
    const channel = serial.type === "terminal"
      ? this.#openTerminal().serial
      : serial.type === "null"
      ? NULL_CHANNEL
      : this.#channels.open(serial, (message) => this.#failures.add("serial", message));
    const shared = {
      words: this.#block.words,
      base: this.#block.serial,
      transmit: this.#block.serialTransmit,
      receive: this.#block.serialReceive,
    };
    return new SerialHostSide(
      shared,
      this.#watched(channel),
      this.#loop,
      () => signalEventfd(this.#init.serialIrqFd as FdNumber),
    );
  }

  #watched(channel: ByteChannel): WatchedChannel {
    const watched = new WatchedChannel(channel);
    this.#consoles.push(watched);
    return watched;
  }

  #attach(planned: PlannedDevice, index: number): void {
    const { name, base } = planned.slot;
    const backendFailed = (message: string) => this.#failures.add(name, message);
    const { [index]: opened = -1 } = this.#init.opened;
    const live = makerOf(planned.config)(planned.config, {
      loop: this.#loop,
      ownerSocket: this.#init.ownerSocket,
      channel: (config) => this.#watched(this.#channels.open(config, backendFailed)),
      backendFailed,
      counters: this.#block.counters(index),
      ...(opened === -1 ? {} : { opened }),
    });
    const irqFd = this.#init.irqFds[index] as FdNumber;
    const faults = new FaultReports(
      this.#loop,
      (message) => this.#report({ type: "device-fault", device: name, message }),
    );
    const transport = new MmioTransport(live.device, {
      memory: this.#memory,
      loop: this.#loop,
      interrupt: new MmioInterrupt(this.#block.words, this.#block.interruptStatus(index), {
        raise: () => signalEventfd(irqFd),
      }),
      mirror: this.#block.mirror(index),
      faulted: (reason) => faults.fault(reason),
    });
    const kicks: Kick[] = [];
    this.#attached.push({ name, live, transport, kicks }); // before more can fail: `close` sees it
    this.#bindKicks(transport, base, kicks);
    live.resize?.(this.#init.terminal.columns, this.#init.terminal.rows);
  }

  /** A kick is an eventfd per queue, matched by KVM on the written index: no exit, no JavaScript. */
  #bindKicks(transport: Transport, base: number, kicks: Kick[]): void {
    for (let queue = 0; queue < transport.queueCount; queue++) {
      const fd = createEventfd();
      const event: IoEvent = {
        fd: fd.number,
        address: base + MMIO_NOTIFY.offset,
        length: MMIO_NOTIFY.length,
        datamatch: queue,
        space: "mmio",
      };
      try {
        bindIoEventfd(this.#init.vmFd as FdNumber, event);
      } catch (error) {
        fd.close(); // `close` lets go of bound ones only
        throw error;
      }
      kicks.push({ fd, event });
      this.#loop.watch(fd.number, EPOLLIN, {
        ready: () => {
          drainEventfd(fd.number);
          transport.kick(queue);
        },
      });
    }
  }

  /** What the kernel said when it died, if that is how it ended. */
  get panic(): string | undefined {
    return this.#consoles.map((console) => console.panic).find((panic) => panic !== undefined);
  }

  #woken(): void {
    drainEventfd(this.#init.ioWakeFd as FdNumber);
    this.#mailboxes.serve(this);
    this.#serial.woken();
    const requests = Atomics.exchange(this.#block.words, IO_REQUEST, 0);
    if ((requests & IO_RESIZE) !== 0) this.#resize();
    if ((requests & IO_LINKS) !== 0) this.#changeLinks();
    if ((requests & IO_STOP) !== 0) this.#stop();
  }

  #changeLinks(): void {
    const down = Atomics.load(this.#block.words, LINKS_DOWN);
    const announcing = Atomics.exchange(this.#block.words, ANNOUNCE, 0);
    this.#attached.forEach(({ live }, index) => {
      live.setLink?.(((down >>> index) & 1) === 0);
      if (((announcing >>> index) & 1) !== 0) live.announce?.();
    });
  }

  /** MailboxHandler: a register read of device `window`. */
  read(window: number, offset: number, size: number): number {
    return this.#attached[window]?.transport.read(offset, size as AccessSize) ?? 0;
  }

  /** MailboxHandler: a register write. */
  write(window: number, offset: number, size: number, value: number, done: () => void): void {
    const transport = this.#attached[window]?.transport;
    if (transport === undefined) return done();
    transport.write(offset, size as AccessSize, value, { done });
  }

  #resize(): void {
    const size = Atomics.load(this.#block.words, WINDOW_SIZE);
    for (const { live } of this.#attached) live.resize?.(size >>> 16, size & 0xffff);
  }

  /** All vCPUs have left the guest: finish what devices have in flight, then let output go out. */
  #stop(): void {
    let waiting = this.#attached.length;
    const finished = () => {
      if (--waiting === 0) this.#flush(this.#loop.now + FLUSH_PATIENCE_MS);
    };
    this.#serial.drain();
    this.#loop.timer(DRAIN_PATIENCE_MS, { ready: () => this.#giveUp() });
    if (waiting === 0) return this.#flush(this.#loop.now + FLUSH_PATIENCE_MS);
    for (const { transport } of this.#attached) transport.shutDown(finished);
  }

  #giveUp(): void {
    for (const { name, live } of this.#attached) {
      if (live.isBusy?.() !== true) continue;
      const seconds = DRAIN_PATIENCE_MS / 1000;
      this.#failures.add(name, `Cannot finish its requests: no answer for ${seconds} seconds`);
    }
    this.#end();
  }

  #flush(deadline: number): void {
    this.#serial.drain();
    const flushed = (this.#terminal?.flushed ?? true) && this.#channels.flushed;
    if (flushed || this.#loop.now > deadline) return this.#end();
    this.#loop.timer(FLUSH_LOOK_MS, { ready: () => this.#flush(deadline) });
  }

  #end(): void {
    this.#loop.defer(this.#ended);
  }

  /** Whether the kernel may still write to guest memory for one of the devices. */
  get isBusy(): boolean {
    return this.#attached.some(({ live }) => live.isBusy?.() === true);
  }

  /** Releases everything this thread holds for the machine: also what comes behind something that throws. */
  close(): void {
    using release = new DisposableStack(); // last in, first out
    release.defer(() => this.#terminal?.close());
    release.defer(() => this.#channels.close());
    for (const { live, kicks } of this.#attached.splice(0)) {
      release.defer(() => live.close());
      for (const kick of kicks) release.defer(() => this.#unbind(kick));
    }
    // Before what it watches is closed, and its number given to something else.
    release.defer(() => this.#loop[Symbol.dispose]());
  }

  #unbind({ fd, event }: Kick): void {
    using _closed = fd;
    unbindIoEventfd(this.#init.vmFd as FdNumber, event);
  }
}
