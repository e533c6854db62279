/** The first call of a process that fails has its own errno: nothing runs between the call and the look at it. */
import { assertEquals } from "../../src/std/assert.ts";

const LIBC = new URL("../../src/sys/libc.ts", import.meta.url).href;
const EBADF = 9;

Deno.test("the first thing that fails in a process has its errno", async () => {
  // From the time the library is open, Deno sets errno anew whenever it is asked for another C function.
  const code = `import { errno, libc } from "${LIBC}";
    const { ioctl } = libc();
    const disturb = () => { try { Deno.readTextFileSync("/nothing/here"); } catch {} };
    const { dlopen, UnsafeFnPointer } = Deno;
    Deno.dlopen = (...all) => { disturb(); return dlopen(...all); };
    Deno.UnsafeFnPointer = class extends UnsafeFnPointer {
      call(...all) { disturb(); return super.call(...all); }
    };
    if (ioctl(-1, 0, 0) === -1) console.log(errno());`;
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-check", code],
  }).output();
  const decoder = new TextDecoder();
  assertEquals(decoder.decode(stdout), `${EBADF}\n`, decoder.decode(stderr));
});
