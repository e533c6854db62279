/** Streams of this process as a command's. */
import { feed, OutputSink } from "../../src/sandbox/host_streams.ts";
import { assertEquals } from "../../src/std/assert.ts";

function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** A source that gives `pieces`, then its end, or fails. */
function source(pieces: readonly string[], failure?: Error) {
  const left = [...pieces];
  return {
    read(into: Uint8Array): Promise<number | null> {
      const piece = left.shift();
      if (piece !== undefined) {
        return Promise.resolve(new TextEncoder().encodeInto(piece, into).written);
      }
      return failure === undefined ? Promise.resolve(null) : Promise.reject(failure);
    },
  };
}

/** A command's input that keeps what it gets, and says no after `limit` writes. */
function input(limit = Infinity) {
  const got: string[] = [];
  const stream = new WritableStream<Uint8Array<ArrayBufferLike>>({
    write: (chunk) => {
      if (got.length === limit) throw new Deno.errors.BrokenPipe("closed");
      got.push(new TextDecoder().decode(chunk));
    },
    close: () => void got.push("(end)"),
    abort: () => void got.push("(abort)"),
  });
  return { got, stream };
}

Deno.test("an input is fed piece by piece, and ended", async () => {
  const { got, stream } = input();
  await feed(source(["a", "bc"]), stream);
  assertEquals(got, ["a", "bc", "(end)"]);
});

Deno.test("an input that fails, or that nobody takes, ends in quiet", async () => {
  const failing = input();
  await feed(source(["a"], new Error("gone")), failing.stream);
  assertEquals(failing.got, ["a", "(abort)"]);
  const deaf = input(1);
  await feed(source(["a", "b", "c"]), deaf.stream);
  assertEquals(deaf.got, ["a"]);
});

Deno.test("an output is written in order, gives room when it is, and tells when all of it is", async () => {
  const written: string[] = [];
  const granted: number[] = [];
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  const output = new OutputSink({
    write: async (chunk) => {
      await gate;
      const part = chunk.subarray(0, 2);
      written.push(new TextDecoder().decode(part));
      return part.length;
    },
  }, { consumed: (count) => granted.push(count), cancelled: () => granted.push(-1) });
  output.push(bytes("abc"));
  output.push(bytes("de"));
  output.push(bytes(""));
  let isPassed = false;
  const passed = output.passed.then(() => isPassed = true);
  await Promise.resolve();
  assertEquals([written, granted, isPassed], [[], [], false]);
  open();
  await passed;
  assertEquals([written, granted], [["ab", "c", "de"], [3, 2]]);
  assertEquals(await output.stream.text(), "");
});

Deno.test("an output that cannot be written is closed once, and holds nothing up", async () => {
  let cancelled = 0;
  const output = new OutputSink({
    write: () => Promise.reject(new Deno.errors.BrokenPipe()),
  }, { consumed: () => {}, cancelled: () => cancelled++ });
  output.push(bytes("a"));
  output.push(bytes("b"));
  await output.passed;
  assertEquals(cancelled, 1);
});
