/** The watch for a kernel's last words. */
import { PanicWatch } from "../../src/machine/panic_watch.ts";
import { assertEquals } from "../../src/std/assert.ts";

const MARK = "Kernel panic - not syncing";
const LINE = `[    1.234567] ${MARK}: VFS: Unable to mount root fs on unknown-block(0,0)\n`;
const REASON = "VFS: Unable to mount root fs on unknown-block(0,0)";
const FORGET_AFTER = 16 * 1024;

function watching(...chunks: string[]): PanicWatch {
  const watch = new PanicWatch();
  for (const chunk of chunks) {
    const bytes = new TextEncoder().encode(chunk);
    watch.look(bytes, bytes.length);
  }
  return watch;
}

Deno.test("ordinary output is no panic", () => {
  assertEquals(watching().panic, undefined);
  assertEquals(watching("Linux version 6.1\n", "Kernel panic\n", "not syncing\n").panic, undefined);
});

Deno.test("the reason is what follows the mark on its line", () => {
  assertEquals(watching(LINE).panic, REASON);
});

Deno.test("the line may be cut anywhere", () => {
  for (let at = 1; at < LINE.length; at++) {
    assertEquals(watching(LINE.slice(0, at), LINE.slice(at)).panic, REASON, `cut at ${at}`);
  }
  assertEquals(watching(...LINE).panic, REASON, "cut everywhere");
});

Deno.test("a false start does not hide the mark behind it", () => {
  assertEquals(watching(`KKernel ${MARK}: x\n`).panic, "x");
  assertEquals(watching(`Kernel panic - not sync${MARK}: x\n`).panic, "x");
});

Deno.test("a mark is not put together from two lines", () => {
  assertEquals(watching("Kernel panic - \nnot syncing: x\n").panic, undefined);
});

Deno.test("a carriage return ends the line too", () => {
  assertEquals(watching(`${MARK}: why\r\nmore\r\n`).panic, "why");
});

Deno.test("a machine that stops in the middle of the line still has a reason", () => {
  assertEquals(watching(`${MARK}: half a rea`).panic, "half a rea");
  assertEquals(watching(MARK).panic, "");
});

Deno.test("what the kernel prints behind the panic line changes nothing", () => {
  const trace = "CPU: 0 PID: 1 Comm: init Not tainted\nCall Trace:\n <TASK>\n dump_stack_lvl\n";
  assertEquals(watching(LINE, trace, "Kernel Offset: disabled\n").panic, REASON);
});

Deno.test("the line that ends a panic's report does not replace its reason", () => {
  // kernel/panic.c: pr_emerg("---[ end Kernel panic - not syncing: %s ]---\n", buf)
  assertEquals(watching(LINE, `---[ end ${MARK}: ${REASON} ]---\n`).panic, REASON);
});

Deno.test("a panic long ago was somebody printing a log", () => {
  assertEquals(watching(LINE, "x".repeat(FORGET_AFTER)).panic, REASON);
  assertEquals(watching(LINE, "x".repeat(FORGET_AFTER + 1)).panic, undefined);
});

Deno.test("a log full of panics is forgotten like one", () => {
  const log = `${LINE}other\n`.repeat(50);
  assertEquals(watching(log, "x\n".repeat(FORGET_AFTER)).panic, undefined);
});

Deno.test("a panic after a forgotten one counts", () => {
  const watch = watching(`${MARK}: old\n`, "x".repeat(2 * FORGET_AFTER), `${MARK}: new\n`);
  assertEquals(watch.panic, "new");
});

Deno.test("a panic later than a printed log replaces it", () => {
  assertEquals(watching(`${MARK}: from dmesg\n`, "output\n", `${MARK}: real\n`).panic, "real");
});

Deno.test("an endless line is cut, and what comes after it still counts as output", () => {
  const watch = watching(`${MARK}: ${"y".repeat(5000)}`);
  assertEquals(watch.panic, "y".repeat(198));
  assertEquals(watching(`${MARK}: `, "y".repeat(20_000)).panic, undefined);
});

Deno.test("only the given length is looked at", () => {
  const watch = new PanicWatch();
  const bytes = new TextEncoder().encode(`${MARK}: abc`);
  watch.look(bytes, bytes.length - 1);
  assertEquals(watch.panic, "ab");
});

Deno.test("bytes that are no text do not disturb it", () => {
  const watch = new PanicWatch();
  const noise = Uint8Array.from({ length: 512 }, (_, i) => i & 0xff);
  watch.look(noise, noise.length);
  const bytes = new TextEncoder().encode(LINE);
  watch.look(bytes, bytes.length);
  watch.look(noise, noise.length);
  assertEquals(watch.panic, REASON);
});
