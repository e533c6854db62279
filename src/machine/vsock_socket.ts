/** The two kinds of vsock sockets over a Unix socket to the I/O thread: bytes, and messages. Used by `vsock_host.ts`. */
import { VIRTIO_VSOCK_SEQ_EOM } from "../../devices/vsock/abi.ts";
import {
  FrameHeader,
  MAX_FRAME_HEADER_BYTES,
  MAX_MESSAGE_BYTES,
  writeFrameHeader,
} from "../../devices/vsock/frame.ts";
import { MachineError } from "./machine_error.ts";

/** Most bytes that one read takes from the kernel. */
const READ_BYTES = 64 * 1024;

/** What is needed of a Unix socket. */
type Conn = Pick<Deno.UnixConn, "read" | "write">;

/** What the chunks of a connection's streams are made of. */
export interface ChunkSocket {
  /** The next chunk, which is the caller's own; null at the end. */
  read(): Promise<Uint8Array<ArrayBuffer> | null>;
  /** Resolves when the kernel has taken all of it. */
  write(chunk: Uint8Array<ArrayBufferLike>): Promise<void>;
}

/** SOCK_STREAM: chunks are whatever pieces come. */
export class ByteSocket implements ChunkSocket {
  readonly #conn: Conn;

  constructor(conn: Conn) {
    this.#conn = conn;
  }

  async read(): Promise<Uint8Array<ArrayBuffer> | null> {
    const bytes = new Uint8Array(READ_BYTES);
    const count = await this.#conn.read(bytes);
    return count === null ? null : bytes.subarray(0, count);
  }

  async write(chunk: Uint8Array<ArrayBufferLike>): Promise<void> {
    for (let done = 0; done < chunk.length;) done += await this.#conn.write(chunk.subarray(done));
  }
}

/** SOCK_SEQPACKET: each chunk is a message, in frames of the device's (devices/vsock/frame.ts). */
export class MessageSocket implements ChunkSocket {
  readonly #conn: Conn;
  readonly #bytes: ByteSocket;
  /** What was read, [start, end) of it not used up. */
  readonly #buffer = new Uint8Array(READ_BYTES);
  #start = 0;
  #end = 0;
  readonly #header = new FrameHeader();
  /** Bytes of the frame that are still to come. */
  #left = 0;
  /** The message so far: the first `#length` bytes. */
  #message = new Uint8Array();
  #length = 0;

  constructor(conn: Conn) {
    this.#conn = conn;
    this.#bytes = new ByteSocket(conn);
  }

  /** Rejects with MachineError VSOCK_RESET when the connection ends inside a message. */
  async read(): Promise<Uint8Array<ArrayBuffer> | null> {
    for (;;) {
      while (this.#start < this.#end) if (this.#takeSome()) return this.#takeMessage();
      const count = await this.#conn.read(this.#buffer);
      if (count === null) {
        if (this.#length > 0 || this.#left > 0 || this.#header.isPartial) throw resetError();
        return null;
      }
      this.#start = 0;
      this.#end = count;
    }
  }

  /** Uses up some of the buffer; whether a message ends there. */
  #takeSome(): boolean {
    if (this.#left === 0) {
      const found = this.#header.push(this.#buffer[this.#start++] as number);
      if (found === "partial") return false;
      if (found === "malformed") throw resetError();
      this.#left = this.#header.length;
      this.#makeRoom();
    }
    const part = Math.min(this.#left, this.#end - this.#start);
    this.#message.set(this.#buffer.subarray(this.#start, this.#start + part), this.#length);
    this.#start += part;
    this.#length += part;
    this.#left -= part;
    return this.#left === 0 && (this.#header.flags & VIRTIO_VSOCK_SEQ_EOM) !== 0;
  }

  /** For the frame: exactly, when it is a message of its own; doubling, when it is one of who knows how many pieces. */
  #makeRoom(): void {
    const wanted = this.#length + this.#left;
    if (wanted > MAX_MESSAGE_BYTES) throw resetError(); // the device lets none of that length through
    if (wanted <= this.#message.length) return;
    const message = new Uint8Array(
      Math.max(wanted, 2 * this.#length),
    );
    message.set(this.#message.subarray(0, this.#length));
    this.#message = message;
  }

  #takeMessage(): Uint8Array<ArrayBuffer> {
    const { length } = this.#message;
    const message = length === this.#length ? this.#message : this.#message.slice(0, this.#length);
    this.#message = new Uint8Array();
    this.#length = 0;
    return message;
  }

  /** An empty message is none, as with Linux. Rejects with MachineError VSOCK_MESSAGE_LENGTH. */
  async write(chunk: Uint8Array<ArrayBufferLike>): Promise<void> {
    if (chunk.length === 0) return;
    if (chunk.length > MAX_MESSAGE_BYTES) {
      throw new MachineError(
        `Cannot send a message of ${chunk.length} bytes: ${MAX_MESSAGE_BYTES} are possible`,
        "VSOCK_MESSAGE_LENGTH",
      );
    }
    const frame = new Uint8Array(MAX_FRAME_HEADER_BYTES + chunk.length);
    const headerBytes = writeFrameHeader(frame, chunk.length, VIRTIO_VSOCK_SEQ_EOM);
    frame.set(chunk, headerBytes);
    await this.#bytes.write(frame.subarray(0, headerBytes + chunk.length));
  }
}

function resetError(): MachineError {
  return new MachineError(
    "Cannot read the rest of a message: the connection was reset",
    "VSOCK_RESET",
  );
}
