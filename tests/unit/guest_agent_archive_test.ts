/** The agent's way into a user's initrd. */
import { firstProgram } from "../../src/guest/initramfs/agent_archive.ts";
import { assertEquals } from "../../src/std/assert.ts";

Deno.test("the agent goes on as the program that the kernel would have started", () => {
  assertEquals(firstProgram(""), "/init");
  assertEquals(firstProgram("quiet init=/sbin/init xrdinit=/no"), "/init");
  assertEquals(firstProgram("rdinit=/one quiet\trdinit=/two/init panic=1"), "/two/init");
  assertEquals(firstProgram("rdinit="), "/init");
});
