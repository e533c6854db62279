/** The shell's agent on this host, by the shells that are here: no VM is needed for its lines. */
import { Agent } from "../../src/sandbox/agent.ts";
import { AgentError, VmError } from "../../src/sandbox/errors.ts";
import { GuestFs } from "../../src/sandbox/guest_fs.ts";
import type { GuestProcess } from "../../src/sandbox/guest_process.ts";
import { ShellAgent } from "../../src/sandbox/shell_agent.ts";
import type { ConsoleSocket } from "../../src/sandbox/vm_console.ts";
import { assert, assertEquals, assertRejects } from "../../src/std/assert.ts";
import { guestBusybox } from "../support/busybox_initrd.ts";
import { until, within } from "../support/kvm.ts";

const SCRIPT = new URL("../../src/guest/agent/agent.sh", import.meta.url).pathname;
const LIMIT_MS = 120_000;
const encoder = new TextEncoder();

interface Stand extends AsyncDisposable {
  readonly folder: string;
  readonly agent: Agent;
  readonly fs: GuestFs;
  spawn(
    words: readonly string[],
    options?: Partial<Parameters<Agent["spawn"]>[0]>,
  ): Promise<GuestProcess>;
}

/** Runs it by `shell`, with fifos for the port. */
async function stand(shell: readonly string[]): Promise<Stand> {
  const folder = await Deno.makeTempDir({ prefix: "dinovisor-shell-" });
  const [input, output] = [`${folder}/input`, `${folder}/output`];
  await new Deno.Command("mkfifo", { args: [input, output] }).output();
  const [program = "", ...args] = shell;
  const child = new Deno.Command(program, {
    args: [...args, SCRIPT, folder, input, output],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const opened = Promise.all([Deno.open(input, { write: true }), Deno.open(output)]);
  const [toAgent, fromAgent] = await within(LIMIT_MS, "the agent's start", opened);
  const conn: ConsoleSocket = {
    read: (into) => fromAgent.read(into),
    write: (bytes) => toAgent.write(bytes),
    close: () => fromAgent.close(),
  };
  const agent = new Agent(new ShellAgent(conn, () => "running"));
  await within(LIMIT_MS, "greeting", agent.ready());
  return {
    folder,
    agent,
    fs: new GuestFs(agent),
    spawn: (words, options = {}) =>
      agent.spawn({
        words,
        environment: [],
        clearEnvironment: false,
        directory: "",
        user: undefined,
        group: undefined,
        groups: [],
        input: "null",
        output: "piped",
        errors: "piped",
        terminal: undefined,
        ...options,
      }, undefined),
    async [Symbol.asyncDispose]() {
      toAgent.close(); // the end of its lines ends it
      await child.status;
      await Deno.remove(folder, { recursive: true });
    },
  };
}

/** The platform gives 65536 at once. */
function randomBytes(count: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(count);
  for (let at = 0; at < count; at += 65_536) {
    crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  }
  return bytes;
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return (await assertRejects(() => work, VmError)).code;
}

async function commands(on: Stand): Promise<void> {
  const echo =
    await (await on.spawn(["sh", "-c", 'echo "$1"; echo no >&2; exit 7', "x", "it's  ä"]))
      .output();
  assertEquals([echo.code, echo.signal, echo.text], [7, null, "it's  ä\n"]);
  assertEquals(new TextDecoder().decode(echo.stderr), "no\n");
  const where = await on.spawn(["sh", "-c", "pwd; echo $A $PATH"], {
    directory: "/",
    environment: ["A=b c"],
  });
  assertEquals((await where.output()).text, "/\nb c /usr/sbin:/usr/bin:/sbin:/bin\n");
  const bare = await on.spawn(["/usr/bin/env"], { clearEnvironment: true, environment: ["A=1"] });
  assertEquals((await bare.output()).text, "A=1\n");
  assertEquals(await codeOf(on.spawn(["no-such-program"])), "COMMAND_NOT_FOUND");
  assertEquals(await codeOf(on.spawn(["/no/such/program"])), "COMMAND_NOT_FOUND");
  assertEquals(await codeOf(on.spawn(["/etc/passwd"])), "COMMAND_NOT_PROGRAM");
  assertEquals(await codeOf(on.spawn(["/etc"])), "COMMAND_NOT_PROGRAM");
  assertEquals(await codeOf(on.spawn(["true"], { directory: "/no/where" })), "CWD_INVALID");
  const terminal = { columns: 80, rows: 24 };
  assertEquals(await codeOf(on.spawn(["true"], { terminal })), "COMMAND_FAILED_TO_START");
  assertEquals((await (await on.spawn(["sh", "-c", "exit 127"])).output()).code, 127);
}

async function signals(on: Stand): Promise<void> {
  await using trapped = await on.spawn([
    "sh",
    "-c",
    'trap "echo caught; exit 3" TERM; echo up; while :; do sleep 0.1; done',
  ]);
  const lines = trapped.stdout.getReader();
  assertEquals(new TextDecoder().decode((await lines.read()).value), "up\n");
  lines.releaseLock();
  trapped.kill("SIGTERM");
  const { code, text } = await trapped.output();
  assertEquals([code, text], [3, "caught\n"]);
  const killed = await on.spawn(["sleep", "1000"]);
  killed.kill("SIGKILL");
  const status = await killed.status;
  assertEquals([status.code, status.signal], [137, "SIGKILL"]);
}

async function input(on: Stand): Promise<void> {
  const bytes = randomBytes(100_000);
  await using cat = await on.spawn(["cat"], { input: "piped" });
  const writer = cat.stdin.getWriter();
  const written = writer.write(bytes).then(() => writer.close());
  assertEquals((await cat.output()).stdout, bytes);
  await written;
  await using deaf = await on.spawn(["sh", "-c", "exec <&-; echo closed; sleep 100"], {
    input: "piped",
  });
  await deaf.stdout.getReader().read();
  await assertRejects(async () => {
    for (let tries = 0; tries < 50; tries++) {
      const deafWriter = deaf.stdin.getWriter();
      await deafWriter.write(new Uint8Array(8000)).finally(() => deafWriter.releaseLock());
    }
  }, Deno.errors.BrokenPipe);
}

async function floods(on: Stand): Promise<void> {
  await using flood = await on.spawn(["yes"]);
  const unread = await on.spawn(["sh", "-c", "yes | head -c 300000; echo done >&2"]);
  const quick = await (await on.spawn(["echo", "still here"])).output();
  assertEquals(quick.text, "still here\n"); // though nobody reads the flood
  const all = await unread.output();
  assertEquals([all.stdout.length, new TextDecoder().decode(all.stderr)], [300_000, "done\n"]);
  await flood.stdout.cancel();
  const { signal } = await within(LIMIT_MS, "the end of the flood", flood.status);
  assertEquals(signal, "SIGPIPE");
}

async function files(on: Stand): Promise<void> {
  const { fs, folder } = on;
  const path = `${folder}/it's a file`;
  const bytes = randomBytes(70_000);
  await fs.writeFile(path, bytes, { mode: 0o640 });
  assertEquals(await fs.readFile(path), bytes);
  assertEquals(Deno.statSync(path).mode, 0o100640);
  await fs.writeFile(path, encoder.encode("end"), { append: true });
  const { size, isFile, mtime } = await fs.stat(path);
  assertEquals([size, isFile], [70_003, true]);
  assert(mtime !== null && Math.abs(mtime.getTime() - Date.now()) < 3_600_000);
  await assertRejects(
    () => fs.writeTextFile(path, "", { createNew: true }),
    Deno.errors.AlreadyExists,
  );
  await assertRejects(() => fs.readFile(`${folder}/none`), Deno.errors.NotFound);
  await assertRejects(() => fs.readFile(folder), Deno.errors.IsADirectory);
  await assertRejects(() => fs.writeTextFile("/no/where", "x"), Deno.errors.NotFound);
  await fs.mkdir(`${folder}/a/b`, { recursive: true });
  await assertRejects(() => fs.mkdir(`${folder}/a`), Deno.errors.AlreadyExists);
  await fs.rename(path, `${folder}/a/-new`);
  Deno.symlinkSync("-new", `${folder}/a/.link`);
  const entries = await Array.fromAsync(fs.readDir(`${folder}/a`));
  assertEquals(
    entries.map((
      { name, isDirectory, isFile, isSymlink },
    ) => [name, isDirectory, isFile, isSymlink])
      .sort(),
    [["-new", false, true, false], [".link", false, false, true], ["b", true, false, false]],
  );
  assertEquals((await fs.lstat(`${folder}/a/.link`)).isSymlink, true);
  await assertRejects(() => fs.remove(`${folder}/a`), VmError, "not empty");
  await fs.remove(`${folder}/a`, { recursive: true });
  await assertRejects(() => fs.remove(`${folder}/a`), Deno.errors.NotFound);
}

async function crowd(on: Stand): Promise<void> {
  const all = Array.from({ length: 100 }, async (_, i) => {
    const { code, text } = await (await on.spawn(["sh", "-c", `echo ${i}; exit ${i}`])).output();
    return [code, text];
  });
  const results = await Promise.all(all);
  assertEquals(results, Array.from({ length: 100 }, (_, i) => [i, `${i}\n`]));
}

/** Handles that nobody holds any more, and what was left running. */
async function leftovers(on: Stand): Promise<void> {
  {
    await using sleeper = await on.spawn(["sh", "-c", "echo $$; sleep 1000 & sleep 1000"]);
    await sleeper.stdout.getReader().read();
  }
  const jobs = `${on.folder}/jobs`;
  await until(
    "all jobs are cleared away",
    () => [...Deno.readDirSync(jobs)].length === 0,
    LIMIT_MS,
  );
}

const CASES = { commands, signals, input, floods, files, crowd, leftovers };

/** A folder with `busybox` in it: it goes by its name. */
async function busyboxFolder(): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "dinovisor-busybox-" });
  await Deno.writeFile(`${folder}/busybox`, await guestBusybox(), { mode: 0o755 });
  return folder;
}

Deno.test("the shell's agent keeps its word, by this host's sh and by busybox", async (t) => {
  const folder = await busyboxFolder();
  try {
    for (const shell of [["sh"], [`${folder}/busybox`, "sh"]]) {
      await using on = await stand(shell);
      for (const [name, work] of Object.entries(CASES)) {
        const title = `${shell.join(" ").replace(folder, "")}: ${name}`;
        await t.step(title, () => within(LIMIT_MS, title, work(on)));
      }
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** An agent that says `text`. */
function saying(text: string): Agent {
  const bytes = encoder.encode(text);
  let done = 0;
  const conn: ConsoleSocket = {
    read(into) {
      const count = Math.min(into.length, bytes.length - done);
      into.set(bytes.subarray(done, done += count));
      return Promise.resolve(count === 0 ? null : count);
    },
    write: (bytes) => Promise.resolve(bytes.length),
    close: () => {},
  };
  return new Agent(new ShellAgent(conn, () => "running"));
}

Deno.test("a shell's agent that is none, or lacks programs, is an error that says so", async () => {
  for (
    const [text, code] of [
      ["- lacks setsid dd\n", "AGENT_LACKS"],
      ["- ready 2\n", "AGENT_VERSION"],
      ["x".repeat(20_000), "AGENT_VERSION"],
      ["", "AGENT_GONE"],
    ] as const
  ) {
    const error = await assertRejects(() => saying(text).ready(), AgentError);
    assertEquals(error.code, code);
  }
});
