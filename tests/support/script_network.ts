/** A test that is the network, or one card of it: frames in QEMU's stream format over a Unix socket, by Deno's own means. */
import { assert, fail } from "../../src/std/assert.ts";
import { concat } from "./guest_ram.ts";

const LENGTH_BYTES = 4;
/** Ethernet, IPv4 without options, UDP. */
const HEADERS = 14 + 20 + 8;
const GUEST = [10, 0, 0, 2];
const SCRIPT = [10, 0, 0, 3];

export class ScriptNetwork implements AsyncDisposable {
  readonly #listener: Deno.Listener | undefined;
  #next: Promise<Deno.Conn>;
  #connection: Deno.Conn | undefined;
  #read: Uint8Array<ArrayBuffer> = new Uint8Array();
  #round = 0;

  private constructor(listener: Deno.Listener | undefined, next: Promise<Deno.Conn>) {
    this.#listener = listener;
    this.#next = next;
  }

  static listen(path: string): ScriptNetwork {
    const listener = Deno.listen({ transport: "unix", path }) as unknown as Deno.Listener;
    return new ScriptNetwork(listener, listener.accept());
  }

  /** As one card among others, where somebody listens. */
  static async connect(path: string): Promise<ScriptNetwork> {
    const connection = await Deno.connect({ transport: "unix", path });
    return new ScriptNetwork(undefined, Promise.resolve(connection));
  }

  async #connected(): Promise<Deno.Conn> {
    if (this.#connection === undefined) {
      this.#connection = await this.#next;
      this.#next = this.#listener?.accept() ?? this.#next;
      this.#next.catch(() => {}); // closed at the end
      this.#read = new Uint8Array();
    }
    return this.#connection;
  }

  /** Waits for a new connection in place of the one that was closed. */
  async reconnected(): Promise<void> {
    this.#connection?.close();
    this.#connection = undefined;
    await this.#connected();
  }

  async sendBytes(bytes: Uint8Array): Promise<void> {
    const connection = await this.#connected();
    for (let sent = 0; sent < bytes.length;) sent += await connection.write(bytes.subarray(sent));
  }

  /** Sends frames, `cut` bytes at a time. */
  async send(frames: readonly Uint8Array[], cut: number): Promise<void> {
    const bytes = concat(...frames.map((frame) => concat(length(frame.length), frame)));
    for (let at = 0; at < bytes.length; at += cut) {
      await this.sendBytes(bytes.subarray(at, Math.min(bytes.length, at + cut)));
    }
  }

  /** The next frame; undefined when the other end has closed. */
  async receive(): Promise<Uint8Array | undefined> {
    const head = await this.#bytes(LENGTH_BYTES);
    if (head === undefined) return undefined;
    return await this.#bytes(new DataView(head.buffer, head.byteOffset).getUint32(0));
  }

  async #bytes(count: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const connection = await this.#connected();
    while (this.#read.length < count) {
      const piece = new Uint8Array(65536);
      const got = await connection.read(piece).catch(() => null);
      if (got === null) return undefined;
      this.#read = concat(this.#read, piece.subarray(0, got));
    }
    const bytes = this.#read.slice(0, count);
    this.#read = this.#read.slice(count);
    return bytes;
  }

  /** `datagram`, each a little different. */
  datagram(bytes: number, text?: string): Uint8Array {
    return datagram(this.#round++, bytes, text);
  }

  isEcho(sent: Uint8Array, got: Uint8Array | undefined): boolean {
    return isEcho(sent, got);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#connection?.close();
    this.#listener?.close();
    await this.#next.then((connection) => connection.close()).catch(() => {}); // it was the first
  }
}

/** A frame for the tiny guest's echo with `bytes` of payload. */
export function datagram(round: number, bytes: number, text?: string): Uint8Array {
  const ip = [0x45, 0, ...big16(28 + bytes), 0, 0, 0, 0, 64, 17, 0, 0, ...SCRIPT, ...GUEST];
  const udp = [...big16(4000), ...big16(7), ...big16(8 + bytes), 0, 0];
  const payload = text === undefined
    ? Uint8Array.from({ length: bytes }, (_, i) => i * 31 + round)
    : new TextEncoder().encode(text);
  const head = Uint8Array.from([
    ...new Array(6).fill(0xff),
    2,
    0,
    0,
    0,
    0,
    9,
    8,
    0,
    ...ip,
    ...udp,
  ]);
  return concat(head, payload);
}

/** Whether `got` is what the echo makes of `sent`. */
export function isEcho(sent: Uint8Array, got: Uint8Array | undefined): boolean {
  if (got === undefined) fail("the other end has closed");
  assert(got.length === sent.length, `${sent.length} bytes came as ${got.length}`);
  return got.subarray(HEADERS).every((byte, i) => byte === sent[HEADERS + i]);
}

function big16(value: number): number[] {
  return [value >> 8, value & 0xff];
}

function length(value: number): Uint8Array {
  const bytes = new Uint8Array(LENGTH_BYTES);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}
