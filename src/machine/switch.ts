/**
 * An Ethernet switch for the machines of one program. It has a thread of its own, because machines of the same program are
 * served by different I/O threads; each card connects to it by a Unix socket in the abstract namespace, so what a
 * configuration carries is a name, and a card that is gone leaves nothing. Used by programs, beside `Machine`.
 */
import type { SwitchConfig } from "../../devices/mod.ts";
import type { PlainError } from "../ipc/messages.ts";
import { createEpollFd } from "../sys/epoll.ts";
import { createEventfd, signalEventfd } from "../sys/eventfd.ts";
import type { OwnedFd } from "../sys/fd.ts";
import { listenWithinProcess } from "../sys/unix_socket.ts";
import { keepsProcessAlive } from "./idle_workers.ts";
import { MachineError } from "./machine_error.ts";

/** What its thread works with. The descriptors stay control's: a thread that dies cannot close them. */
export interface SwitchOrder {
  readonly epollFd: number;
  readonly listenFd: number;
  /** Eventfd that ends the loop. */
  readonly stopFd: number;
}

/** What its thread says at the end; `error` when that was not asked for. */
export interface SwitchEnd {
  readonly error?: PlainError;
}

/** Where machines of one program meet: `devices: [{ kind: "net", backend: lan.backend }]`. */
export class Switch implements AsyncDisposable {
  /** What to connect cards to: any number of them, of any number of machines. */
  readonly backend: SwitchConfig;
  readonly #resources: DisposableStack;
  readonly #stop: OwnedFd;
  readonly #worker: Worker;
  /** The process may end while the thread is there. Deno counts: not to be said twice. */
  readonly #isUnheeded: boolean;
  readonly #ended = Promise.withResolvers<SwitchEnd>();
  #closing: Promise<void> | undefined;

  /** Throws SysError when there are no descriptors left. */
  constructor() {
    const name = `dinovisor-${crypto.randomUUID()}`;
    this.backend = { type: "switch", switch: name };
    using resources = new DisposableStack();
    // Cards may connect from now on; the kernel keeps them waiting until the thread has come up.
    const listener = resources.use(listenWithinProcess(name));
    const epoll = resources.use(createEpollFd());
    this.#stop = resources.use(createEventfd());
    this.#resources = resources.move();
    this.#worker = new Worker(new URL("./switch_worker.ts", import.meta.url), {
      type: "module",
      name: "dinovisor-switch",
    });
    this.#worker.onmessage = ({ data }: MessageEvent<SwitchEnd>) => this.#ended.resolve(data);
    this.#worker.onerror = (event) => {
      event.preventDefault(); // or it would end this isolate, too
      this.#ended.resolve({ error: { name: "WorkerError", message: event.message } });
    };
    const order: SwitchOrder = {
      epollFd: epoll.number,
      listenFd: listener.number,
      stopFd: this.#stop.number,
    };
    this.#worker.postMessage(order);
    this.#isUnheeded = keepsProcessAlive(this.#worker, false);
  }

  /**
   * Ends it: the links of its cards go down. Resolves when nothing is left of it; rejects with MachineError SWITCH_DIED when
   * it had ended by itself, which is a bug.
   */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    if (this.#isUnheeded) keepsProcessAlive(this.#worker, true);
    signalEventfd(this.#stop.number);
    const { error } = await this.#ended.promise;
    this.#worker.terminate();
    this.#resources.dispose();
    if (error !== undefined) {
      throw new MachineError(`The switch has died: ${error.name}: ${error.message}`, "SWITCH_DIED");
    }
  }

  /** Ends it, as `close` does. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
