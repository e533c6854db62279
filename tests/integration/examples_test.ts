/** The examples run, and print what they should. */
import { assertEquals } from "../../src/std/assert.ts";
import { linuxTest } from "../support/kvm.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

const EXAMPLES: Readonly<Record<string, string>> = {
  untrusted: "42 143 SIGTERM",
  web_server: "200 served by a microVM",
  pull_the_plug: "still here",
  build: "built\none two",
  three_machines: "[ 0, 0, 0 ]",
};
for (const [name, expected] of Object.entries(EXAMPLES)) {
  linuxTest(`the example ${name} runs`, async () => {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", `tests/examples/${name}.ts`],
      cwd: ROOT,
      stdin: "null",
      env: { NO_COLOR: "1" },
    }).output();
    const decoder = new TextDecoder();
    assertEquals(decoder.decode(stdout).trim(), expected, decoder.decode(stderr));
    assertEquals(code, 0);
  });
}
