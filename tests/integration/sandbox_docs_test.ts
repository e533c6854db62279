/** The examples in the documentation of `src/mod.ts` run as they stand there. Their types are the static step's. */
import { assert, assertEquals } from "../../src/std/assert.ts";
import { linuxTest } from "../support/kvm.ts";

const DOCUMENTED = ["src/mod.ts", "src/sandbox/vm.ts", "src/sandbox/guest_fs.ts"];
const ROOT = new URL("../../", import.meta.url).pathname;

linuxTest("each example in the documentation runs", async () => {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--no-check", "--doc", ...DOCUMENTED],
    cwd: ROOT,
    stdin: "null",
    env: { NO_COLOR: "1" },
  }).output();
  const text = new TextDecoder().decode(stdout);
  assertEquals(code, 0, text + new TextDecoder().decode(stderr));
  assert(/^ok \| 4 passed/m.test(text), text);
});
