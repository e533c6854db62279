/** Opens the host ends of byte streams by their configuration. Lives on the I/O thread. */
import type { EventLoop } from "../loop/event_loop.ts";
import { errnoName, errnoWords } from "../sys/sys_error.ts";
import type { ByteChannel, ByteChannelEvents } from "../virtio/byte_channel.ts";
import type { ChannelConfig } from "../virtio/device_kind.ts";
import { FdReader, FdWriter } from "./fd_stream.ts";

/** Takes everything, gives nothing. */
export const NULL_CHANNEL: ByteChannel = {
  write: (_bytes, length) => length,
  read: () => 0,
  attach: () => {},
  guestOpened: () => {},
};

/** Two descriptors, or one of them. They stay their owner's. */
export class FdChannel implements ByteChannel {
  readonly #writer: FdWriter | undefined;
  readonly #reader: FdReader | undefined;
  #events: ByteChannelEvents | undefined;
  #pending: Uint8Array = new Uint8Array();

  /** `failed` is told in words when output cannot be written; what comes after that is lost. */
  constructor(loop: EventLoop, input: number, output: number, failed: (message: string) => void) {
    this.#writer = output < 0 ? undefined : new FdWriter(
      output,
      loop,
      () => this.#events?.writable(),
      (errno) => failed(outputFailure(`descriptor ${output}`, errno)),
    );
    this.#reader = input < 0
      ? undefined
      : new FdReader(input, loop, (bytes) => this.#arrived(bytes), () => {});
  }

  #arrived(bytes: Uint8Array): void {
    this.#pending = bytes;
    this.#events?.readable();
  }

  attach(events: ByteChannelEvents): void {
    this.#events = events;
  }

  write(bytes: Uint8Array, length: number): number {
    return this.#writer?.write(bytes, length) ?? length;
  }

  read(into: Uint8Array): number {
    const count = Math.min(into.length, this.#pending.length);
    into.set(this.#pending.subarray(0, count));
    this.#pending = this.#pending.subarray(count);
    if (count > 0 && this.#pending.length === 0) this.#reader?.resume();
    return count;
  }

  guestOpened(): void {}

  /** Whether all output has been written. */
  get flushed(): boolean {
    return this.#writer?.empty ?? true;
  }

  close(): void {
    this.#writer?.close();
    this.#reader?.close();
  }
}

/** Output appended to a file; a full or broken disk loses output rather than stall the guest. */
export class FileChannel implements ByteChannel {
  readonly #path: string;
  readonly #failed: (message: string) => void;
  readonly #file: Deno.FsFile;

  /** `failed` is told in words when output is lost. Throws what opening it throws. */
  constructor(path: string, failed: (message: string) => void) {
    this.#path = path;
    this.#failed = failed;
    this.#file = Deno.openSync(path, { append: true, create: true });
  }

  attach(): void {}

  write(bytes: Uint8Array, length: number): number {
    try {
      let done = 0;
      while (done < length) done += this.#file.writeSync(bytes.subarray(done, length));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#failed(`Cannot write console file "${this.#path}": ${reason}`);
    }
    return length;
  }

  read(): number {
    return 0;
  }

  guestOpened(): void {}

  close(): void {
    this.#file.close();
  }
}

/** What `Channels` needs to know about the one terminal. */
export interface TerminalFace {
  readonly virtio: ByteChannel;
}

/** In words; `what` is written to. */
export function outputFailure(what: string, errno: number): string {
  return `Cannot write to ${what}: ${errnoWords(errno)} (${errnoName(errno)})`;
}

/** Opens channels and closes them all at the end. */
export class Channels {
  readonly #loop: EventLoop;
  readonly #terminal: () => TerminalFace;
  readonly #opened: (FdChannel | FileChannel)[] = [];

  /** `terminal` opens the terminal on first use. */
  constructor(loop: EventLoop, terminal: () => TerminalFace) {
    this.#loop = loop;
    this.#terminal = terminal;
  }

  /** `failed` is told in words what the host refuses. Throws what opening a file throws. */
  open(config: ChannelConfig, failed: (message: string) => void): ByteChannel {
    switch (config.type) {
      case "terminal":
        return this.#terminal().virtio;
      case "null":
        return NULL_CHANNEL;
      case "fds":
        return this.#keep(new FdChannel(this.#loop, config.input, config.output, failed));
      case "file":
        return this.#keep(new FileChannel(config.path, failed));
    }
  }

  #keep<C extends FdChannel | FileChannel>(channel: C): C {
    this.#opened.push(channel);
    return channel;
  }

  /** Whether all output has been written. */
  get flushed(): boolean {
    return this.#opened.every((channel) => !(channel instanceof FdChannel) || channel.flushed);
  }

  close(): void {
    for (const channel of this.#opened) channel.close();
  }
}
