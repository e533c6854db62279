/**
 * Run with few descriptors (`ulimit -n`): a listener whose callers cannot be let in, because none is left. Prints one JSON
 * object.
 *
 *   few_descriptors.ts vsock|net PATH
 */
import { ListeningSource } from "../../devices/net/socket_backend.ts";
import { VIRTIO_VSOCK_TYPE_STREAM } from "../../devices/vsock/abi.ts";
import { UdsBackend } from "../../devices/vsock/uds_backend.ts";
import { EpollLoop } from "../../src/loop/epoll_loop.ts";
import type { EventLoop, Watch, Watcher } from "../../src/loop/event_loop.ts";
import { connectUnix, sendBytes } from "../../src/sys/unix_socket.ts";

const CROWDED_MS = 1000;
const LIMIT_MS = 20_000;

/** The loop, and how often it has told of a file. */
class CountingLoop implements EventLoop {
  told = 0;
  readonly #loop: EpollLoop;

  constructor(loop: EpollLoop) {
    this.#loop = loop;
  }

  get now(): number {
    return this.#loop.now;
  }

  watch(fd: number, events: number, watcher: Watcher, token?: number): Watch {
    const ready = (events: number, token: number) => {
      this.told++;
      watcher.ready(events, token);
    };
    return this.#loop.watch(fd, events, { ready }, token);
  }

  timer(delayMs: number, watcher: Watcher, token?: number): Watch {
    return this.#loop.timer(delayMs, watcher, token);
  }

  poll(): Watch {
    throw new Error("nobody polls here");
  }

  defer(task: () => void): void {
    this.#loop.defer(task);
  }
}

/** Takes all that are left. */
function takeAll(): Deno.FsFile[] {
  const files: Deno.FsFile[] = [];
  for (;;) {
    try {
      files.push(Deno.openSync("/dev/null"));
    } catch {
      return files;
    }
  }
}

function main([kind = "", path = ""]: string[]): void {
  const real = new EpollLoop(0);
  const loop = new CountingLoop(real);
  const failures: string[] = [];
  const failed = (message: string) => failures.push(message);
  let arrived = false;
  const arrive = () => {
    arrived = true;
    real.stop();
  };
  let close: () => void;
  /** The guest calls the host. */
  let call: () => unknown = () => undefined;
  if (kind === "vsock") {
    const backend = new UdsBackend({ path, failed }, loop);
    backend.attach({
      open: () => {
        arrive();
        return false;
      },
    });
    backend.guestPresent(true);
    close = () => backend.close();
    call = () => backend.connect(80, VIRTIO_VSOCK_TYPE_STREAM);
  } else {
    const source = new ListeningSource(path, loop, failed);
    source.seek((fd) => {
      fd.close();
      arrive();
    });
    close = () => source.close();
  }
  const caller = connectUnix(path);
  if (typeof caller === "number") throw new Error(`connect: ${caller}`);
  const files = takeAll();
  real.timer(CROWDED_MS, { ready: () => real.stop() });
  real.run();
  const [message] = failures;
  failures.length = 0;
  const answered = call() !== undefined;
  const crowded = { arrived, told: loop.told, message, answered, calling: failures };
  for (const file of files) file.close();
  sendBytes(caller.number, new TextEncoder().encode("CONNECT 80\n"));
  real.timer(LIMIT_MS, { ready: () => real.stop() });
  real.run();
  close();
  caller.close();
  console.log(JSON.stringify({ crowded, arrived }));
}

main([...Deno.args]);
