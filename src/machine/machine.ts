/**
 * A machine and its life, on the control thread: opens KVM, maps RAM, starts the I/O and vCPU workers while the
 * kernel is being read, stops everything in order.
 *
 *   created ── start ──▶ running ── guest ends, stop(), a thread dies ──▶ stopping ──▶ stopped
 *      └───────────────────────── stop() ──────────────────────────────────────────────▲
 */
import type { BootState } from "../arch/types.ts";
import { setUpVm } from "../arch/vm.ts";
import {
  ControlBlock,
  IO_REQUEST,
  IO_RESIZE,
  IO_STOP,
  STOPPING,
  VCPU_EXITS_MMIO,
  VCPU_EXITS_OTHER,
  VCPU_EXITS_PIO,
  VCPU_REQUEST,
  VCPU_STOP,
  WINDOW_SIZE,
} from "../ipc/control_block.ts";
import type { IoReport, PlainError, VcpuExit, VcpuReport } from "../ipc/messages.ts";
import { RunPage } from "../kvm/run_page.ts";
import { KvmSystem } from "../kvm/system.ts";
import type { KvmVm } from "../kvm/vm.ts";
import { createEventfd, signalEventfd } from "../sys/eventfd.ts";
import type { OwnedFd } from "../sys/fd.ts";
import { bytesAt } from "../sys/mmap.ts";
import { kickThread } from "../sys/thread.ts";
import type { MachineConfig } from "./config.ts";
import { type MachineExit, type Outcome, outcomeOf } from "./exit.ts";
import { mapRam, plugRam, viewRam } from "./guest_ram.ts";
import { loadImages } from "./images.ts";
import { type MachinePlan, planMachine } from "./plan.ts";
import { windowsOf } from "./windows.ts";
import { WorkerHandle } from "./worker_handle.ts";

/** How long a kicked vCPU may take to leave the guest before it is kicked again. */
const KICK_AGAIN_MS = 50;
/** How long the I/O thread may take to finish: more than its own patience. */
const IO_STOP_MS = 15_000;

/** How long a vCPU worker may take to close a descriptor and a mapping. */
const LEAVE_MS = 1000;

/** A machine could not be made, or one of its threads failed to come up. */
export class MachineError extends Error {
  /** Its class, for people. */
  override readonly name = "MachineError";
  /** `code` is stable, for scripts; `hint` says what to do. */
  constructor(message: string, readonly code: string, readonly hint?: string) {
    super(message);
  }
}

/** What a running machine has to say to its owner. */
export interface MachineEvents {
  /** The user typed Ctrl-] q. */
  quitRequested?(): void;
  /** The user typed Ctrl-] ?. */
  helpRequested?(): void;
  /** Nobody reads stdout any more. */
  outputClosed?(): void;
  /** One line about something of note, for --verbose. */
  log?(line: string): void;
}

/** What a machine's console is connected to. */
export interface TerminalSize {
  /** Whether a person types there: the escape key counts then. */
  readonly isTty: boolean;
  /** Characters. */
  readonly columns: number;
  /** Characters. */
  readonly rows: number;
}

/** What a machine is connected to, beside its configuration. */
export interface MachineOptions {
  /** The terminal behind stdin and stdout; 80 by 24 and no tty when left out. */
  readonly terminal?: TerminalSize;
  /** Whom to tell what happens. */
  readonly events?: MachineEvents;
  /** The device to open instead of /dev/kvm. */
  readonly kvmDevice?: string;
}

type State = "created" | "running" | "stopping" | "stopped";

/** One vCPU's worker, and what is needed to kick it. */
interface VcpuHandle {
  readonly id: number;
  readonly worker: WorkerHandle<VcpuReport>;
  threadId: number;
  runPage: RunPage | undefined;
  done: boolean;
}

/** One virtual machine, from `create` to `exited`. */
export class Machine implements AsyncDisposable {
  /** What it was built from. */
  readonly plan: MachinePlan;
  readonly #events: MachineEvents;
  readonly #block: ControlBlock;
  readonly #resources = new DisposableStack();
  readonly #wake: OwnedFd;
  readonly #io: WorkerHandle<IoReport>;
  readonly #vcpus: VcpuHandle[];
  readonly #exited = Promise.withResolvers<MachineExit>();
  #bootState: BootState | undefined;
  /** Each worker that has been told what it is has said so, or died. Undefined: none has been told. */
  #settled: Promise<unknown> | undefined;
  #state: State = "created";
  #outcome: Outcome | undefined;
  #finishing = false;
  #startedAt = 0;
  #firstEntryAt = 0;

  private constructor(plan: MachinePlan, options: MachineOptions) {
    this.plan = plan;
    this.#events = options.events ?? {};
    const shape = { vcpus: plan.config.vcpus, devices: plan.devices.length };
    this.#block = ControlBlock.create(shape);
    // Workers first: they take longest, and load their modules while this thread opens KVM and reads the kernel.
    this.#vcpus = Array.from({ length: shape.vcpus }, (_, id) => this.#spawnVcpu(id));
    this.#io = new WorkerHandle(
      new URL("./io_worker.ts", import.meta.url),
      "dinovisor-io",
      (report) => this.#heard(report),
    );
    this.#wake = this.#resources.use(createEventfd());
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

  #spawnVcpu(id: number): VcpuHandle {
    const worker = new WorkerHandle<VcpuReport>(
      new URL("./vcpu_worker.ts", import.meta.url),
      `dinovisor-vcpu${id}`,
      () => {},
    );
    return { id, worker, threadId: 0, runPage: undefined, done: false };
  }

  async #build(options: MachineOptions): Promise<void> {
    const { plan } = this;
    const system = this.#resources.use(KvmSystem.open(options.kvmDevice));
    const vm = this.#resources.use(system.createVm());
    setUpVm(vm);
    const { mapping, layout } = mapRam(plan.ram);
    this.#resources.defer(() => mapping.unmap());
    plugRam(vm, layout);
    const irqFds = plan.devices.map(({ slot }) => this.#interruptLine(vm, slot.gsi));
    const serialGsi = plan.fixed.find((slot) => slot.kind === "serial")?.gsi;
    const common = {
      type: "init",
      vmFd: vm.fd,
      block: this.#block.buffer,
      vcpus: plan.config.vcpus,
      devices: plan.devices.length,
      ioWakeFd: this.#wake.number,
      irqFds,
      serialIrqFd: this.#interruptLine(vm, serialGsi),
    } as const;
    const terminal = options.terminal ?? { isTty: false, columns: 80, rows: 24 };
    this.#io.post({ ...common, plan, memory: layout, terminal });
    const mmapSize = system.vcpuMmapSize();
    const windows = windowsOf(plan);
    for (const { id, worker } of this.#vcpus) {
      worker.post({ ...common, id, kvmFd: system.fd, mmapSize, windows });
    }
    const ready = this.#allReady();
    this.#settled = ready.catch(() => {});
    this.#bootState = loadImages(plan, viewRam(layout));
    await ready;
  }

  /** An eventfd that is an edge on line `gsi`; -1 for a device that never interrupts. */
  #interruptLine(vm: KvmVm, gsi: number | undefined): number {
    if (gsi === undefined) return -1;
    const fd = this.#resources.use(createEventfd());
    vm.irqfd(fd.number, gsi);
    return fd.number;
  }

  /** Resolves when every worker is ready; rejects with the first death, once no worker is on its way any more. */
  async #allReady(): Promise<void> {
    const vcpus = this.#vcpus.map(async (vcpu) => {
      const { threadId, runPageAddress } = await vcpu.worker.nextOrDeath("ready");
      vcpu.threadId = threadId;
      vcpu.runPage = new RunPage(bytesAt(runPageAddress, 4096));
    });
    const results = await Promise.allSettled([this.#io.nextOrDeath("ready"), ...vcpus]);
    for (const result of results) {
      if (result.status === "rejected") throw startFailure(result.reason);
    }
  }

  /** Lets the guest run. Throws MachineError when the machine has been started or stopped before. */
  start(): void {
    if (this.#state !== "created") {
      throw new MachineError(`Cannot start a machine that is ${this.#state}`, "STATE");
    }
    this.#startedAt = performance.timeOrigin + performance.now();
    this.#launch();
  }

  #launch(): void {
    this.#state = "running";
    this.#io.onDeath((error) => this.#threadDied(error));
    for (const vcpu of this.#vcpus) {
      vcpu.worker.onDeath((error) => {
        vcpu.done = true;
        this.#threadDied(error);
      });
      vcpu.worker.next("exited").then(({ exit, startedAt }) =>
        this.#vcpuExited(vcpu, exit, startedAt)
      );
      vcpu.worker.post({ type: "start", state: vcpu.id === 0 ? this.#bootState : undefined });
    }
  }

  #vcpuExited(vcpu: VcpuHandle, exit: VcpuExit, startedAt: number): void {
    vcpu.done = true;
    if (vcpu.id === 0) this.#firstEntryAt = startedAt;
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
      case "output-closed":
        return this.#events.outputClosed?.();
      case "device-fault":
        return this.#events.log?.(`${report.device}: driver fault: ${report.message}`);
    }
  }

  /** The terminal has a new size. */
  resize(columns: number, rows: number): void {
    Atomics.store(this.#block.words, WINDOW_SIZE, (columns << 16) | (rows & 0xffff));
    this.#askIo(IO_RESIZE);
  }

  #askIo(request: number): void {
    if (this.#state === "stopped") return;
    Atomics.or(this.#block.words, IO_REQUEST, request);
    signalEventfd(this.#wake.number);
  }

  /** How the machine ended; never rejects. */
  get exited(): Promise<MachineExit> {
    return this.#exited.promise;
  }

  /** Ends the machine, whatever it is doing, as one pulls a plug: requests in flight are finished, no more. */
  stop(): Promise<MachineExit> {
    this.#outcome ??= { reason: "stopped" };
    if (this.#state === "created") this.#stopUnstarted();
    else this.#windDown();
    return this.exited;
  }

  /** Workers own descriptors from `init` on, so they go the usual way out, with the stop asked for before they run. */
  async #stopUnstarted(): Promise<void> {
    this.#state = "stopping";
    if (this.#settled === undefined) {
      for (const vcpu of this.#vcpus) vcpu.done = true;
      return this.#end(undefined); // they do not know of anything yet
    }
    await this.#settled;
    for (const { id } of this.#vcpus) {
      Atomics.or(this.#block.words, this.#block.vcpu(id, VCPU_REQUEST), VCPU_STOP);
    }
    this.#launch();
    this.#windDown();
  }

  /** Gets every vCPU out of the guest, then the I/O thread out of its loop. */
  #windDown(): void {
    if (this.#state === "running") {
      this.#state = "stopping";
      Atomics.store(this.#block.words, STOPPING, 1);
      this.#kick();
    }
    if (this.#state === "stopping" && this.#vcpus.every((vcpu) => vcpu.done)) this.#finish();
  }

  #kick(): void {
    const running = this.#vcpus.filter((vcpu) => !vcpu.done);
    for (const { id, runPage, threadId } of running) {
      Atomics.or(this.#block.words, this.#block.vcpu(id, VCPU_REQUEST), VCPU_STOP);
      if (runPage === undefined) continue;
      runPage.immediateExit = true;
      kickThread(threadId);
    }
    // A vCPU on its way to `start` loses nothing by a second kick; one that sleeps on a mailbox looks by itself.
    if (running.length > 0) {
      setTimeout(() => this.#state === "stopping" && this.#kick(), KICK_AGAIN_MS);
    }
  }

  async #finish(): Promise<void> {
    if (this.#finishing) return;
    this.#finishing = true;
    await this.#dismissVcpus();
    let panic: string | undefined;
    if (this.#io.dead === undefined) {
      const stopped = this.#io.next("stopped").then((report) => panic = report.panic);
      const died = new Promise((resolve) => this.#io.onDeath(resolve));
      this.#askIo(IO_STOP);
      await atMost(IO_STOP_MS, Promise.race([stopped, died]));
    }
    this.#end(panic);
  }

  /** No vCPU will be kicked any more: they may let go of their run pages. */
  async #dismissVcpus(): Promise<void> {
    const left = this.#vcpus.map(({ worker }) => {
      const answer = worker.nextOrDeath("left").catch(() => {}); // the dead have nothing to say
      worker.post({ type: "leave" });
      return answer;
    });
    await atMost(LEAVE_MS, Promise.all(left));
  }

  #end(panic: string | undefined): void {
    this.#state = "stopped";
    const exit = this.#describe(panic);
    this.#release();
    this.#exited.resolve(exit);
  }

  #describe(panic: string | undefined): MachineExit {
    const outcome = this.#outcome ?? { reason: "stopped" as const };
    const count = (word: number) =>
      this.#vcpus.reduce(
        (sum, { id }) => sum + Atomics.load(this.#block.words, this.#block.vcpu(id, word)),
        0,
      );
    const booted = this.#firstEntryAt > 0 ? { bootMs: this.#firstEntryAt - this.#startedAt } : {};
    return {
      ...outcome,
      ...(panic !== undefined && outcome.reason === "reboot"
        ? { reason: "panic", detail: panic }
        : {}),
      ...booted,
      exits: {
        mmio: count(VCPU_EXITS_MMIO),
        pio: count(VCPU_EXITS_PIO),
        other: count(VCPU_EXITS_OTHER),
      },
    };
  }

  /** No thread works on memory or descriptors any more, or is about to be ended. */
  #release(): void {
    for (const { worker } of this.#vcpus) worker.terminate();
    this.#io.terminate();
    this.#resources.dispose();
  }

  /** Stops it and waits until nothing is left of it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** Resolves when `work` has ended, or after `ms`. */
async function atMost(ms: number, work: Promise<unknown>): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(late.resolve, ms);
  await Promise.race([work, late.promise]);
  clearTimeout(timer);
}

function startFailure(error: PlainError): MachineError {
  return new MachineError(error.message, error.code ?? "INTERNAL", error.hint);
}
