/** Sandboxes: the default guest as `Vm` has it, with real commands and files. */
import { AgentError, BootError, CommandError, ConfigError, Vm, VmError } from "../../src/mod.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "../../src/std/assert.ts";
import { assertNothingLeft, settledState } from "../support/host_state.ts";
import { delay, linuxTest, SLOWNESS, within } from "../support/kvm.ts";

const KIB = 1024;
const encoder = new TextEncoder();

async function codeOf(work: () => Promise<unknown>): Promise<string> {
  return (await assertRejects(work, VmError)).code;
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

linuxTest("commands: what they print, how they end, where and as whom they run", async () => {
  await using vm = await Vm.boot({ env: { FROM_VM: "1" }, name: "box" });
  assertEquals([vm.name, vm.state], ["box", "running"]);
  const echo = await vm.output("sh", ["-c", 'echo "$@"; echo no >&2; exit 7', "x", "a  b", "ä"]);
  assertEquals([echo.success, echo.code, echo.signal], [false, 7, null]);
  assertEquals([echo.text, new TextDecoder().decode(echo.stderr)], ["a  b ä\n", "no\n"]);
  assertThrows(() => echo.check(), CommandError, "status 7:\nno");

  const where = await vm.output("sh", ["-c", "pwd; echo $FROM_VM $X; id -u; id -g"], {
    cwd: "/tmp",
    env: { X: "y" },
    uid: 1000,
    gid: 100,
  });
  assertEquals(where.text, "/tmp\n1 y\n1000\n100\n");
  const overridden = await vm.output("sh", ["-c", "echo $HOME"], { env: { HOME: "/other" } });
  assertEquals(overridden.text, "/other\n");
  const bare = await vm.output("/bin/busybox", ["env"], { clearEnv: true });
  assertEquals(bare.text, "FROM_VM=1\n");
  assertEquals((await vm.output("sh", ["-c", "echo a; echo b >&2"], { stdout: "null" })).text, "");

  const signalled = await vm.output("sh", ["-c", "kill -SEGV $$"]);
  assertEquals([signalled.code, signalled.signal], [139, "SIGSEGV"]);
  // Its own child would hold the output open for long, were the signal not for both.
  await using sleeper = await vm.spawn("sh", ["-c", "sleep 1000; echo late"]);
  sleeper.kill();
  const { code, signal, stdout } = await sleeper.output();
  assertEquals([code, signal, stdout.length], [143, "SIGTERM", 0]);
  const aborted = await vm.output("sleep", ["1000"], { signal: AbortSignal.timeout(100) });
  assertEquals(aborted.signal, "SIGTERM");

  assertEquals(await codeOf(() => vm.output("nothing-here")), "COMMAND_NOT_FOUND");
  assertEquals(await codeOf(() => vm.output("/etc/passwd")), "COMMAND_NOT_PROGRAM");
  assertEquals(await codeOf(() => vm.output("ls", [], { cwd: "/nowhere" })), "CWD_INVALID");
  assertEquals(await codeOf(() => vm.output("ls", ["x".repeat(70_000)])), "COMMAND_TOO_LONG");
  await assertRejects(() => vm.output("ls", ["a\0b"]), TypeError);
  assertEquals(
    (await vm.output("sh", ["-c", 'echo $#; echo "$1" | wc -c', "sh", "y".repeat(60_000)])).text,
    "1\n60001\n",
  );
  const { block, memory, exits, bootMs } = vm.metrics();
  const reading = block["block0"]?.readBytes ?? 0;
  assert(reading > 64 * KIB && memory.resident > 2 ** 20 && (exits["mmio"] ?? 0) > 0);
  assertEquals([bootMs, memory.total], [vm.bootMs, 2 ** 27]);
  const words = ["a'b", "$HOME", "*", "x y"];
  assertEquals(await vm.sh`for i in ${words}; do echo "$i"; done`.lines(), words);
  assertEquals(await vm.sh`exit 9`.code(), 9);
});

linuxTest("input, output and terminals go byte by byte, and wait for each other", async () => {
  await using vm = await Vm.boot();
  const bytes = crypto.getRandomValues(new Uint8Array(60 * KIB));
  const all = new Uint8Array(4 * bytes.length);
  for (let i = 0; i < 4; i++) all.set(bytes, i * bytes.length);
  await using cat = await vm.spawn("cat", [], { stdin: "piped" });
  const feeding = ReadableStream.from([all]).pipeTo(cat.stdin);
  assertEquals(await sha256((await cat.output()).stdout), await sha256(all));
  await feeding;

  // 1 MiB that nobody reads does not fit anywhere on its way: the command waits until somebody does.
  await using heap = await vm.spawn("dd", ["if=/dev/zero", "bs=1024", "count=1024"], {
    stderr: "null",
  });
  const early = await Promise.race([heap.status, delay(3000 * SLOWNESS)]);
  assertEquals(early, undefined);
  assertEquals((await heap.output()).stdout.length, 1024 * KIB);

  // Nobody reads its output: it stops for want of room, and dies of it when the reader goes.
  await using yes = await vm.spawn("yes", []);
  const reader = yes.stdout.getReader();
  const first = await reader.read();
  assertEquals(new TextDecoder().decode(first.value?.subarray(0, 4)), "y\ny\n");
  await reader.cancel();
  assertEquals((await within(20_000, "the end of yes", yes.status)).signal, "SIGPIPE");

  // It does not read its input: writing waits, then fails.
  await using deaf = await vm.spawn("sleep", ["3"], { stdin: "piped" });
  const writer = deaf.stdin.getWriter();
  const error = await assertRejects(() => writer.write(new Uint8Array(1024 * KIB)));
  assert(error instanceof Deno.errors.BrokenPipe, `${error}`);
  assertThrows(() => yes.stdin, VmError, "without input");

  const tty = await vm.output("sh", ["-c", "tty; stty size; echo err >&2"], {
    pty: { columns: 99, rows: 33 },
  });
  assertEquals(tty.text, "/dev/pts/0\r\n33 99\r\nerr\r\n");
  await using typed = await vm.spawn("sh", ["-c", "read line; stty size; echo $line"], {
    pty: true,
  });
  typed.resize({ columns: 50, rows: 20 });
  await typed.stdin.getWriter().write(encoder.encode("hello\n"));
  assertEquals((await typed.output()).text, "hello\r\n20 50\r\nhello\r\n");
});

linuxTest("twelve commands at once have each their own output", async () => {
  await using vm = await Vm.boot({ user: "nobody" });
  assertEquals((await vm.output("id", ["-un"])).text, "nobody\n");
  assertEquals((await vm.output("id", ["-un"], { user: 0 })).text, "root\n");
  assertEquals(await codeOf(() => vm.output("id", [], { user: "alice" })), "USER_NOT_FOUND");
  const numbers = Array.from({ length: 12 }, (_, i) => `${i}`);
  const outputs = await Promise.all(
    numbers.map((n) => vm.output("sh", ["-c", `echo ${n}; sleep 1; echo ${n}`])),
  );
  assertEquals(outputs.map(({ text }) => text), numbers.map((n) => `${n}\n${n}\n`));
});

linuxTest("files are written, read, listed, looked at, renamed and removed", async () => {
  await using vm = await Vm.boot();
  const { fs } = vm;
  const bytes = crypto.getRandomValues(new Uint8Array(64 * KIB));
  await fs.mkdir("/tmp/a/b", { recursive: true });
  await fs.mkdir("/tmp/a/b", { recursive: true });
  await fs.writeFile("/tmp/a/data", ReadableStream.from([bytes, bytes]), { mode: 0o640 });
  await fs.writeTextFile("/tmp/a/data", "end", { append: true });
  const data = await fs.readFile("/tmp/a/data");
  assertEquals(data.length, 2 * bytes.length + 3);
  assertEquals(await sha256(data.slice(bytes.length, 2 * bytes.length)), await sha256(bytes));
  const { size, mode, isFile, mtime } = await fs.stat("/tmp/a/data");
  assertEquals([size, (mode ?? 0) & 0o7777, isFile], [data.length, 0o640, true]);
  assert(Math.abs(Date.now() - (mtime?.getTime() ?? 0)) < 3_600_000, `${mtime}`);
  await vm.sh`ln -s data /tmp/a/link; touch ${"/tmp/a/it's odd"}`;
  assertEquals((await fs.lstat("/tmp/a/link")).isSymlink, true);
  assertEquals((await fs.stat("/tmp/a/link")).isFile, true);
  const names: string[] = [];
  for await (const { name, isDirectory } of fs.readDir("/tmp/a")) {
    names.push(isDirectory ? `${name}/` : name);
  }
  assertEquals(names.sort(), ["b/", "data", "it's odd", "link"]);
  using watcher = fs.watch("/tmp/a");
  await watcher.ready;
  await fs.rename("/tmp/a/data", "/tmp/a/b/moved");
  await vm.sh`mkdir /tmp/a/c && echo x > /tmp/a/c/f && rm -r /tmp/a/c`;
  const changes: string[] = [];
  for await (const { kind, paths } of watcher) {
    changes.push(`${kind} ${paths.join(" ")}`);
    if (changes.at(-1) === "remove /tmp/a/c") break;
  }
  assertEquals(changes.slice(0, 4), [
    "remove /tmp/a/data",
    "rename /tmp/a/b/moved",
    "rename /tmp/a/data /tmp/a/b/moved",
    "create /tmp/a/c",
  ]);
  for (const change of ["create /tmp/a/c/f", "remove /tmp/a/c/f"]) {
    assert(changes.includes(change), changes.join());
  }
  await vm.sh`cd /tmp/a/b && mkdir many && for i in $(seq 300); do echo > many/$i; done`;
  const { NotFound, AlreadyExists, NotADirectory, IsADirectory, PermissionDenied } = Deno.errors;
  await assertRejects(() => fs.readFile("/tmp/a/data"), NotFound, 'Cannot read "/tmp/a/data"');
  await assertRejects(() => fs.readFile("/tmp"), IsADirectory);
  await assertRejects(() => fs.writeTextFile("/nowhere/x", ""), NotFound);
  await assertRejects(() => fs.writeTextFile("/etc/x", ""), PermissionDenied, "read-only");
  await assertRejects(() => fs.mkdir("/tmp/a"), AlreadyExists);
  await assertRejects(() => fs.stat("/tmp/a/b/moved/x"), NotADirectory);
  const createNew = () => fs.writeTextFile("/tmp/a/b/moved", "", { createNew: true });
  await assertRejects(createNew, AlreadyExists);
  assertEquals(await codeOf(() => fs.remove("/tmp/a")), "GUEST_FILE"); // it is not empty
  await fs.remove("/tmp/a", { recursive: true });
  await assertRejects(() => fs.stat("/tmp/a"), NotFound);
});

linuxTest("the console shows the boot, and the guest ends in order when asked", async () => {
  await using vm = await Vm.boot();
  await vm.console.waitFor(/Run \S*init as init process/);
  await vm.sh`echo ${"hello, console"} > /dev/console`;
  assertEquals(await vm.console.waitFor("hello, console"), "hello, console");
  await vm.pause(); // a paused guest cannot hear: it is resumed for that
  const never = vm.console.waitFor("never printed", { signal: AbortSignal.timeout(50) });
  await assertRejects(() => never, DOMException);
  const status = await vm.shutdown();
  assertEquals([status.reason, status.success, status.code, vm.state], [
    "poweroff",
    true,
    0,
    "stopped",
  ]);
  assertEquals(await codeOf(() => vm.output("true")), "STATE");
  assertEquals(await codeOf(() => vm.console.waitFor("never printed")), "CONSOLE_ENDED");
  const text = await new Response(vm.console.readable).text();
  assert(text.includes("Linux version") && text.includes("hello, console"), text);
  assertEquals(await vm.shutdown(), status);
});

linuxTest("whatever runs when a machine is killed hears of it, and nothing is left", async () => {
  const round = async () => {
    await using vm = await Vm.boot();
    await using other = await Vm.boot({ memory: "96MiB" });
    const running = vm.output("sleep", ["1000"]);
    const reading = vm.fs.readFile("/dev/zero");
    const child = await vm.spawn("sleep", ["1000"], { stdin: "piped" });
    await vm.pause();
    assertEquals(vm.state, "paused");
    vm.resume();
    vm.kill();
    await assertRejects(() => running, AgentError);
    await assertRejects(() => reading, AgentError);
    await assertRejects(() => child.status, AgentError);
    assertEquals([(await vm.status).reason, vm.state], ["killed", "stopped"]);
    assertEquals((await other.output("echo", ["undisturbed"])).text, "undisturbed\n");
  };
  await round();
  const before = await settledState();
  await round();
  assertNothingLeft(before, await settledState());
});

linuxTest("a guest that does not come up says why, and leaves nothing", async () => {
  await assertRejects(() => Vm.boot({ kernel: "/nothing/here" }), ConfigError, "Cannot find");
  const panic = await assertRejects(
    () => Vm.boot({ cmdline: ["init=/nothing", "panic=-1"] }),
    BootError,
  );
  assert(panic.consoleTail.includes("Kernel panic"), panic.consoleTail);
  const reason = new Error("changed my mind");
  const late = new AbortController();
  setTimeout(() => late.abort(reason), 500);
  assertEquals(await assertRejects(() => Vm.boot({ signal: late.signal })), reason);
  assertEquals(await assertRejects(() => Vm.boot({ signal: late.signal })), reason);
  const ending = new AbortController();
  await using silent = await Vm.boot({ agent: "none", signal: ending.signal });
  assertEquals(await codeOf(() => silent.output("ls")), "NO_AGENT");
  ending.abort();
  assertEquals((await silent.status).reason, "killed");
});
