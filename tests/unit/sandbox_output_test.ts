/** A command's output on this side: credit as it is read, its end, and what becomes of it without one. */
import { OUTPUT_WINDOW, OutputQueue } from "../../src/sandbox/output_queue.ts";
import { assert, assertEquals, assertRejects } from "../../src/std/assert.ts";

function queue() {
  const told = { granted: 0, grants: 0, cancelled: 0 };
  const output = new OutputQueue({
    consumed: (bytes) => {
      told.granted += bytes;
      told.grants++;
    },
    cancelled: () => void told.cancelled++,
  });
  return { output, told };
}

function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

Deno.test("there is room for more only when some was read, and told in few grants", async () => {
  const { output, told } = queue();
  const piece = new Uint8Array(OUTPUT_WINDOW / 64);
  for (let i = 0; i < 64; i++) output.push(piece);
  const reader = output.stream.getReader();
  assertEquals(told.granted, 0);
  for (let i = 0; i < 64; i++) await reader.read();
  assertEquals(told.granted, OUTPUT_WINDOW);
  assert(told.grants <= 4, `${told.grants} grants`);
});

Deno.test("an empty piece is the end, whether it is waited for or not", async () => {
  const { output } = queue();
  const text = output.stream.text();
  output.push(bytes("a"));
  output.push(bytes("b"));
  output.push(bytes(""));
  assertEquals(await text, "ab");
});

Deno.test("without an end it fails, behind what has come", async () => {
  const { output } = queue();
  output.push(bytes("a"));
  output.fail(new Error("lost"));
  const reader = output.stream.getReader();
  assertEquals((await reader.read()).value, bytes("a"));
  assertEquals((await assertRejects(() => reader.read())).message, "lost");
  const whole = queue().output;
  whole.push(bytes("b"));
  whole.push(bytes(""));
  whole.fail(new Error("lost"));
  assertEquals(await whole.stream.text(), "b");
});

Deno.test("who cancels is told on, once, and nothing is kept any more", async () => {
  const { output, told } = queue();
  await output.stream.cancel();
  output.push(new Uint8Array(OUTPUT_WINDOW));
  assertEquals(told, { granted: 0, grants: 0, cancelled: 1 });
  const ended = queue();
  ended.output.push(bytes(""));
  await ended.output.stream.cancel();
  assertEquals(ended.told.cancelled, 0);
});

Deno.test("lines go across pieces, with either end, and the last needs none", async () => {
  const { output } = queue();
  for (const text of ["on", "e\r\n\ntw", "o\nthr", "ee"]) output.push(bytes(text));
  output.push(bytes(""));
  assertEquals(await Array.fromAsync(output.stream.lines()), ["one", "", "two", "three"]);
  const none = queue().output;
  none.push(bytes("x\n"));
  none.push(bytes(""));
  assertEquals(await Array.fromAsync(none.stream.lines()), ["x"]);
});
