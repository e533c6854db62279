/** Descriptors that a process leaves behind: open when it ends, closed by the kernel soon after. */
import { assertEquals } from "../../src/std/assert.ts";

const MODULE = new URL("./in_flight.ts", import.meta.url).pathname;
/** Far above the milliseconds it takes. */
const LIMIT_MS = 60_000;

Deno.test("a descriptor in flight outlives its number, and is closed after its process", async () => {
  const directory = Deno.makeTempDirSync({ prefix: "dinovisor-test-" });
  const fifo = `${directory}/fifo`;
  const signal = AbortSignal.timeout(LIMIT_MS);
  try {
    await new Deno.Command("mkfifo", { args: [fifo] }).output();
    // It ends when nobody has the other end any more.
    const reader = new Deno.Command("cat", { args: [fifo], signal }).output();
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", MODULE, fifo],
      signal,
    }).output();
    assertEquals(new TextDecoder().decode(stdout), "open\n");
    assertEquals((await reader).success, true);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});
