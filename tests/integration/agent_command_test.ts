/** Commands as the agent runs them: its very C, on this host. Needs no KVM. */
import { execFrame, FRAME, type Frame, frame, word, words } from "../../src/sandbox/protocol.ts";
import { VmError } from "../../src/sandbox/errors.ts";
import { assert, assertEquals, assertRejects } from "../../src/std/assert.ts";
import { agentTest, commandOf, INPUT_WINDOW, type RawSession } from "../support/agent_stand.ts";
import { delay, until } from "../support/kvm.ts";

const encoder = new TextEncoder();
const MIB = 2 ** 20;

/** Whether a process is there and no zombie. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
  } catch {
    return false;
  }
}

async function codeOf(work: () => Promise<unknown>): Promise<string> {
  return (await assertRejects(work, VmError)).code;
}

/** How many bytes of output or errors have come when `count` have, and none more within a while. */
async function bytesOf(session: RawSession, type: number, count: number): Promise<number> {
  let bytes = 0;
  const more = (async () => {
    for (;;) bytes += (await session.expect(type)).bytes.length;
  })();
  more.catch(() => {}); // the session's end
  await until(`${count} bytes have come`, () => bytes >= count);
  await delay(100); // no event tells that nothing comes
  return bytes;
}

agentTest("both outputs arrive whole, however much, next to each other", async (stand) => {
  const script =
    "i=0; while [ $i -lt 2000 ]; do echo out $i $0; echo err $i $0 >&2; i=$((i+1)); done";
  await using child = await stand.spawn(["sh", "-c", script, "x".repeat(500)]);
  const { stdout, stderr, code } = await child.output();
  const lines = (word: string) =>
    Array.from({ length: 2000 }, (_, i) => `${word} ${i} ${"x".repeat(500)}\n`).join("");
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assertEquals([out === lines("out"), err === lines("err"), code], [true, true, 0]);
});

agentTest("input arrives whole at a command that takes its time", async (stand) => {
  const data = crypto.getRandomValues(new Uint8Array(60_000));
  const all = new Uint8Array(MIB);
  for (let at = 0; at < all.length; at += data.length) {
    all.set(data.subarray(0, all.length - at), at);
  }
  await using child = await stand.spawn(["sh", "-c", "sleep 0.2; exec cat"], { input: true });
  const feeding = ReadableStream.from([all]).pipeTo(child.stdin);
  const { stdout, code } = await child.output();
  await feeding;
  assertEquals([stdout.length, code], [all.length, 0]);
  assert(stdout.every((byte, i) => byte === all[i]));
});

for (const [which, type] of [[0, FRAME.output], [1, FRAME.errors]] as const) {
  agentTest(`no more of output ${which} is sent than there is room for`, async (stand) => {
    using session = await stand.raw();
    const line = which === 0 ? "exec yes" : "exec yes >&2";
    const only = { output: which === 0, errors: which === 1 };
    await session.start(commandOf(["sh", "-c", line], only), 1000);
    assertEquals(await bytesOf(session, type, 1000), 1000);
    await session.credit(which, 77);
    await session.credit(1 - which, 1000); // of the other
  });
}

agentTest("room that is given is used to the last byte", async (stand) => {
  using session = await stand.raw();
  await session.start(commandOf(["sh", "-c", "exec yes"]), 10);
  let bytes = (await session.expect(FRAME.output)).bytes.length;
  for (const more of [1, 100_000, 3]) {
    await session.credit(0, more);
    for (const wanted = bytes + more; bytes < wanted;) {
      bytes += (await session.expect(FRAME.output)).bytes.length;
    }
  }
  assertEquals(bytes, 10 + 1 + 100_000 + 3);
});

agentTest("more input than there is room for ends the session and the command", async (stand) => {
  using session = await stand.raw();
  const pid = await session.start(commandOf(["sleep", "1000"], { input: true }));
  const piece = frame(FRAME.input, new Uint8Array(32_768));
  // What is in the command's pipe counts as taken: beyond pipe and window there is no room.
  for (let sent = 0; sent <= 2 * INPUT_WINDOW + MIB && await session.send(piece); sent += 32_768);
  await until("the command is gone", () => !isAlive(pid));
  for (const { type } of await session.rest().catch((): Frame[] => [])) {
    assert(type === FRAME.inputTaken, `frame ${type}`);
  }
});

agentTest("a command that has closed its input is told of", async (stand) => {
  using session = await stand.raw();
  const line = "exec <&-; echo closed; exec sleep 1000";
  await session.start(commandOf(["sh", "-c", line], { input: true }), 100);
  await session.expect(FRAME.output);
  await session.send(frame(FRAME.input, encoder.encode("nobody reads this")));
  await session.expect(FRAME.inputClosed);
});

agentTest("codes and signals are those of the command", async (stand) => {
  assertEquals((await stand.sh("exit 0")).code, 0);
  assertEquals((await stand.sh("exit 255")).code, 255);
  await using killed = await stand.spawn(["sh", "-c", "kill -KILL $$"]);
  const { code, signal } = await killed.status;
  assertEquals([code, signal], [137, "SIGKILL"]);
  // Its children are its own: it hears of their ends, and a broken pipe ends them.
  assertEquals((await stand.sh("(exit 5) & wait $!; exit $?")).code, 5);
  assertEquals((await stand.sh("yes | head -n 1; exit 3")).text, "y\n");
  const ignored = parseInt((await stand.sh("grep SigIgn /proc/self/status")).text.slice(8), 16);
  assertEquals(ignored % 2 ** 31, 0, "but those of real time, which this host may ignore");
});

agentTest("a signal reaches the command and all it has started", async (stand) => {
  await using child = await stand.spawn(["sh", "-c", "sleep 1000 & echo $!; wait"]);
  const reader = child.stdout.getReader();
  const sleeper = Number(new TextDecoder().decode((await reader.read()).value));
  assert(isAlive(sleeper));
  child.kill("SIGTERM");
  assertEquals((await child.status).signal, "SIGTERM");
  await until("its child is gone", () => !isAlive(sleeper));
  reader.releaseLock();
});

agentTest(
  "when the host hangs up, the command and all it has started are killed",
  async (stand) => {
    const child = await stand.spawn(["sh", "-c", "trap '' TERM HUP; sleep 1000 & echo $!; wait"]);
    const reader = child.stdout.getReader();
    const sleeper = Number(new TextDecoder().decode((await reader.read()).value));
    assert(isAlive(sleeper) && isAlive(child.pid));
    reader.releaseLock();
    await child[Symbol.asyncDispose]();
    await until("both are gone", () => !isAlive(sleeper) && !isAlive(child.pid));
  },
);

agentTest("the session goes on until nobody writes the output any more", async (stand) => {
  await using child = await stand.spawn(["sh", "-c", "(sleep 0.3; echo late) & echo early"]);
  assertEquals((await child.status).code, 0);
  assertEquals(await child.stdout.text(), "early\nlate\n");
});

agentTest("a signal after the command's end is for nobody, its leftovers go on", async (stand) => {
  using session = await stand.raw();
  await session.start(commandOf(["sh", "-c", "(sleep 0.3; echo late) &"], { errors: false }), 100);
  await session.expect(FRAME.exit);
  await session.send(frame(FRAME.signal, words(15)));
  assertEquals(new TextDecoder().decode((await session.expect(FRAME.output)).bytes), "late\n");
});

agentTest("what nobody reads any more breaks the command's pipe", async (stand) => {
  for (const type of [FRAME.output, FRAME.errors]) {
    using session = await stand.raw();
    const which = type - FRAME.output;
    const only = { output: which === 0, errors: which === 1 };
    await session.start(commandOf(["sh", "-c", `exec yes ${which === 0 ? "" : ">&2"}`], only), 10);
    await session.expect(type);
    await session.send(frame(FRAME.close, words(which)));
    for (;;) { // the other output ends as well
      const next = await session.next();
      if (next?.type !== FRAME.exit) continue;
      assertEquals([word(next, 0), word(next, 1)], [0, 13]);
      break;
    }
  }
});

agentTest("a command has its three files and no other", async (stand) => {
  const list =
    "ls -l /proc/self/fd | sed -n 's/.* \\([0-9]*\\) -> \\(.*\\)/\\1 \\2/p' | sed 's/\\[.*//'";
  const files = async (more = {}) => (await stand.sh(list, more)).text.trim().split("\n");
  const listed = ["0 /dev/null", "1 pipe:", "2 pipe:"];
  assertEquals((await files()).slice(0, 3), listed);
  assertEquals((await files()).length, 4); // and the directory that ls reads
  assertEquals((await files({ input: true }))[0], "0 pipe:");
  assertEquals((await files({ errors: false }))[2], "2 /dev/null");
  assertEquals((await files({ input: true, terminal: { columns: 80, rows: 24 } })).length, 4);
});

agentTest("a session that has ended its command's files does not keep them open", async (stand) => {
  // Its input ends for the command when it ends here, though the session goes on.
  await using child = await stand.spawn(["sh", "-c", "cat; echo over; sleep 0.1"], { input: true });
  const writer = child.stdin.getWriter();
  await writer.write(encoder.encode("in\n"));
  await writer.close();
  assertEquals((await child.output()).text, "in\nover\n");
});

agentTest("a terminal has its size, can have another, and an end", async (stand) => {
  const terminal = { columns: 91, rows: 33 };
  const { text } = await stand.sh("tty >/dev/null && stty size; stty size <&2", {
    input: true,
    terminal,
  });
  assertEquals(text, "33 91\r\n33 91\r\n");
  await using child = await stand.spawn(["sh", "-c", "read x; stty size; cat; echo end"], {
    input: true,
    terminal,
  });
  child.resize({ columns: 50, rows: 20 });
  const writer = child.stdin.getWriter();
  await writer.write(encoder.encode("go\n"));
  await writer.close();
  assertEquals((await child.output()).text, "go\r\n20 50\r\nend\r\n");
  await using stopped = await stand.spawn(["sleep", "1000"], { input: true, terminal });
  await stopped.stdin.getWriter().write(Uint8Array.of(3)); // it is its controlling terminal: Ctrl-C
  assertEquals((await stopped.status).signal, "SIGINT");
});

agentTest("what cannot be started is said with the reason", async (stand, directory) => {
  Deno.writeTextFileSync(`${directory}/plain`, "text");
  Deno.writeTextFileSync(`${directory}/broken`, "\0\0\0\0", { mode: 0o755 });
  const spawn = (name: string, more = {}) => () => stand.spawn([name], more);
  assertEquals(await codeOf(spawn("no-such-program")), "COMMAND_NOT_FOUND");
  assertEquals(await codeOf(spawn("")), "COMMAND_NOT_FOUND");
  assertEquals(await codeOf(spawn(`${directory}/no`)), "COMMAND_NOT_FOUND");
  assertEquals(await codeOf(spawn(`${directory}/plain`)), "COMMAND_NOT_PROGRAM");
  assertEquals(
    await codeOf(spawn("plain", { environment: [`PATH=${directory}`] })),
    "COMMAND_NOT_PROGRAM",
  );
  assertEquals(await codeOf(spawn(`${directory}/broken`)), "COMMAND_FAILED_TO_START");
  assertEquals(await codeOf(spawn("ls", { directory: `${directory}/no` })), "CWD_INVALID");
  // The first place in PATH that has it counts, one where it is no program does not.
  Deno.mkdirSync(`${directory}/bin`);
  Deno.writeTextFileSync(`${directory}/bin/plain`, "#!/bin/sh\necho found", { mode: 0o755 });
  const environment = [`PATH=/nowhere:${directory}/plain:${directory}:${directory}/bin`];
  await using child = await stand.spawn(["plain"], { environment });
  assertEquals((await child.output()).text, "found\n");
});

agentTest("variables and directory are as asked", async (stand, directory) => {
  const show = "pwd; env | grep -E '^(A|PATH|HOME|LONGER)=' | sort";
  const { text } = await stand.sh(show, {
    environment: ["A=b", "HOME=/h", "LONGER=x", "PAT=1", "PATHS=2"],
    directory,
  });
  assertEquals(text, `${directory}\nA=b\nHOME=/h\nLONGER=x\nPATH=/usr/bin:/bin\n`);
  await using bare = await stand.spawn(["/usr/bin/env"], {
    clearEnvironment: true,
    environment: ["B=c"],
  });
  assertEquals((await bare.output()).text, "B=c\n");
});

agentTest("user and group are as asked, without the groups of root", async (stand) => {
  if (Deno.uid() !== 0) return console.log("ignored: only root may become another user");
  const { text } = await stand.sh("id -u; id -g; id -G; grep ^Uid /proc/self/status", {
    user: 1234,
    group: 5678,
  });
  assertEquals(text, "1234\n5678\n5678\nUid:\t1234\t1234\t1234\t1234\n");
});

agentTest("frames may come byte by byte, and many at once", async (stand) => {
  using session = await stand.raw();
  const start = execFrame({ ...commandOf(["cat"], { input: true }), credit: 1000 });
  for (const byte of start) await session.send(Uint8Array.of(byte));
  await session.expect(FRAME.started);
  const one = frame(FRAME.input, encoder.encode("ab"));
  for (const byte of one) {
    await session.send(Uint8Array.of(byte));
    await delay(5); // or the agent would take several at once
  }
  const many = Array.from({ length: 50 }, () => [...one]).flat();
  await session.send(Uint8Array.from([...many, ...frame(FRAME.inputEnd)]));
  let text = "";
  let taken = 0;
  for (const next of await session.rest()) {
    if (next.type === FRAME.output) text += new TextDecoder().decode(next.bytes);
    if (next.type === FRAME.inputTaken) taken += word(next, 0);
  }
  assertEquals([text, taken], ["ab".repeat(51), 102]);
});

agentTest("what is no frame ends the session, and its command", async (stand) => {
  const bad = [
    words(FRAME.input, 65_537),
    words(FRAME.input, 0xffff_ffff),
    frame(99),
    frame(FRAME.exec),
  ];
  for (const bytes of bad) {
    using session = await stand.raw();
    const pid = await session.start(commandOf(["sleep", "1000"], { input: true }));
    await session.send(bytes);
    assertEquals(await session.rest(), []);
    await until("the command is gone", () => !isAlive(pid));
  }
});

agentTest("a first frame that makes no sense is refused, or ends the session", async (stand) => {
  const head = (wordCount: number, variables: number) =>
    words(0, 0xffff_ffff, 0xffff_ffff, 0, 0, 9, 9, wordCount, variables, 0);
  const texts = (count: number) => encoder.encode("\0".repeat(count));
  const refused: readonly (readonly [Uint8Array, errno: number])[] = [
    [frame(FRAME.exec), 22],
    [frame(FRAME.exec, head(1, 0)), 22], // no directory
    [frame(FRAME.exec, head(1, 0), texts(1)), 22], // no word
    [frame(FRAME.exec, head(1, 1), texts(2)), 22], // no variable
    [frame(FRAME.exec, head(1, 0), encoder.encode("\0sh")), 22], // no end
    [frame(FRAME.exec, head(0, 0), texts(1)), 7],
    [frame(FRAME.exec, head(4097, 0), texts(5000)), 7],
    [frame(FRAME.exec, head(1, 4097), texts(5000)), 7],
  ];
  for (const [bytes, errno] of refused) {
    using session = await stand.raw();
    await session.send(bytes);
    const answer = await session.expect(FRAME.failed);
    assertEquals([word(answer, 0), word(answer, 1)], [0, errno]);
    assertEquals(await session.rest(), []);
  }
  for (
    const bytes of [
      frame(77, words(0, 0), texts(1)),
      frame(FRAME.read, words(0, 0)),
      frame(FRAME.read),
    ]
  ) {
    using session = await stand.raw();
    await session.send(bytes);
    assertEquals(word(await session.expect(FRAME.error), 0), 22);
  }
  using session = await stand.raw();
  await session.send(words(FRAME.exec, 65_537));
  assertEquals(await session.rest(), []);
});

agentTest("a command with as many words as fit starts", async (stand) => {
  const many = Array.from({ length: 4000 }, (_, i) => `${i % 10}`);
  await using child = await stand.spawn([
    "sh",
    "-c",
    "echo $# ${4000}",
    "sh",
    ...many.slice(0, 4000),
  ]);
  assertEquals((await child.output()).text, `4000 ${many[3999]}\n`);
});
