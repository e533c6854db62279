/** The first call of a process that fails has its own errno: nothing runs between the call and the look at it. */
import { assertEquals } from "../../src/std/assert.ts";

const LIBC = new URL("../../src/sys/libc.ts", import.meta.url).href;
const EBADF = 9;

Deno.test("the first thing that fails in a process has its errno", async () => {
  const code = `import { errno, libc } from "${LIBC}";
    const { ioctl } = libc();
    if (ioctl(-1, 0, 0) === -1) console.log(errno());`;
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-check", code],
  }).output();
  const decoder = new TextDecoder();
  assertEquals(decoder.decode(stdout), `${EBADF}\n`, decoder.decode(stderr));
});
