/** Files and ports as the agent serves them: its very C, on this host, beside what Deno says of the same files. */
import { FRAME, frame, texts, UNCHANGED, word, words } from "../../src/sandbox/protocol.ts";
import { VmError } from "../../src/sandbox/errors.ts";
import { assert, assertEquals, assertRejects } from "../../src/std/assert.ts";
import { agentTest } from "../support/agent_stand.ts";
import { firstDifference } from "../support/disk_image.ts";
import { delay } from "../support/kvm.ts";

const { AlreadyExists, IsADirectory, NotADirectory, NotFound } = Deno.errors;

function randomBytes(count: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(count);
  for (let at = 0; at < count; at += 65_536) {
    crypto.getRandomValues(bytes.subarray(at, Math.min(count, at + 65_536)));
  }
  return bytes;
}

agentTest("what is written is in the file, what is in it is read", async ({ fs }, at) => {
  for (const size of [0, 1, 32_768, 65_536, 65_537, 300_001]) {
    const bytes = randomBytes(size);
    await fs.writeFile(`${at}/file`, bytes);
    assertEquals(Deno.readFileSync(`${at}/file`), bytes);
    assertEquals(await fs.readFile(`${at}/file`), bytes);
  }
  await fs.writeTextFile(`${at}/file`, "ab");
  await fs.writeTextFile(`${at}/file`, "cd", { append: true });
  assertEquals(Deno.readTextFileSync(`${at}/file`), "abcd");
});

agentTest("permissions are as asked, also of a file that is there", async ({ fs }, at) => {
  const mode = (name: string) => (Deno.statSync(`${at}/${name}`).mode ?? 0) & 0o7777;
  await fs.writeTextFile(`${at}/new`, "", { mode: 0o606 });
  await fs.writeTextFile(`${at}/usual`, "");
  assertEquals([mode("new"), mode("usual")], [0o606, 0o666 & ~Deno.umask()]);
  await fs.writeTextFile(`${at}/usual`, "", { mode: 0o4711 });
  await fs.writeTextFile(`${at}/new`, "");
  assertEquals([mode("usual"), mode("new")], [0o4711, 0o606]);
  await fs.mkdir(`${at}/dir`, { mode: 0o700 });
  assertEquals(mode("dir"), 0o700);
});

agentTest("what a file is, is what Deno says of it", async ({ fs }, at) => {
  Deno.writeTextFileSync(`${at}/file`, "x".repeat(5000), { mode: 0o640 });
  Deno.utimeSync(
    `${at}/file`,
    new Date("2001-02-03T04:05:06.789Z"),
    new Date("1969-12-31T23:59:59Z"),
  );
  Deno.linkSync(`${at}/file`, `${at}/hard`);
  Deno.symlinkSync("file", `${at}/link`);
  for (const path of [`${at}/file`, at, `${at}/link`, "/dev/null", "/"]) {
    const { birthtime: _, ctime: __, ...expected } = Deno.statSync(path);
    const { birthtime: ___, ctime: ____, ...found } = await fs.stat(path);
    for (const [name, value] of Object.entries(found)) {
      if (path === "/dev/null" && name === "rdev") continue; // two encodings of the same numbers
      assertEquals(value, expected[name as keyof typeof expected] ?? value, `${path}: ${name}`);
    }
  }
  assertEquals((await fs.lstat(`${at}/link`)).isSymlink, true);
  assertEquals((await fs.stat(`${at}/link`)).size, 5000);
});

agentTest("a directory is listed whole, with the types of what is in it", async ({ fs }, at) => {
  const names = Array.from({ length: 2000 }, (_, i) => `${"n".repeat(i % 200)}${i}`);
  for (const name of names) Deno.writeTextFileSync(`${at}/${name}`, "");
  Deno.mkdirSync(`${at}/dir`);
  Deno.symlinkSync("dir", `${at}/link`);
  const sorted = (entries: Deno.DirEntry[]) =>
    entries.map((entry) => ({ ...entry })).sort((a, b) => a.name < b.name ? -1 : 1);
  const found: Deno.DirEntry[] = [];
  for await (const entry of fs.readDir(at)) found.push(entry);
  assertEquals(sorted(found), sorted([...Deno.readDirSync(at)]));
});

agentTest("what cannot be done is said as Deno says it", async ({ fs }, at) => {
  Deno.writeTextFileSync(`${at}/file`, "x");
  Deno.mkdirSync(`${at}/dir/sub`, { recursive: true });
  await assertRejects(() => fs.readFile(`${at}/no`), NotFound);
  await assertRejects(() => fs.readFile(at), IsADirectory);
  await assertRejects(() => fs.stat(`${at}/file/x`), NotADirectory);
  await assertRejects(() => fs.writeTextFile(`${at}/no/x`, "y".repeat(200_000)), NotFound);
  await assertRejects(() => fs.writeTextFile(`${at}/file`, "", { createNew: true }), AlreadyExists);
  await assertRejects(() => fs.writeTextFile(`${at}/dir`, ""), IsADirectory);
  await assertRejects(() => fs.mkdir(`${at}/dir`), AlreadyExists);
  await assertRejects(() => fs.mkdir(`${at}/file`, { recursive: true }), AlreadyExists);
  await assertRejects(() => fs.mkdir(`${at}/file/x`, { recursive: true }), NotADirectory);
  await assertRejects(() => fs.rename(`${at}/no`, `${at}/x`), NotFound);
  await assertRejects(() => fs.remove(`${at}/no`), NotFound);
  await assertRejects(() => fs.remove(`${at}/no`, { recursive: true }), NotFound);
  await assertRejects(() => fs.remove(`${at}/dir`), VmError, "not empty");
  await assertRejects(async () => void await fs.readDir(`${at}/file`).next(), NotADirectory);
  await assertRejects(
    () => fs.writeTextFile("/dev/full", "x".repeat(100_000)),
    VmError,
    "no space left",
  );
  assertEquals(Deno.readTextFileSync(`${at}/file`), "x");
});

agentTest("the answer to a write that failed comes behind all of its data", async (stand, at) => {
  using session = await stand.raw();
  const data = frame(FRAME.data, new Uint8Array(10_000));
  await session.send(frame(FRAME.write, words(0, UNCHANGED), texts(`${at}/no/x`)), data, data);
  let isAnswered = false;
  const answer = session.expect(FRAME.error).finally(() => isAnswered = true);
  await delay(100); // no event tells that nothing comes
  assertEquals(isAnswered, false);
  await session.send(data, frame(FRAME.data));
  assertEquals(word(await answer, 0), 2);
});

agentTest("a whole tree is removed, and nothing that a link leads to", async ({ fs }, at) => {
  Deno.mkdirSync(`${at}/keep`);
  Deno.writeTextFileSync(`${at}/keep/file`, "");
  for (let i = 0; i < 500; i++) {
    Deno.mkdirSync(`${at}/tree/${i % 5}/${i}/deep`, { recursive: true });
  }
  for (let i = 0; i < 500; i++) Deno.writeTextFileSync(`${at}/tree/${i % 5}/${i}/f`, "");
  Deno.symlinkSync("../keep", `${at}/tree/link`);
  Deno.symlinkSync("nowhere", `${at}/tree/dangling`);
  await fs.remove(`${at}/tree/`, { recursive: true });
  assertEquals([...Deno.readDirSync(at)].map(({ name }) => name), ["keep"]);
  assertEquals([...Deno.readDirSync(`${at}/keep`)].length, 1);
  Deno.symlinkSync("keep", `${at}/link`);
  await fs.remove(`${at}/link`, { recursive: true });
  assertEquals([...Deno.readDirSync(`${at}/keep`)].length, 1);
  Deno.mkdirSync(`${at}/empty`);
  await fs.remove(`${at}/empty`);
  await fs.mkdir(`${at}/a/b//c/`, { recursive: true });
  await fs.mkdir(`${at}/a/b/c`, { recursive: true });
  assert(Deno.statSync(`${at}/a/b/c`).isDirectory);
});

agentTest(
  "what is named by its last part has its new name, and replaces what had it",
  async ({ fs }, at) => {
    Deno.writeTextFileSync(`${at}/a`, "a");
    Deno.writeTextFileSync(`${at}/b`, "b");
    await fs.rename(`${at}/a`, `${at}/b`);
    assertEquals([...Deno.readDirSync(at)].map(({ name }) => name), ["b"]);
    assertEquals(Deno.readTextFileSync(`${at}/b`), "a");
  },
);

agentTest("a request that is not whole, or no request, is refused", async (stand) => {
  const head = words(0, UNCHANGED);
  for (const type of [FRAME.read, FRAME.stat, FRAME.rename, FRAME.watch, FRAME.remove]) {
    using session = await stand.raw();
    const path = type === FRAME.rename ? texts("/tmp/x") : new TextEncoder().encode("/tmp/x"); // no end, or no other
    await session.send(frame(type, head, path));
    assertEquals(word(await session.expect(FRAME.error), 0), 22, `type ${type}`);
    assertEquals(await session.rest(), []);
  }
  using session = await stand.raw(); // a write that is followed by something else is none
  await session.send(
    frame(FRAME.write, head, texts("/dev/null")),
    frame(FRAME.read, head, texts("/")),
  );
  assertEquals(await session.rest(), []);
});

agentTest("a port's bytes go both ways, each until its own end", async ({ ports }) => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const [there, back] = [randomBytes(16_000_000), randomBytes(1_000_000)];
  const serving = (async () => {
    using server = await listener.accept();
    for (let done = 0; done < back.length;) done += await server.write(back.subarray(done));
    await server.closeWrite(); // the other way goes on
    await delay(200); // until nothing more fits on its way
    const received = new Uint8Array(there.length + 1);
    let at = 0;
    for (
      let n = await server.read(received);
      n !== null;
      n = await server.read(received.subarray(at))
    ) {
      at += n;
    }
    return received.subarray(0, at);
  })();
  const { port } = listener.addr as Deno.NetAddr;
  await using connection = await ports.connect(port);
  assertEquals(await new Response(connection.readable).bytes(), back);
  const writer = connection.writable.getWriter();
  await writer.write(there);
  await writer.close();
  assertEquals(firstDifference(await serving, there), -1);
  const free = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const closed = (free.addr as Deno.NetAddr).port;
  free.close();
  await assertRejects(() => ports.connect(closed), VmError, "Nobody listens");
  const reason = new Error("enough");
  const late = new AbortController();
  const call = ports.connect(port, late.signal);
  late.abort(reason); // while the agent is being called
  assertEquals(await assertRejects(() => call), reason);
  const over = AbortSignal.abort(reason);
  assertEquals(await assertRejects(() => ports.connect(port, over)), reason);
});

agentTest("a signal ends reading, writing and copying with its reason", async ({ fs }, at) => {
  const reason = new Error("enough");
  const reading = new AbortController();
  const endless = fs.readFile("/dev/zero", { signal: reading.signal });
  const writing = new AbortController();
  let cancelled: unknown;
  const stuck = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new Uint8Array(10)),
    cancel: (why) => void (cancelled = why),
  });
  const half = fs.writeFile(`${at}/half`, stuck, { signal: writing.signal });
  const size = () => Deno.statSync(`${at}/half`).size;
  while (await fs.stat(`${at}/half`).then(size, () => 0) < 10) await delay(10);
  const ended = [endless, half].map((copying) => assertRejects(() => copying)); // each is waited for from now on
  reading.abort(reason);
  writing.abort(reason);
  assertEquals(await Promise.all(ended), [reason, reason]);
  assertEquals([cancelled, size()], [reason, 10]);
  const signal = AbortSignal.abort(reason);
  for (
    const never of [
      () => fs.readTextFile(`${at}/half`, { signal }),
      () => fs.upload(at, `${at}/copy`, { signal }),
      () => fs.download(at, `${at}/copy`, { signal }),
    ]
  ) assertEquals(await assertRejects(never), reason);
  assertEquals([...Deno.readDirSync(at)].map(({ name }) => name), ["half"]);
});
