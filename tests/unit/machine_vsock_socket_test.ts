/** Chunks of a SOCK_SEQPACKET connection are messages, however the bytes come. */
import { MAX_MESSAGE_BYTES } from "../../devices/vsock/frame.ts";
import { MachineError } from "../../src/machine/machine_error.ts";
import { MessageSocket } from "../../src/machine/vsock_socket.ts";
import { assertEquals, assertRejects } from "../../src/std/assert.ts";
import { EOM, EOR, frameBytes, messagesOf, parseFrames } from "../support/frames.ts";
import { concat, pattern } from "../support/guest_ram.ts";

/** A socket that gives `input` in pieces of `step`, then the end, and takes `step` at a time. */
class FakeConn {
  written = new Uint8Array();
  readonly #input: Uint8Array;
  readonly #step: number;
  #at = 0;

  constructor(input: Uint8Array, step: number) {
    this.#input = input;
    this.#step = step;
  }

  read(into: Uint8Array): Promise<number | null> {
    const part = this.#input.subarray(this.#at, this.#at + Math.min(this.#step, into.length));
    into.set(part);
    this.#at += part.length;
    return Promise.resolve(part.length === 0 ? null : part.length);
  }

  write(bytes: Uint8Array): Promise<number> {
    const part = bytes.subarray(0, this.#step);
    this.written = concat(this.written, part);
    return Promise.resolve(part.length);
  }
}

async function readAll(socket: MessageSocket): Promise<Uint8Array[]> {
  const messages: Uint8Array[] = [];
  for (;;) {
    const message = await socket.read();
    if (message === null) return messages;
    messages.push(message);
  }
}

for (const step of [1, 2, 3, 1000, 70_000, Infinity]) {
  Deno.test(`messages of one frame and of several are whole, read ${step} at a time`, async () => {
    const messages = [1, 31, 32, 5000, 64, 70_000, 100].map((length, i) => pattern(length, i));
    const cut = pattern(300, 9);
    const bytes = concat(
      ...messages.map((message) => frameBytes(message)),
      ...[frameBytes(cut.slice(0, 1), 0), frameBytes(cut.slice(1, 200), 0)],
      ...[frameBytes(cut.slice(200), 0), frameBytes(new Uint8Array())],
      frameBytes(pattern(3), EOM | EOR),
    );
    const got = await readAll(new MessageSocket(new FakeConn(bytes, step)));
    assertEquals(got, [...messages, cut, pattern(3)]);
  });
}

Deno.test("a chunk is its reader's own", async () => {
  const socket = new MessageSocket(
    new FakeConn(concat(frameBytes(pattern(9, 1)), frameBytes(pattern(9, 2))), Infinity),
  );
  const first = await socket.read();
  await socket.read();
  assertEquals(first, pattern(9, 1));
  assertEquals(first?.buffer.byteLength, 9);
});

for (const cut of [1, 2, 50]) {
  Deno.test(`an end ${cut} bytes into a message is a reset, and what came is no message`, async () => {
    const bytes = concat(frameBytes(pattern(7)), frameBytes(pattern(100)).slice(0, cut));
    const socket = new MessageSocket(new FakeConn(bytes, Infinity));
    assertEquals(await socket.read(), pattern(7));
    const error = await assertRejects(() => socket.read(), MachineError);
    assertEquals(error.code, "VSOCK_RESET");
  });
}

Deno.test("an end between pieces of a message is a reset, too", async () => {
  const socket = new MessageSocket(new FakeConn(frameBytes(pattern(7), 0), Infinity));
  await assertRejects(() => socket.read(), MachineError);
});

Deno.test("what a device never sends is not kept without bound", async () => {
  const piece = frameBytes(pattern(MAX_MESSAGE_BYTES / 2), 0);
  const bytes = concat(piece, piece, frameBytes(pattern(1)));
  await assertRejects(() => new MessageSocket(new FakeConn(bytes, Infinity)).read(), MachineError);
});

Deno.test("each chunk is written as one message, the longest too, and an empty one not", async () => {
  const conn = new FakeConn(new Uint8Array(), 100_000);
  const socket = new MessageSocket(conn);
  const messages = [pattern(1), pattern(MAX_MESSAGE_BYTES), pattern(40)];
  for (const message of messages) {
    await socket.write(message);
    await socket.write(new Uint8Array());
  }
  assertEquals(messagesOf(parseFrames(conn.written)), messages);
  const { length } = conn.written;
  const tooLong = socket.write(new Uint8Array(MAX_MESSAGE_BYTES + 1));
  assertEquals((await assertRejects(() => tooLong, MachineError)).code, "VSOCK_MESSAGE_LENGTH");
  assertEquals(conn.written.length, length);
});
