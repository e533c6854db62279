/** The console for its owner: what is kept, what is dropped, and waiting for words. */
import { type ConsoleSocket, VmConsole } from "../../src/sandbox/vm_console.ts";
import { BACKLOG_BYTES } from "../../src/sandbox/console_backlog.ts";
import { VmError } from "../../src/sandbox/errors.ts";
import { assert, assertEquals, assertRejects } from "../../src/std/assert.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A guest that prints what it is told to. */
class FakeGuest implements ConsoleSocket {
  typed = "";
  closed = 0;
  readonly #reader: ReadableStreamBYOBReader;
  #controller: ReadableByteStreamController | undefined;

  constructor() {
    const stream = new ReadableStream({
      type: "bytes",
      start: (controller) => void (this.#controller = controller),
    });
    this.#reader = stream.getReader({ mode: "byob" });
  }

  print(text: string): void {
    this.#controller?.enqueue(encoder.encode(text));
  }

  end(): void {
    this.#controller?.close();
    this.#controller?.byobRequest?.respond(0);
  }

  async read(into: Uint8Array<ArrayBuffer>): Promise<number | null> {
    const { value, done } = await this.#reader.read(new Uint8Array(into.length));
    if (done || value === undefined) return null;
    into.set(value);
    return value.length;
  }

  /** Takes three bytes at most. */
  write(bytes: Uint8Array): Promise<number> {
    this.typed += new TextDecoder().decode(bytes.subarray(0, 3));
    return Promise.resolve(Math.min(3, bytes.length));
  }

  close(): void {
    this.closed++;
  }
}

Deno.test("the tail is the end of what was printed, and bounded", async () => {
  const guest = new FakeGuest();
  const console = new VmConsole(guest);
  for (let i = 0; i < 30; i++) guest.print(`${i}`.padEnd(4000, "."));
  guest.print("last words");
  guest.end();
  await console.ended;
  assertEquals([console.tail.length, console.tail.slice(-10)], [65_536, "last words"]);
  assertEquals(guest.closed, 1);
});

Deno.test("a reader that comes late has all that was printed, however small the pieces", async () => {
  const guest = new FakeGuest();
  const console = new VmConsole(guest);
  const expected: string[] = [];
  for (let i = 0; i < 3000; i++) {
    expected.push(`${i}`);
    guest.print(`${i}\n`);
    await console.waitFor(new RegExp(`^${i}$`, "m")); // each is a piece of its own
  }
  guest.end();
  await console.ended;
  assertEquals((await new Response(console.readable).text()).trim().split("\n"), expected);
});

Deno.test("a reader that never comes holds nothing up, and who is far behind has the newest", async () => {
  const guest = new FakeGuest();
  const console = new VmConsole(guest);
  const reader = console.readable.getReader();
  guest.print("first");
  assertEquals(decoder.decode((await reader.read()).value), "first");
  const line = (i: number) => `${i}\n`.padStart(1000, " ");
  for (let i = 0; i < 3000; i++) guest.print(line(i));
  guest.end();
  await console.ended;
  reader.releaseLock();
  let text = "";
  for await (const chunk of console.readable) text += decoder.decode(chunk);
  assert(text.length > BACKLOG_BYTES - 20_000 && text.length <= BACKLOG_BYTES, `${text.length}`);
  const count = Math.floor(text.length / 1000);
  const newest = Array.from({ length: count }, (_, i) => line(3000 - count + i)).join("");
  assert(text.endsWith(newest));
});

Deno.test("words are waited for across pieces, and what was printed before counts", async () => {
  const guest = new FakeGuest();
  const console = new VmConsole(guest);
  guest.print("boot: o");
  const waiting = console.waitFor(/ok \d+/);
  guest.print("k 42\n");
  assertEquals(await waiting, "ok 42");
  assertEquals(await console.waitFor("boot:"), "boot:");
});

Deno.test("a wait ends with the machine, and with its signal", async () => {
  const guest = new FakeGuest();
  const console = new VmConsole(guest);
  const controller = new AbortController();
  const aborted = console.waitFor("never", { signal: controller.signal });
  controller.abort(new Error("enough"));
  assertEquals((await assertRejects(() => aborted)).message, "enough");
  const waiting = console.waitFor("never");
  guest.end();
  assertEquals((await assertRejects(() => waiting, VmError)).code, "CONSOLE_ENDED");
});

Deno.test("what is typed is written whole", async () => {
  const guest = new FakeGuest();
  const writer = new VmConsole(guest).writable.getWriter();
  await writer.write(encoder.encode("echo hello\n"));
  assertEquals(guest.typed, "echo hello\n");
  guest.end();
});
