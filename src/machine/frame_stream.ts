/**
 * A network that is the program which made the machine: frames of a card as Web Streams. The card connects to a Unix
 * socket in the abstract namespace, which this isolate's own event loop serves, so the kernel holds up whoever is faster,
 * on both sides, and nothing blocks. Anybody on the host can call such a name: a card of this process proves itself by a
 * token that its configuration carries. Used by programs, beside `Machine`.
 */
import { MAX_FRAME_BYTES } from "../../devices/net/backend.ts";
import { ETH_HLEN } from "../../devices/net/abi.ts";
import type { StreamConfig } from "../../devices/mod.ts";
import { frameLength, LENGTH_BYTES } from "./ethernet_switch.ts";
import { MachineError } from "./machine_error.ts";

/** How long a caller may take to send the token. A card has sent it before it is accepted. */
const TOKEN_MS = 2000;
/** Read at once: many small frames, or a few of the longest. */
const BUFFER_BYTES = 256 * 1024;

/** One end of a cable: `devices: [{ kind: "net", backend: cable.backend }]`. One card at a time; others wait. */
export class FrameStream implements AsyncDisposable {
  /** What to connect a card to. */
  readonly backend: StreamConfig;
  /**
   * Ethernet frames from the guest, without preamble and checksum; each is the reader's own. While they are not read the
   * guest's sending waits. Goes on with the next card when one is gone; ends with `close`.
   */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /**
   * Ethernet frames for the guest, from 14 bytes on. Writing waits while there is no card, or while its guest does not
   * read; what a card has not read when it goes is lost, as on a cable. Rejects with MachineError FRAME_LENGTH for what is no
   * frame, and CLOSED after `close`.
   */
  readonly writable: WritableStream<Uint8Array<ArrayBufferLike>>;
  readonly #listener: Deno.UnixListener;
  readonly #token: Uint8Array;
  /** The card that is there, or is waited for. */
  #card: Promise<CardConnection> | undefined;
  #output: WritableStreamDefaultController | undefined;
  #input: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>> | undefined;
  #isClosed = false;

  /** Throws what Deno.listen throws. */
  constructor() {
    const name = `dinovisor-${crypto.randomUUID()}`;
    this.backend = { type: "stream", stream: name, token: crypto.randomUUID() };
    this.#token = new TextEncoder().encode(this.backend.token);
    this.#listener = Deno.listen({ transport: "unix", path: `\0${name}` });
    this.readable = new ReadableStream({
      start: (controller) => {
        this.#input = controller;
      },
      pull: (controller) => this.#pull(controller),
      cancel: () => this.#end(),
    }, { highWaterMark: 0 });
    this.writable = new WritableStream({
      start: (controller) => {
        this.#output = controller;
      },
      write: (frame) => this.#write(frame),
      abort: () => this.#end(),
    });
  }

  #connected(): Promise<CardConnection> {
    if (this.#isClosed) throw closedError();
    const card = this.#card ??= this.#accept();
    card.catch(() => this.#card = undefined);
    return card;
  }

  async #accept(): Promise<CardConnection> {
    for (;;) {
      const connection = new CardConnection(await this.#nextCaller());
      if (await connection.beginsWith(this.#token)) {
        if (!this.#isClosed) return connection;
        connection.close();
        throw closedError();
      }
      connection.close(); // a stranger has found the name in /proc/net/unix
    }
  }

  async #nextCaller(): Promise<Deno.UnixConn> {
    try {
      return await this.#listener.accept();
    } catch (error) {
      throw this.#isClosed ? closedError() : error;
    }
  }

  #gone(connection: CardConnection): void {
    if (connection.isOpen) this.#card = undefined;
    connection.close();
  }

  async #pull(controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>): Promise<void> {
    try {
      for (;;) {
        const card = await this.#connected();
        const frame = await card.read();
        if (frame !== undefined) return controller.enqueue(frame);
        this.#gone(card);
      }
    } catch (error) {
      if (!this.#isClosed) throw error;
    }
  }

  async #write(frame: Uint8Array<ArrayBufferLike>): Promise<void> {
    if (frame.length < ETH_HLEN || frame.length > MAX_FRAME_BYTES) {
      throw new MachineError(
        `Cannot send a frame of ${frame.length} bytes: ${ETH_HLEN} to ${MAX_FRAME_BYTES} are possible`,
        "FRAME_LENGTH",
      );
    }
    for (;;) { // what the card that is gone did not take is for the next one
      const card = await this.#connected();
      if (await card.write(frame)) return;
      this.#gone(card);
    }
  }

  /** Pulls the cable for good: the card's link goes down. Does nothing the second time. */
  close(): void {
    if (!this.#isClosed) this.#input?.close();
    this.#end();
  }

  /** What is left to do when the reader has ended it. */
  #end(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#output?.error(closedError());
    this.#listener.close();
    this.#card?.then((card) => card.close()).catch(() => {}); // none had come
  }

  /** Resolves when nothing is left of it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.#card?.catch(() => {}); // none had come
  }
}

function closedError(): MachineError {
  return new MachineError("Cannot use a stream of frames that is closed", "CLOSED");
}

/** Whoever has connected: frames behind their lengths. */
class CardConnection {
  readonly #conn: Deno.UnixConn;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  /** What of `#buffer` was read and is not used up. */
  #start = 0;
  #end = 0;
  #isOpen = true;

  constructor(conn: Deno.UnixConn) {
    this.#conn = conn;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Takes the token; whether it is there in time. */
  async beginsWith(token: Uint8Array): Promise<boolean> {
    const timer = setTimeout(() => this.close(), TOKEN_MS);
    try {
      while (this.#end < token.length) if (!await this.#readMore()) return false;
    } finally {
      clearTimeout(timer);
    }
    this.#start = token.length;
    return token.every((byte, i) => byte === this.#buffer[i]);
  }

  /** The next frame; undefined when there will not be one. */
  async read(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    for (;;) {
      const length = frameLength(this.#buffer, this.#start, this.#end);
      if (length >= 0) {
        const from = this.#start + LENGTH_BYTES;
        this.#start = from + length;
        return this.#buffer.slice(from, this.#start);
      }
      if (length < -1 || !await this.#readMore()) return undefined;
    }
  }

  async #readMore(): Promise<boolean> {
    this.#buffer.copyWithin(0, this.#start, this.#end);
    this.#end -= this.#start;
    this.#start = 0;
    const count = await this.#conn.read(this.#buffer.subarray(this.#end)).catch(() => null);
    this.#end += count ?? 0;
    return count !== null;
  }

  /** False: the other end is gone. */
  async write(frame: Uint8Array<ArrayBufferLike>): Promise<boolean> {
    const bytes = new Uint8Array(LENGTH_BYTES + frame.length);
    new DataView(bytes.buffer).setUint32(0, frame.length);
    bytes.set(frame, LENGTH_BYTES);
    try {
      for (let done = 0; done < bytes.length;) done += await this.#conn.write(bytes.subarray(done));
      return true;
    } catch {
      return false;
    }
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#conn.close();
  }
}
