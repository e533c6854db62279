/** What the agent tells of changes to files, beside what Deno itself tells of the same ones. Needs no KVM. */
import { AgentError } from "../../src/sandbox/errors.ts";
import type { GuestFs } from "../../src/sandbox/guest_fs.ts";
import { assert, assertEquals, assertRejects } from "../../src/std/assert.ts";
import { agentTest } from "../support/agent_stand.ts";
import { until } from "../support/kvm.ts";

/** A test with the agent's files and a directory of its own. */
function watchTest(name: string, work: (fs: GuestFs, directory: string) => Promise<void>): void {
  agentTest(name, async ({ fs }, directory) => await work(fs, directory));
}

/** What a watcher tells, as text: kind, paths and flag, without `directory`. */
class Told {
  readonly lines: string[] = [];
  readonly ended: Promise<void>;

  constructor(watcher: AsyncIterable<Deno.FsEvent>, directory: string) {
    this.ended = this.#read(watcher, directory);
  }

  async #read(watcher: AsyncIterable<Deno.FsEvent>, directory: string): Promise<void> {
    for await (const { kind, paths, flag } of watcher) {
      const names = paths.map((path) => path.replace(directory, "."));
      this.lines.push([kind, ...names, ...(flag ? [flag] : [])].join(" "));
    }
  }

  /** Everything up to the making of `name`, and no more of it than its last line. */
  async upTo(name: string): Promise<string[]> {
    await until(`${name} is told of`, () => this.lines.includes(`access ./${name}`));
    const all = this.lines.splice(0, this.lines.indexOf(`access ./${name}`) + 1);
    return all.filter((line) => !line.endsWith(`./${name}`));
  }
}

const STEPS: readonly (readonly [name: string, work: (at: string, out: string) => void])[] = [
  ["a new file", (at) => Deno.writeTextFileSync(`${at}/new`, "hello")],
  ["a longer file", (at) => Deno.writeTextFileSync(`${at}/new`, "hello", { append: true })],
  ["a file that is read", (at) => void Deno.readTextFileSync(`${at}/new`)],
  ["permissions", (at) => Deno.chmodSync(`${at}/new`, 0o600)],
  ["a new name", (at) => Deno.renameSync(`${at}/new`, `${at}/newer`)],
  ["a name that was in use", (at) => Deno.renameSync(`${at}/newer`, `${at}/old`)],
  ["a file that goes elsewhere", (at, out) => Deno.renameSync(`${at}/old`, `${out}/old`)],
  ["a file from elsewhere", (at, out) => Deno.renameSync(`${out}/old`, `${at}/back`)],
  ["a file that is removed", (at) => Deno.removeSync(`${at}/back`)],
  ["a new directory", (at) => Deno.mkdirSync(`${at}/sub/deep`)],
  ["a file there", (at) => Deno.writeTextFileSync(`${at}/sub/deep/f`, "x")],
  ["a directory with a new name", (at) => Deno.renameSync(`${at}/sub/deep`, `${at}/moved`)],
  ["a file in that one", (at) => Deno.writeTextFileSync(`${at}/moved/g`, "x")],
  ["a second name", (at) => Deno.linkSync(`${at}/moved/g`, `${at}/hard`)],
  ["a directory elsewhere", (at, out) => Deno.renameSync(`${at}/moved`, `${out}/moved`)],
  ["a file there that is none of ours", (_, out) => Deno.writeTextFileSync(`${out}/moved/h`, "x")],
  ["a directory from elsewhere", (at, out) => Deno.renameSync(`${out}/moved`, `${at}/again`)],
  ["a file in it", (at) => Deno.writeTextFileSync(`${at}/again/i`, "x")],
  [
    "files removed one by one",
    (at) => ["f", "g", "h", "i"].forEach((name) => Deno.removeSync(`${at}/again/${name}`)),
  ],
  ["its directory", (at) => Deno.removeSync(`${at}/again`)],
];

watchTest("each change is told as Deno tells it", async (fs, directory) => {
  const at = `${directory}/in`;
  const out = `${directory}/out`;
  for (const path of [at, out, `${at}/sub`]) Deno.mkdirSync(path);
  Deno.writeTextFileSync(`${at}/old`, "x");
  using ours = fs.watch(at);
  using theirs = Deno.watchFs(at);
  await ours.ready;
  const [told, expected] = [new Told(ours, at), new Told(theirs, at)];
  for (const [i, [name, step]] of STEPS.entries()) {
    step(at, out);
    Deno.writeTextFileSync(`${at}/mark${i}`, "");
    assertEquals(await told.upTo(`mark${i}`), await expected.upTo(`mark${i}`), name);
  }
  ours[Symbol.dispose]();
  theirs.close();
  await told.ended;
});

watchTest("what is in a directory that was just made is told of, however fast", async (fs, at) => {
  using watcher = fs.watch(`${at}/`);
  await watcher.ready;
  const told = new Told(watcher, at);
  const wanted: string[] = [];
  for (let i = 0; i < 20; i++) {
    Deno.mkdirSync(`${at}/a${i}/b/c`, { recursive: true });
    Deno.writeTextFileSync(`${at}/a${i}/b/c/f`, "");
    wanted.push(...["", "/b", "/b/c", "/b/c/f"].map((path) => `create ./a${i}${path}`));
  }
  await until("all is told of", () => wanted.every((line) => told.lines.includes(line)));
});

watchTest(
  "a tree that is there already is watched to its leaves, or not when not asked to",
  async (fs, at) => {
    const leaves = Array.from({ length: 300 }, (_, i) => `${at}/${i % 7}/${i % 11}/${i}`);
    for (const leaf of leaves) Deno.mkdirSync(leaf, { recursive: true });
    using all = fs.watch(at);
    using flat = fs.watch(at, { recursive: false });
    await Promise.all([all.ready, flat.ready]);
    const [toldAll, toldFlat] = [new Told(all, at), new Told(flat, at)];
    for (const leaf of leaves) Deno.writeTextFileSync(`${leaf}/f`, "");
    Deno.writeTextFileSync(`${at}/mark`, "");
    const lines = await toldAll.upTo("mark");
    assertEquals(lines.filter((line) => line.startsWith("create")).length, leaves.length);
    assertEquals(await toldFlat.upTo("mark"), []);
    // Every watch below has a new path now.
    Deno.renameSync(`${at}/3`, `${at}/renamed`);
    Deno.writeTextFileSync(`${at}/renamed/3/3/g`, "");
    Deno.writeTextFileSync(`${at}/mark2`, "");
    assert((await toldAll.upTo("mark2")).includes("create ./renamed/3/3/g"));
  },
);

watchTest("one file can be watched; links below are not followed", async (fs, at) => {
  Deno.writeTextFileSync(`${at}/file`, "");
  using watcher = fs.watch(`${at}/file`);
  await watcher.ready;
  const told = new Told(watcher, at);
  Deno.writeTextFileSync(`${at}/file`, "x");
  Deno.writeTextFileSync(`${at}/other`, "x");
  Deno.removeSync(`${at}/file`);
  await until("its end is told of", () => told.lines.includes("remove ./file"));
  assertEquals(told.lines[0], "modify ./file");
  assert(told.lines.every((line) => line.endsWith("./file")), told.lines.join());

  Deno.mkdirSync(`${at}/dir`);
  Deno.mkdirSync(`${at}/out`);
  Deno.symlinkSync("../out", `${at}/dir/link`);
  using dir = fs.watch(`${at}/dir`);
  await dir.ready;
  const toldDir = new Told(dir, at);
  Deno.symlinkSync("../out", `${at}/dir/link2`);
  Deno.writeTextFileSync(`${at}/out/f`, "");
  Deno.writeTextFileSync(`${at}/dir/mark`, "");
  assertEquals(await toldDir.upTo("dir/mark"), ["create ./dir/link2"]);
});

watchTest("what nobody takes is kept, and beyond that its loss is told", async (fs, at) => {
  using watcher = fs.watch(at, { recursive: false });
  await watcher.ready;
  const most = Number(Deno.readTextFileSync("/proc/sys/fs/inotify/max_queued_events"));
  const files = [`${at}/a`, `${at}/b`];
  for (const file of files) Deno.writeTextFileSync(file, "");
  const kinds = new Map<string, number>();
  const count = 4 * most; // two that follow each other and are alike would be one
  for (let i = 0; i < count; i++) Deno.chmodSync(files[i % 2] ?? "", 0o600);
  for await (const { kind, flag } of watcher) {
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    if (flag === "rescan") break;
  }
  const changes = kinds.get("modify") ?? 0;
  assert(changes >= most && changes < count, `${changes} of ${count}`);
});

watchTest(
  "what cannot be watched is an error; the signal and an agent that dies end it",
  async (fs, at) => {
    const { NotFound } = Deno.errors;
    const missing = fs.watch(`${at}/nothing`);
    await assertRejects(() => missing.ready, NotFound, `Cannot watch "${at}/nothing"`);
    await assertRejects(() => missing.next(), NotFound);
    await assertRejects(() => fs.watch(`${at}/${"x".repeat(5000)}`).ready, Error, "errno 36");

    const reason = new Error("enough");
    const ending = new AbortController();
    const aborted = fs.watch(at, { signal: ending.signal });
    await aborted.ready;
    const waiting = aborted.next();
    ending.abort(reason);
    assertEquals(await assertRejects(() => waiting), reason);
    assertEquals(await assertRejects(() => aborted.next()), reason);
    assertEquals(await assertRejects(() => fs.watch(at, { signal: ending.signal }).next()), reason);

    const eager = fs.watch(at);
    await eager.ready;
    const both = [eager.next(), eager.next()];
    Deno.writeTextFileSync(`${at}/eager`, "x");
    const kinds = (await Promise.all(both)).map(({ value }) => value?.kind);
    assertEquals(kinds, ["create", "modify"]);
    eager[Symbol.dispose]();

    const disposed = fs.watch(at);
    await disposed.ready;
    const last = disposed.next();
    disposed[Symbol.dispose]();
    assertEquals(await last, { done: true, value: undefined });
  },
);

agentTest(
  "one that dies while it watches is said, one nobody listens to ends",
  async (stand, at) => {
    const [lost, dropped] = [stand.fs.watch(at), stand.fs.watch(at)];
    await Promise.all([lost.ready, dropped.ready]);
    dropped[Symbol.dispose]();
    const next = lost.next();
    const ends = await stand.sessions.ends(2000); // of both: the first is killed then
    assertEquals(ends.map(({ signal, code }) => [signal, code]), [["SIGKILL", 137], [null, 0]]);
    await assertRejects(() => next, AgentError);
  },
);
