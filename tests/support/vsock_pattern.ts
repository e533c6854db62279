/** The stream that the tiny guest's vsock tests send and expect (tests/guest/vsock_tests.c). */
import { assert, assertEquals } from "../../src/std/assert.ts";

const PERIOD = 251 * 257;
const CHUNK = 64 * 1024;
const BYTES = Uint8Array.from(
  { length: PERIOD + CHUNK },
  (_, i) => ((i % PERIOD) % 251) ^ ((i % PERIOD) % 257),
);

/** `length` <= 64 KiB bytes of the stream from `offset` on. */
export function patternAt(offset: number, length: number): Uint8Array<ArrayBuffer> {
  const start = offset % PERIOD;
  return BYTES.subarray(start, start + length);
}

/** Checks that what it is shown is the stream. */
export class PatternCheck {
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  look(part: Uint8Array): void {
    for (let at = 0; at < part.length; at += CHUNK) {
      const piece = part.subarray(at, at + CHUNK);
      const wanted = patternAt(this.#bytes, piece.length);
      // Compared by hand only once they differ: a gigabyte goes through here.
      if (indexOfDifference(piece, wanted) !== -1) {
        assertEquals(piece, wanted, `the stream differs behind byte ${this.#bytes}`);
      }
      this.#bytes += piece.length;
    }
  }
}

function indexOfDifference(one: Uint8Array, other: Uint8Array): number {
  for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) return i;
  return -1;
}

/** Writes `bytes` of the stream and ends the output. */
export async function sendPattern(to: Sink, bytes: number): Promise<void> {
  for (let at = 0; at < bytes; at += CHUNK) {
    await to.write(patternAt(at, Math.min(CHUNK, bytes - at)));
  }
  await to.end();
}

/** Reads to the end; returns how many bytes of the stream came. */
export async function receivePattern(from: AsyncIterable<Uint8Array>): Promise<number> {
  const check = new PatternCheck();
  for await (const part of from) check.look(part);
  return check.bytes;
}

/** Where `sendPattern` writes. */
export interface Sink {
  write(bytes: Uint8Array): Promise<void>;
  end(): Promise<void>;
}

/** Of a Web Stream. */
export function streamSink(writable: WritableStream<Uint8Array<ArrayBufferLike>>): Sink {
  const writer = writable.getWriter();
  return { write: (bytes) => writer.write(bytes), end: () => writer.close() };
}

/** Of a socket, with half close: Deno's own streams close both directions at the end of one. */
export function socketSink(conn: Deno.UnixConn): Sink {
  return {
    async write(bytes) {
      for (let done = 0; done < bytes.length;) done += await conn.write(bytes.subarray(done));
    },
    end: () => conn.closeWrite(),
  };
}

/** What a socket gives, to its end. A reset is an end, too. */
export async function* socketSource(conn: Deno.UnixConn): AsyncGenerator<Uint8Array> {
  const bytes = new Uint8Array(CHUNK);
  for (;;) {
    const count = await conn.read(bytes).catch(() => null);
    if (count === null) return;
    yield bytes.subarray(0, count);
  }
}

/** A Unix socket of Firecracker's dialect: says CONNECT and reads the OK line; undefined when it is closed instead. */
export async function callUds(path: string, port: number): Promise<Deno.UnixConn | undefined> {
  const conn = await Deno.connect({ transport: "unix", path });
  await conn.write(new TextEncoder().encode(`CONNECT ${port}\n`));
  let line = "";
  const byte = new Uint8Array(1);
  while (!line.endsWith("\n")) {
    const count = await conn.read(byte).catch(() => null);
    if (count === null) {
      conn.close();
      return undefined;
    }
    line += String.fromCharCode(byte[0] ?? 0);
  }
  assert(/^OK \d+\n$/.test(line), line);
  return conn;
}
