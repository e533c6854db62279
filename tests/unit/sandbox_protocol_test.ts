/** Frames between the sandbox and its agent. */
import {
  execFrame,
  fits,
  FRAME,
  frame,
  FrameReader,
  MAX_FRAME_BYTES,
  ProtocolError,
  readStatus,
  texts,
  UNCHANGED,
  word,
  words,
} from "../../src/sandbox/protocol.ts";
import { assertEquals, assertRejects, assertThrows } from "../../src/std/assert.ts";

function streamOf(
  bytes: Uint8Array<ArrayBuffer>,
  pieces: number,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const size = Math.ceil(bytes.length / pieces);
  const chunks = Array.from({ length: pieces }, (_, i) => bytes.slice(i * size, (i + 1) * size));
  return ReadableStream.from(chunks.filter((chunk) => chunk.length > 0));
}

function joined(...parts: Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

for (const pieces of [1, 2, 3, 7, 40, 1000]) {
  Deno.test(`frames are found in ${pieces} pieces of a stream`, async () => {
    const long = new Uint8Array(300).map((_, i) => i);
    const reader = new FrameReader(
      streamOf(joined(frame(7, long), frame(8), frame(9, words(1, 2), long.slice(0, 3))), pieces),
    );
    assertEquals(await reader.next(), { type: 7, bytes: long });
    assertEquals(await reader.next(), { type: 8, bytes: new Uint8Array() });
    const third = await reader.next();
    assertEquals(third && [third.type, word(third, 0), word(third, 1), third.bytes.length], [
      9,
      1,
      2,
      11,
    ]);
    assertEquals(await reader.next(), undefined);
  });
}

Deno.test("half a frame, and one that is too long, are the guest's fault", async () => {
  for (const cut of [1, 7, 9]) {
    const reader = new FrameReader(streamOf(frame(7, words(1)).slice(0, cut), 1));
    await assertRejects(() => reader.next(), ProtocolError, "Half a frame");
  }
  const reader = new FrameReader(streamOf(words(7, MAX_FRAME_BYTES + 1), 1));
  await assertRejects(() => reader.next(), ProtocolError, "65537 bytes");
});

Deno.test("a command is told in one frame: ten words, then texts", () => {
  const bytes = execFrame({
    words: ["echo", "hi"],
    environment: ["A=1"],
    clearEnvironment: true,
    directory: "/tmp",
    user: undefined,
    group: 8,
    groups: [8, 9],
    input: true,
    output: true,
    errors: false,
    exitLast: true,
    terminal: { columns: 80, rows: 24 },
    credit: 4096,
  });
  const told = [1 | 2 | 8 | 16 | 32, UNCHANGED, 8, 80, 24, 4096, 4096, 2, 1, 2, 8, 9];
  assertEquals(bytes, frame(FRAME.exec, words(...told), texts("/tmp", "echo", "hi", "A=1")));
});

Deno.test("what the agent cannot take is known before it is sent", () => {
  assertEquals(fits(frame(1, new Uint8Array(MAX_FRAME_BYTES))), true);
  assertEquals(fits(frame(1, new Uint8Array(MAX_FRAME_BYTES + 1))), false);
});

Deno.test("a word that is not there is 0, a short status is the guest's fault", () => {
  assertEquals(word({ type: 1, bytes: new Uint8Array(7) }, 1), 0);
  assertThrows(() => readStatus({ type: 1, bytes: new Uint8Array(127) }), ProtocolError);
});
