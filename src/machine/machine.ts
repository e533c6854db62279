/**
 * A machine and its life, on the control thread: opens KVM, maps RAM, starts the I/O thread and the vCPUs while the
 * kernel is being read, stops everything in order.
 *
 *   created ── start ──▶ running ◀── resume ── paused, pausing
 *      │                    │  └── pause ──▶ pausing ──▶ paused
 *      │                    └── from all three: guest ends, stop(), a thread dies ──▶ stopping ──▶ stopped
 *      └────── stop() ─────────────────────────────────────────────────────────────────▲
 */
import type { DeviceConfig } from "../../devices/mod.ts";
import { openerOf } from "../../devices/openers.ts";
import {
  ANNOUNCE,
  ControlBlock,
  IO_LINKS,
  IO_RESIZE,
  LINKS_DOWN,
  REPORTS,
  STOPPING,
  VCPU_PAUSE,
  VCPU_STOP,
  WINDOW_SIZE,
} from "../ipc/control_block.ts";
import type { IoReport, PlainError, VcpuExit } from "../ipc/messages.ts";
import { createEventfd, signalEventfd } from "../sys/eventfd.ts";
import type { OwnedFd } from "../sys/fd.ts";
import { kickTarget } from "../sys/thread.ts";
import type { MachineConfig } from "./config.ts";
import { type MachineExit, type Outcome, outcomeOf } from "./exit.ts";
import { bootMemory } from "./guest_ram.ts";
import { buildHardware, type Hardware, loadBootProcessor } from "./hardware.ts";
import { loadImages } from "./images.ts";
import { IoHandle } from "./io_handle.ts";
import { endIdleIoThreads } from "./io_threads.ts";
import { MachineError, startFailure, stateError } from "./machine_error.ts";
import type { MachineEvents, MachineOptions, MachineStatus } from "./machine_options.ts";
import { type Placement, placementOf } from "./placement.ts";
import { type MachinePlan, planMachine } from "./plan.ts";
import { type MachineMetrics, metricsOf } from "./metrics.ts";
import { atMost } from "./time_limit.ts";
import { VcpuGroup } from "./vcpu_group.ts";
import type { VcpuEvents, VcpuHandle } from "./vcpu_handle.ts";
import { windowsOf } from "./windows.ts";
import {
  newOwnerSocket,
  requireVsock,
  type VsockAddress,
  type VsockConnection,
  VsockHost,
  type VsockListener,
  type VsockPort,
} from "./vsock_host.ts";
import { idleVcpuWorkers, WorkerVcpu } from "./worker_vcpu.ts";

/** How long a guest may take to power off: its services stop first. */
const SHUTDOWN_MS = 30_000;

/** One virtual machine, from `create` to `exited`. */
export class Machine implements AsyncDisposable {
  /** What it was built from. */
  readonly plan: MachinePlan;
  readonly #events: MachineEvents;
  readonly #endsProcess: boolean;
  readonly #block: ControlBlock;
  readonly #resources = new DisposableStack();
  readonly #wake: OwnedFd;
  readonly #io: IoHandle;
  readonly #placement: Placement;
  readonly #vcpus: VcpuGroup;
  readonly #ownerSocket = newOwnerSocket();
  /** Undefined in a machine without a vsock device. */
  readonly #vsock: VsockHost | undefined;
  readonly #exited = Promise.withResolvers<MachineExit>();
  #hardware: Hardware | undefined;
  /** Each worker that has been told what it is has said so, or died. Undefined: none has been told. */
  #settled: Promise<unknown> | undefined;
  #state: MachineStatus = "created";
  /** Of the pause asked for; undefined when none is. */
  #pause: PromiseWithResolvers<void> | undefined;
  #outcome: Outcome | undefined;
  readonly #vcpuEvents: VcpuEvents = {
    exited: (id, exit, startedAt) => this.#vcpuExited(id, exit, startedAt),
    died: (error) => this.#threadDied(error),
  };
  #finishing = false;
  #startedAt = 0;
  #firstEntryAt = 0;

  private constructor(plan: MachinePlan, options: MachineOptions) {
    const local = options.firstVcpu;
    this.plan = plan;
    this.#events = options.events ?? {};
    this.#endsProcess = options.endsProcess ?? false;
    const shape = { vcpus: plan.config.vcpus, devices: plan.devices.length };
    this.#block = ControlBlock.create(shape);
    this.#wake = this.#resources.use(createEventfd());
    const hasVsock = plan.config.devices.some(({ kind }) => kind === "vsock");
    this.#vsock = hasVsock ? new VsockHost(this.#ownerSocket) : undefined;
    this.#io = new IoHandle(this.#block, this.#wake.number, (report) => this.#heard(report));
    this.#placement = placementOf(plan, local !== undefined);
    // Workers first: they take longest, and load their modules while this thread opens KVM and reads the kernel.
    if (this.#placement.io === "at once") this.#io.load();
    const parked = () => this.#vcpuParked();
    this.#vcpus = new VcpuGroup(
      this.#block,
      Array.from(
        { length: shape.vcpus },
        (_, id): VcpuHandle =>
          id === 0 && local !== undefined
            ? new local({
              parked,
              wakeIo: () => this.#wakeIo(),
              isExpecting: () => this.#isExpecting(),
              turned: () => this.#startLateThreads(),
            })
            : new WorkerVcpu(id, parked),
      ),
      this.#placement.vcpus,
    );
  }

  #isExpecting(): boolean {
    return this.#io.received + this.#vcpus.received < Atomics.load(this.#block.words, REPORTS);
  }

  /** From the vCPU on this thread: the others find the I/O thread up. */
  #wakeIo(): void {
    this.#startIo();
    signalEventfd(this.#wake.number);
  }

  #startIo(): void {
    this.#io.start().catch(() => {}); // its death is heard of by `onDeath`
  }

  /** The guest has run for a moment. */
  #startLateThreads(): void {
    if (this.#state !== "running") return;
    this.#startIo(); // first: the others count on it
    this.#vcpus.startLate(this.#vcpuEvents);
  }

  /**
   * Plans and builds a machine, ready to start. Throws KvmError, BootError, SysError or MachineError, each with
   * `code` and `hint`; nothing is left behind then.
   */
  static async create(config: MachineConfig, options: MachineOptions = {}): Promise<Machine> {
    const machine = new Machine(planMachine(config), options);
    try {
      await machine.#build(options);
    } catch (error) {
      await machine.stop();
      throw error;
    }
    return machine;
  }

  /** Ends the threads that have served machines of this process and wait for the next one. */
  static endIdleThreads(): void {
    idleVcpuWorkers.clear();
    endIdleIoThreads();
  }

  async #build(options: MachineOptions): Promise<void> {
    const { plan } = this;
    const hardware = this.#hardware = buildHardware(plan, {
      kvmDevice: options.kvmDevice,
      resources: this.#resources,
      isRamInUse: () => this.#io.holdsMemory,
    });
    const { vm, layout, irqFds, serialIrqFd } = hardware;
    const common = {
      type: "init",
      vmFd: vm.fd,
      block: this.#block.buffer,
      vcpus: plan.config.vcpus,
      devices: plan.devices.length,
      ioWakeFd: this.#wake.number,
      irqFds,
      serialIrqFd,
      controlThread: options.firstVcpu === undefined ? undefined : kickTarget(),
    } as const;
    const terminal = options.terminal ?? { isTty: false, columns: 80, rows: 24 };
    const ownerSocket = this.#ownerSocket;
    const opened = plan.devices.map(({ config }) => this.#open(config));
    this.#io.prepare({ ...common, plan, opened, memory: layout, terminal, ownerSocket });
    const io = this.#placement.io === "at once" ? [this.#io.start()] : [];
    const threads = this.#vcpus.init(hardware.vcpus, { ...common, windows: windowsOf(plan) });
    const ready = allReady([...io, ...threads]);
    this.#settled = ready.catch(() => {});
    loadBootProcessor(hardware, loadImages(plan, bootMemory(layout)));
    await ready;
  }

  /** What this thread opens for a device; -1 when there is nothing. Throws SysError. */
  #open(config: DeviceConfig): number {
    const fd = openerOf(config)?.();
    if (fd === undefined) return -1;
    // A thread that hangs would write to whatever had the number next.
    this.#resources.defer(() => this.#io.isStuck || fd.close());
    return fd.number;
  }

  /** Lets the guest run. Throws MachineError when the machine has been started or stopped before. */
  start(): void {
    if (this.#state !== "created") throw stateError("start", this.#state);
    this.#startedAt = performance.timeOrigin + performance.now();
    this.#state = "running";
    this.#io.onDeath((error) => this.#threadDied(error));
    this.#vcpus.start(this.#vcpuEvents);
  }

  #vcpuExited(id: number, exit: VcpuExit, startedAt: number): void {
    if (id === 0) this.#firstEntryAt = startedAt;
    if (exit.kind !== "asked") this.#outcome ??= outcomeOf(exit);
    this.#windDown();
  }

  #threadDied(error: PlainError): void {
    const detail = `${error.name}: ${error.message}`;
    this.#outcome ??= { reason: "internal-error", detail };
    if (error.stack !== undefined) this.#events.log?.(error.stack);
    this.#windDown();
  }

  #heard(report: IoReport): void {
    switch (report.type) {
      case "quit-requested":
        return this.#events.quitRequested?.();
      case "help-requested":
        return this.#events.helpRequested?.();
      case "power-requested":
        return this.#events.powerRequested?.();
      case "output-closed":
        return this.#events.outputClosed?.();
      case "device-fault":
        return this.#events.log?.(`${report.device}: driver fault: ${report.message}`);
      case "backend-failed":
        return this.#events.backendFailed?.({ device: report.device, message: report.message });
    }
  }

  /** Where in its life it is. */
  get status(): MachineStatus {
    return this.#state;
  }

  /**
   * Takes every vCPU out of the guest; resolves when none is in it any more and each instruction begun is complete,
   * its device accesses included. Devices go on meanwhile: what the guest has given them is finished. Asked again, it
   * answers with the same pause. Rejects with MachineError STATE when the machine does not run, or when it ends or is
   * resumed first.
   */
  pause(): Promise<void> {
    if (this.#state === "running") {
      this.#state = "pausing";
      this.#pause = Promise.withResolvers();
      this.#pause.promise.catch(() => {}); // whoever does not wait need not hear that it came to nothing
      this.#vcpus.request(VCPU_PAUSE);
      this.#vcpuParked(); // they may not have left since the pause before
    }
    return this.#pause?.promise ?? Promise.reject(stateError("pause", this.#state));
  }

  #vcpuParked(): void {
    if (this.#state !== "pausing" || !this.#vcpus.parked) return;
    this.#state = "paused";
    this.#pause?.resolve();
  }

  /** Lets the guest go on. Nothing happens when it runs; throws MachineError STATE when there is nothing to resume. */
  resume(): void {
    if (this.#state === "running") return;
    if (this.#pause === undefined) throw stateError("resume", this.#state);
    this.#state = "running";
    this.#dropPause("The machine was resumed before it was paused");
    this.#vcpus.withdraw(VCPU_PAUSE);
  }

  /** Without effect on a pause that was reached. */
  #dropPause(reason: string): void {
    this.#pause?.reject(new MachineError(reason, "STATE"));
    this.#pause = undefined;
  }

  /** The terminal has a new size. */
  resize(columns: number, rows: number): void {
    Atomics.store(this.#block.words, WINDOW_SIZE, (columns << 16) | (rows & 0xffff));
    this.#askIo(IO_RESIZE);
  }

  /**
   * Plugs the cable of network card `card` (0: the first one) in, or pulls it out; packets on their way are lost then.
   * Throws MachineError NO_SUCH_CARD.
   */
  setLink(card: number, up: boolean): void {
    const bit = this.#cardBit(card);
    if (up) Atomics.and(this.#block.words, LINKS_DOWN, ~bit);
    else Atomics.or(this.#block.words, LINKS_DOWN, bit);
    this.#askIo(IO_LINKS);
  }

  /** Has the guest tell its neighbours where network card `card` is, as after a move. Throws like `setLink`. */
  announce(card: number): void {
    Atomics.or(this.#block.words, ANNOUNCE, this.#cardBit(card));
    this.#askIo(IO_LINKS);
  }

  /** There are 32 devices at most (maxVirtioSlots), so one word has a bit for each. */
  #cardBit(card: number): number {
    const cards = [...this.plan.devices.keys()]
      .filter((index) => this.plan.devices[index]?.config.kind === "net");
    const index = cards[card];
    if (index !== undefined) return 1 << index;
    const message = `Cannot find network card ${card}: the machine has ${cards.length}`;
    throw new MachineError(message, "NO_SUCH_CARD");
  }

  #askIo(request: number): void {
    if (this.#state !== "stopped") this.#io.ask(request);
  }

  /** What it has done so far; also when it has ended. */
  metrics(): MachineMetrics {
    return metricsOf(this.plan, this.#block, this.#hardware?.ram, this.#vcpus.exits());
  }

  /** How the machine ended; never rejects. */
  get exited(): Promise<MachineExit> {
    return this.#exited.promise;
  }

  /**
   * Presses the power button. What comes of it is the guest's decision; one that is still booting may miss it. Throws
   * MachineError NO_POWER_BUTTON when the guest was not told of one, STATE when it does not run.
   */
  pressPowerButton(): void {
    const button = this.#hardware?.powerButton;
    if (button === undefined) {
      throw new MachineError(
        `Cannot press the power button: with --discovery ${this.plan.discovery} the guest has none`,
        "NO_POWER_BUTTON",
        "use --discovery acpi with a kernel that knows ACPI, or stop the machine",
      );
    }
    if (this.#state !== "running") throw stateError("press the power button of", this.#state);
    signalEventfd(button);
  }

  /**
   * Presses the power button, waits until the guest has switched itself off, and pulls the plug after `deadlineMs`
   * (30 s when left out): the reason is `stopped` then, with a `detail`. Rejects like `pressPowerButton`.
   */
  async shutdown(
    { deadlineMs = SHUTDOWN_MS }: { readonly deadlineMs?: number } = {},
  ): Promise<MachineExit> {
    this.pressPowerButton();
    await atMost(deadlineMs, this.exited);
    const detail = `the guest did not power off within ${deadlineMs} ms`;
    this.#outcome ??= { reason: "stopped", detail };
    return this.stop();
  }

  /**
   * Calls a port of the guest. Rejects with MachineError: VSOCK_REFUSED when nobody listens there, NO_VSOCK when the
   * machine has no vsock device, STATE when it does not run, VSOCK_PORT, VSOCK_TYPE; or with the reason of the signal.
   */
  async connect(address: VsockAddress): Promise<VsockConnection> {
    return await requireVsock(this.#vsock, this.#state, "connect to").connect(address);
  }

  /**
   * Takes the guest's calls to a port of the host (CID 2), which go nowhere else then. Throws MachineError:
   * VSOCK_IN_USE, NO_VSOCK, STATE when the machine has ended, VSOCK_PORT, VSOCK_TYPE.
   */
  listen(address: VsockPort): VsockListener {
    return requireVsock(this.#vsock, this.#state, "listen in").listen(address);
  }

  /** Ends the machine, whatever it is doing, as one pulls a plug: requests in flight are finished, no more. */
  stop(): Promise<MachineExit> {
    this.#outcome ??= { reason: "stopped" };
    if (this.#state === "created") this.#stopUnstarted();
    else this.#windDown();
    return this.exited;
  }

  async #stopUnstarted(): Promise<void> {
    this.#state = "stopping";
    await this.#settled; // a thread may be about to make devices, or to take its vCPU
    Atomics.store(this.#block.words, STOPPING, 1);
    this.#finish();
  }

  /** Gets every vCPU out of the guest, then the I/O thread out of its loop. */
  #windDown(): void {
    if (["running", "pausing", "paused"].includes(this.#state)) {
      this.#state = "stopping";
      this.#dropPause("The machine ended before it was paused");
      Atomics.store(this.#block.words, STOPPING, 1);
      this.#vcpus.request(VCPU_STOP);
    }
    if (this.#state === "stopping" && this.#vcpus.isIdle) this.#finish();
  }

  async #finish(): Promise<void> {
    if (this.#finishing) return;
    this.#finishing = true;
    this.#end(await this.#io.stop());
  }

  #end(panic: string | undefined): void {
    this.#state = "stopped";
    if (this.#io.holdsMemory) {
      this.#events.log?.(
        "The guest's memory stays mapped: a request of a disk, or a thread, has not ended",
      );
    }
    const exit = this.#describe(panic);
    if (this.#endsProcess) this.#hardware?.vm.leaveToKernel();
    else this.#release();
    this.#exited.resolve(exit);
  }

  #describe(panic: string | undefined): MachineExit {
    const outcome = this.#outcome ?? { reason: "stopped" as const };
    const booted = this.#firstEntryAt > 0 ? { bootMs: this.#firstEntryAt - this.#startedAt } : {};
    return {
      ...outcome,
      ...(panic !== undefined && outcome.reason === "reboot"
        ? { reason: "panic", detail: panic }
        : {}),
      ...booted,
      exits: this.#vcpus.exits(),
    };
  }

  /** No thread works on memory or descriptors any more, or is about to be ended. */
  #release(): void {
    this.#vsock?.close();
    this.#vcpus.terminate();
    this.#io.release();
    this.#resources.dispose();
  }

  /** Stops it and waits until nothing is left of it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** Resolves when every thread is ready; rejects with the first death, once none is on its way any more. */
async function allReady(threads: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(threads)) {
    if (result.status === "rejected") throw startFailure(result.reason);
  }
}
