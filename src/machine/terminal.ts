/**
 * The user's terminal as two byte channels: the serial port's and the virtio console's. The serial port has it
 * until the guest speaks through the virtio console; input waits until the guest reads somewhere, so nothing
 * typed or piped ahead is lost. Lives on the I/O thread.
 */
import type { EventLoop } from "../loop/event_loop.ts";
import type { ByteChannel, ByteChannelEvents } from "../virtio/byte_channel.ts";
import { type EscapeEvents, EscapeKeys } from "./escape_keys.ts";
import { FdReader, FdWriter } from "./fd_stream.ts";

/** Ctrl-D: what a terminal line discipline takes for the end of input. */
const END_OF_TRANSMISSION = 0x04;
/**
 * A guest that has a driver for the virtio console may still read the serial port, and Linux echoes what comes before
 * its first program has set the terminal up. A guest that prints nothing gets this long for both.
 */
const SETTLE_MS = 1000;
const REPEAT_END_MS = 1000;
const LOOK_MS = 100;
const NEWLINE = 0x0a;
const STDIN = 0;
const STDOUT = 1;

/** What the terminal tells the machine. */
export interface TerminalEvents extends EscapeEvents {
  /** Nothing can be written to stdout any more: EPIPE, nobody reads it; or its file takes no more. */
  outputClosed(errno: number): void;
}

/** What is known before the guest runs. */
export interface TerminalSettings {
  readonly isTty: boolean;
  /** The serial port never gets any input (config.ts, `input`). */
  readonly inputForVirtio: boolean;
  /** Input need not wait for the guest's first program (config.ts). */
  readonly takesTypeAhead: boolean;
  /** Where it is; stdin and stdout when left out. */
  readonly fds?: { readonly input: number; readonly output: number } | undefined;
}

class Face implements ByteChannel {
  events: ByteChannelEvents | undefined;
  readonly #terminal: Terminal;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  attach(events: ByteChannelEvents): void {
    this.events = events;
  }

  write(bytes: Uint8Array, length: number): number {
    return this.#terminal.output(this, bytes, length);
  }

  read(into: Uint8Array): number {
    return this.#terminal.input(this, into);
  }

  guestOpened(open: boolean): void {
    if (open && this === this.#terminal.virtio) this.#terminal.virtioOpened();
  }
}

export class Terminal {
  readonly serial: ByteChannel & { readonly events: ByteChannelEvents | undefined };
  readonly virtio: ByteChannel & { readonly events: ByteChannelEvents | undefined };
  readonly #loop: EventLoop;
  readonly #settings: TerminalSettings;
  readonly #keys: EscapeKeys;
  readonly #writer: FdWriter;
  readonly #reader: FdReader;
  readonly #pending: Uint8Array = new Uint8Array(8192);
  #pendingStart = 0;
  #pendingEnd = 0;
  #lastByte = NEWLINE;
  #virtioSpoke = false;
  #virtioReads = false;
  #serialReads = false;

  constructor(
    loop: EventLoop,
    settings: TerminalSettings,
    events: TerminalEvents,
  ) {
    this.#loop = loop;
    this.#settings = settings;
    this.#keys = new EscapeKeys(events);
    this.serial = new Face(this);
    this.virtio = new Face(this);
    const fds = settings.fds ?? { input: STDIN, output: STDOUT };
    this.#writer = new FdWriter(
      fds.output,
      loop,
      () => this.#tell((channel) => channel.writable()),
      (errno) => events.outputClosed(errno),
    );
    this.#reader = new FdReader(
      fds.input,
      loop,
      (bytes) => this.#arrived(bytes),
      () => this.#ended(),
    );
  }

  #tell(what: (channel: ByteChannelEvents) => void): void {
    if (this.serial.events !== undefined) what(this.serial.events);
    if (this.virtio.events !== undefined) what(this.virtio.events);
  }

  /** For the faces: output of one of them. */
  output(face: ByteChannel, bytes: Uint8Array, length: number): number {
    if (face === this.virtio) {
      if (!this.#virtioSpoke) this.#virtioTakesOver();
    } else if (this.#virtioSpoke) {
      return length; // kernel messages go to every console: hvc0 has shown this one
    }
    return this.#writer.write(bytes, length);
  }

  /** For the faces: a driver has the virtio console, and keeps what it gets for whoever opens it. */
  virtioOpened(): void {
    if (this.#settings.takesTypeAhead) this.#giveVirtio();
    else this.#loop.timer(SETTLE_MS, { ready: () => this.#giveVirtio() });
  }

  #giveVirtio(): void {
    this.#virtioReads = true;
    this.virtio.events?.readable();
  }

  #virtioTakesOver(): void {
    this.#virtioSpoke = true;
    this.virtio.events?.readable(); // input may have been waiting for the serial port to take it
  }

  /** For the faces: one of them reads. */
  input(face: ByteChannel, into: Uint8Array): number {
    if (face === this.serial) this.#serialReads = !this.#settings.inputForVirtio;
    const forVirtio = this.#virtioSpoke || (this.#virtioReads && !this.#serialReads);
    const forSerial = !this.#virtioSpoke && this.#serialReads;
    if (!(face === this.virtio ? forVirtio : forSerial)) return 0;
    const count = Math.min(into.length, this.#pendingEnd - this.#pendingStart);
    into.set(this.#pending.subarray(this.#pendingStart, this.#pendingStart + count));
    this.#pendingStart += count;
    if (count > 0 && this.#pendingStart === this.#pendingEnd) this.#reader.resume();
    return count;
  }

  #arrived(bytes: Uint8Array): void {
    this.#pendingStart = 0;
    this.#pendingEnd = 0;
    for (const byte of bytes) {
      if (!this.#settings.isTty || this.#keys.passes(byte)) {
        this.#pending[this.#pendingEnd++] = byte;
      }
    }
    if (this.#pendingEnd === 0) return this.#reader.resume();
    this.#lastByte = this.#pending[this.#pendingEnd - 1] as number;
    this.#tell((channel) => channel.readable());
  }

  /** A pipe has ended: the guest's terminal gets what a person would type, at the start of a line. */
  #ended(): void {
    this.#pendingStart = 0;
    this.#pendingEnd = 0;
    if (this.#lastByte !== NEWLINE) this.#pending[this.#pendingEnd++] = NEWLINE;
    this.#typeEnd(REPEAT_END_MS);
  }

  /**
   * Types Ctrl-D, and again `repeatMs` after the guest has taken it, then less and less often: a line discipline
   * that is in line mode at that moment keeps the first as a mark, which is lost when a shell switches it to raw
   * mode for its prompt.
   */
  #typeEnd(repeatMs: number): void {
    this.#pending[this.#pendingEnd++] = END_OF_TRANSMISSION;
    this.#tell((channel) => channel.readable());
    const look = () => {
      const isTaken = this.#pendingStart === this.#pendingEnd;
      if (!isTaken) return this.#loop.timer(LOOK_MS, { ready: look });
      this.#pendingStart = this.#pendingEnd = 0;
      return this.#loop.timer(repeatMs, { ready: () => this.#typeEnd(2 * repeatMs) });
    };
    look();
  }

  /** Whether all output has reached stdout. */
  get flushed(): boolean {
    return this.#writer.empty;
  }

  close(): void {
    this.#writer.close();
    this.#reader.close();
  }
}
