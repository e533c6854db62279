/** The console of a guest under test: text without terminal's things, waits that go forward, failures that show it. */
import { assertConsole, GuestFailure, TestConsole } from "../../src/testing.ts";
import { ConsoleText, visible } from "../../src/testing/console_text.ts";
import { assert, assertEquals, assertRejects } from "../../src/std/assert.ts";

const encoder = new TextEncoder();

/** A console that prints what it is told. */
class FakeConsole {
  readonly #printed = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>(
    undefined,
    { highWaterMark: 1000 },
  );
  readonly #typed: string[] = [];
  readonly #writer = this.#printed.writable.getWriter();
  readonly readable = this.#printed.readable;
  readonly writable = new WritableStream<Uint8Array>({
    write: (chunk) => void this.#typed.push(new TextDecoder().decode(chunk)),
  });

  get typed(): string {
    return this.#typed.join("");
  }

  print(text: string): void {
    void this.#writer.write(encoder.encode(text));
  }

  end(): void {
    void this.#writer.close();
  }
}

function stand(): { fake: FakeConsole; console: TestConsole; limit: AbortController } {
  const fake = new FakeConsole();
  const limit = new AbortController();
  return { fake, console: new TestConsole(fake, limit.signal), limit };
}

async function failure(work: Promise<unknown>): Promise<GuestFailure> {
  return await assertRejects(() => work, GuestFailure);
}

Deno.test("escape sequences and carriage returns go, wherever the pieces end", () => {
  const whole = "a\x1b[1;31mred\x1b[0m\r\nb\x1b]0;title\x07c\x1b[2Kd\n\re\x1b(B.f";
  const expected = "ared\nbcd\ne.f";
  for (let at = 0; at <= whole.length; at++) {
    const text = new ConsoleText();
    assertEquals(text.add(whole.slice(0, at)) + text.add(whole.slice(at)) + text.end(), expected);
  }
  const text = new ConsoleText();
  const bytewise = [...whole].map((character) => text.add(character)).join("") + text.end();
  assertEquals(bytewise, expected);
});

Deno.test("a sequence that never ends keeps nothing else back", () => {
  const text = new ConsoleText();
  const printed = text.add("\x1b]") + text.add("x".repeat(1000));
  assert(printed.length >= 700, printed);
  assert((text.add("\x1b[" + "1".repeat(100)) + text.add("m")).length > 0);
});

Deno.test("control characters are visible in what is kept", () => {
  assertEquals(visible("a\x07\tb\n\x00"), "a\\x07\tb\n\\x00");
});

Deno.test("waits go forward through what is printed", async () => {
  const { fake, console } = stand();
  fake.print("one\r\n> ");
  await console.waitFor("> ");
  const next = console.waitFor(/> $/);
  fake.print("you said: two\n");
  assertEquals(await console.waitFor(/said: \w+/g), "said: two");
  assertEquals(console.waitedFor, "one\n> you said: two");
  fake.print("> ");
  assertEquals(await next, "> ");
  assertEquals([console.text, console.tail(1)], ["one\n> you said: two\n> ", ">"]);
  await console.type("off\n");
  assertEquals(fake.typed, "off\n");
  fake.end();
  await console.ended;
});

Deno.test("who waits for what does not come is told what came", async () => {
  const { fake, console, limit } = stand();
  fake.print("starting\n");
  const wait = console.waitFor("ready", { signal: AbortSignal.abort("enough") });
  const early = await failure(wait);
  assertEquals([early.code, early.cause], ["CONSOLE_TIMEOUT", "enough"]);
  const late = failure(console.waitFor(/ready|steady/));
  await console.waitFor("starting");
  limit.abort(new DOMException("5 seconds are over", "TimeoutError"));
  const { code, message } = await late;
  assertEquals(code, "CONSOLE_TIMEOUT");
  assertEquals(
    message,
    "Guest did not print /ready|steady/ in time: 5 seconds are over\n" +
      "its console, all:\n  | starting",
  );
  fake.end();
  await console.ended;
});

Deno.test("a failure shows the last lines", async () => {
  const { fake, console } = stand();
  for (let line = 1; line <= 30; line++) fake.print(`line ${line}\n`);
  fake.end();
  const { code, message, consoleText } = await failure(console.waitFor("line 31"));
  assertEquals(code, "CONSOLE_ENDED");
  const [first, second, ...shown] = message.split("\n");
  assertEquals(
    [first, second],
    ['Guest ended before its console showed "line 31"', "its console, the last 20 of 30 lines:"],
  );
  assertEquals([shown.length, shown[0], shown.at(-1)], [20, "  | line 11", "  | line 30"]);
  assertEquals(consoleText, console.text);
});

Deno.test("a guest that has printed nothing is shown as such", () => {
  const { message } = new GuestFailure("Guest hangs", "GUEST_TIMEOUT", "\n", { hint: "wait" });
  assertEquals(message, "Guest hangs\nits console is empty\nhint: wait");
});

Deno.test("of a flood the last is kept", async () => {
  const { fake, console } = stand();
  const piece = "0123456789abcdef".repeat(4096);
  for (let done = 0; done < 9 * 2 ** 20; done += piece.length) fake.print(piece);
  fake.print("the end");
  await console.waitFor("the end");
  assert(console.text.length <= 8 * 2 ** 20 + piece.length, `${console.text.length}`);
  assert(console.text.endsWith("the end"));
  fake.end();
  await console.ended;
});

/** As Deno's, without files. */
function snapshots(
  stored: string,
): { taken: string[]; t: Pick<Deno.TestContext, "assertSnapshot"> } {
  const taken: string[] = [];
  const t = {
    assertSnapshot<T>(actual: T, options?: Deno.TestSnapshotOptions<T> | string): Promise<void> {
      const serialize = typeof options === "object" ? options.serializer : undefined;
      taken.push(serialize?.(actual) ?? "");
      return stored === "" ? Promise.reject(new Error("Missing snapshot: x 1")) : Promise.resolve();
    },
  };
  return { taken, t };
}

Deno.test("the console is compared up to a pattern or the end, with what differs replaced", async () => {
  const { fake, console } = stand();
  const vm = {
    console,
    ended: async () => {
      await console.ended;
      return { success: true, code: 0, reason: "poweroff" as const };
    },
  };
  fake.print("took 12 ms\x07\r\n> more");
  const { taken, t } = snapshots("yes");
  await assertConsole(t, vm, { until: "> ", replace: [[/\d+ ms/, "N ms"]] });
  assertEquals(taken, ["took N ms\\x07\n> "]);
  fake.end();
  await assertConsole(t, vm);
  assertEquals(taken[1], "took 12 ms\\x07\n> more");
  const { code, message } = await failure(assertConsole(snapshots("").t, vm));
  assertEquals(code, "SNAPSHOT_MISSING");
  assert(message.includes("  | > more") && message.includes("--update"), message);
});
