/**
 * The thread of a switch: lets the cards of this process in and passes frames between them until it is told to end.
 * Started by `switch.ts`; blocks in its loop.
 */
/// <reference lib="deno.worker" />
import { EPOLLIN } from "../abi/linux.ts";
import { plainError } from "../ipc/messages.ts";
import { EpollLoop } from "../loop/epoll_loop.ts";
import type { EventLoop, Watch } from "../loop/event_loop.ts";
import { Epoll } from "../sys/epoll.ts";
import type { FdNumber } from "../sys/fd.ts";
import { acceptWithinProcess } from "../sys/unix_socket.ts";
import { EthernetSwitch } from "./ethernet_switch.ts";
import { SocketPort } from "./socket_port.ts";
import type { SwitchEnd, SwitchOrder } from "./switch.ts";

declare const self: DedicatedWorkerGlobalScope;

/** How often the table is looked through for what is too old. */
const SWEEP_MS = 30_000;
/** Between two looks at who wants to be let in. */
const PAUSE_MS = 5;
/** Cards let in before others get their turn. */
const ACCEPT_AT_ONCE = 64;

self.onmessage = ({ data }: MessageEvent<SwitchOrder>) => {
  let end: SwitchEnd = {};
  try {
    serve(data);
  } catch (error) {
    end = { error: plainError(error) };
  }
  self.postMessage(end);
};

function serve({ epollFd, listenFd, stopFd }: SwitchOrder): void {
  const loop = new EpollLoop(0, new Epoll(epollFd as FdNumber));
  const ports = new Set<SocketPort>();
  try {
    loop.watch(stopFd, EPOLLIN, { ready: () => loop.stop() });
    new Doorkeeper(listenFd as FdNumber, loop, ports);
    loop.run();
  } finally {
    for (const port of ports) port.close();
  }
}

class Doorkeeper {
  readonly #listener: FdNumber;
  readonly #loop: EventLoop;
  readonly #ports: Set<SocketPort>;
  readonly #network = new EthernetSwitch();
  readonly #watch: Watch;

  constructor(listener: FdNumber, loop: EventLoop, ports: Set<SocketPort>) {
    this.#listener = listener;
    this.#loop = loop;
    this.#ports = ports;
    this.#watch = loop.watch(listener, EPOLLIN, { ready: () => this.#accept() });
    this.#sweepLater();
  }

  #sweepLater(): void {
    this.#loop.timer(SWEEP_MS, {
      ready: () => {
        this.#network.age(this.#loop.now);
        this.#sweepLater();
      },
    });
  }

  #accept(): void {
    // All that wait, so that who connects before a frame is sent gets it.
    for (let i = 0; i < ACCEPT_AT_ONCE; i++) {
      const fd = acceptWithinProcess(this.#listener);
      if (fd === undefined) return i === 0 ? this.#pause() : undefined;
      this.#ports.add(
        new SocketPort(fd, this.#loop, this.#network, (port) => this.#ports.delete(port)),
      );
    }
  }

  /** There was a stranger, or no descriptor is left: the listener might be ready all the time. */
  #pause(): void {
    this.#watch.update(0);
    this.#loop.timer(PAUSE_MS, { ready: () => this.#watch.update(EPOLLIN) });
  }
}
