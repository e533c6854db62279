/** The agent in guests that are not ours: a kernel and an initrd as a user has them. */
import { ensureKernel } from "../../src/guest/mod.ts";
import { Machine } from "../../src/machine/mod.ts";
import { BootError, Vm, VmError, type VmOptions } from "../../src/mod.ts";
import { assert, assertEquals, assertRejects } from "../../src/std/assert.ts";
import { busyboxInitrd } from "../support/busybox_initrd.ts";
import { assertNothingLeft, settledState } from "../support/host_state.ts";
import { linuxTest, SLOWNESS } from "../support/kvm.ts";

const LIMIT_MS = 120_000;

/** Boots the default guest's kernel with an initrd whose /init goes on with `init`. */
async function withInitrd(
  init: string,
  work: (options: VmOptions & { readonly initrd: string }) => Promise<void>,
): Promise<void> {
  const { path: kernel } = await ensureKernel({ progress: { stage() {}, fraction() {} } });
  const initrd = await Deno.makeTempFile({ prefix: "dinovisor-test-initrd-" });
  try {
    await Deno.writeFile(initrd, await busyboxInitrd({ init }));
    await work({
      kernel,
      initrd,
      cmdline: "quiet",
      signal: AbortSignal.timeout(LIMIT_MS * SLOWNESS),
    });
  } finally {
    await Deno.remove(initrd);
  }
}

function temporaryInitrds(): string[] {
  return [...Deno.readDirSync("/tmp")].map(({ name }) => name)
    .filter((name) => name.startsWith("dinovisor-initrd-"));
}

/** Another root, as distributions' initrds switch to: what was there before is gone from it. */
const SWITCHES_ROOT = `mkdir /new
mount -t tmpfs new /new
mkdir /new/bin /new/proc /new/dev /new/root /new/tmp
cp /bin/busybox /new/bin
for name in sh ls cat head; do ln -s busybox /new/bin/$name; done
mount -t devtmpfs dev /new/dev
mount -t proc proc /new/proc
umount /proc
exec switch_root /new /bin/sh -c 'echo switched >/state; while :; do sleep 1000; done'`;

linuxTest("a user's kernel and initrd: commands and files, also behind another root", async () => {
  await withInitrd(SWITCHES_ROOT, async (options) => {
    const made = temporaryInitrds();
    await using vm = await Vm.boot(options);
    assertEquals(temporaryInitrds(), made);
    await vm.waitFor({ file: "/state" });
    assertEquals(await vm.fs.readTextFile("/state"), "switched\n");
    const first = await vm.output("sh", ["-c", 'pwd; echo "$HOME $PATH"; ls /; exit 3']);
    assertEquals(
      [first.code, first.text],
      [3, "/root\n/root /usr/sbin:/usr/bin:/sbin:/bin\nbin\ndev\nproc\nroot\nstate\ntmp\n"],
    );
    assertEquals(await vm.sh`head -c 7 /proc/1/cmdline`.text(), "/bin/sh");
    const missing = await assertRejects(() => vm.spawn("nothing"), VmError);
    assertEquals(missing.code, "COMMAND_NOT_FOUND");
    const bytes = crypto.getRandomValues(new Uint8Array(65_536));
    await vm.fs.writeFile("/tmp/bytes", bytes);
    assertEquals(await vm.fs.readFile("/tmp/bytes"), bytes);
    await using cat = await vm.spawn("cat", [], { stdin: "piped" });
    await cat.kill("SIGTERM");
    assertEquals((await cat.status).signal, "SIGTERM");
    const { success } = await vm.shutdown({ signal: AbortSignal.timeout(60_000 * SLOWNESS) });
    assert(success, vm.console.tail);
  });
});

/** Each process of the script takes 0.1 s where ring 0 is emulated, and a command some 40 of them. */
const SHELL_MS = 4 * LIMIT_MS;

// What else the script can, shell_agent_test.ts has it do on the host.
linuxTest("where there is no vsock a script for a shell is the agent", async () => {
  await withInitrd("while :; do sleep 1000; done", async (options) => {
    const signal = AbortSignal.timeout(SHELL_MS * SLOWNESS);
    await using vm = await Vm.boot({ ...options, agent: "sh", signal });
    const { code, text, stderr } = await vm.output("sh", ["-c", "pwd; echo no >&2; exit 3"]);
    assertEquals([code, text, new TextDecoder().decode(stderr)], [3, "/root\n", "no\n"]);
    const missing = await assertRejects(() => vm.spawn("nothing"), VmError);
    assertEquals(missing.code, "COMMAND_NOT_FOUND");
    await vm.fs.writeTextFile("/tmp/it's", "hello\n");
    assertEquals(await vm.fs.readTextFile("/tmp/it's"), "hello\n");
    const both = ["1", "2"].map((word) => vm.output("echo", [word]));
    assertEquals((await Promise.all(both)).map((one) => one.text), ["1\n", "2\n"]);
  });
});

linuxTest("a guest without an agent is an error, not a wait", async () => {
  await withInitrd("sleep 1000", async (options) => {
    const made = temporaryInitrds();
    const late = { ...options, signal: AbortSignal.timeout(1000) };
    const waited = await assertRejects(() => Vm.boot(late), BootError);
    assertEquals([waited.code, waited.cause], ["AGENT_MISSING", late.signal.reason]);
    assert(waited.hint?.includes("virtio-vsock"), waited.hint);
    Machine.endIdleThreads();
    const before = await settledState(); // with what is made once in a process
    const reason = new Error("no more wanted");
    const abort = new AbortController();
    setTimeout(() => abort.abort(reason), 500);
    const given = await assertRejects(() => Vm.boot({ ...options, signal: abort.signal }), Error);
    assertEquals(given, reason);
    Deno.writeTextFileSync(options.initrd, "no archive".repeat(100)); // the kernel skips all of it, and ours
    const ended = await assertRejects(() => Vm.boot(options), BootError);
    assertEquals(ended.code, "AGENT_MISSING");
    assert(ended.consoleTail.includes("Kernel panic"), ended.consoleTail);
    assertEquals(temporaryInitrds(), made);
    Machine.endIdleThreads();
    assertNothingLeft(before, await settledState());
  });
});
