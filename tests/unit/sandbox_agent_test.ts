/** The agent as the sandbox sees it: its greeting, calls that need a second try, and commands that do not start. */
import type { VsockConnection, VsockListener } from "../../src/machine/mod.ts";
import { Agent, type AgentMachine } from "../../src/sandbox/agent.ts";
import { AgentError, VmError } from "../../src/sandbox/errors.ts";
import { FRAME, frame, words } from "../../src/sandbox/protocol.ts";
import { assertEquals, assertRejects } from "../../src/std/assert.ts";

/** A call on which the guest says `frames` and hangs up. */
function call(...frames: Uint8Array<ArrayBuffer>[]): VsockConnection {
  return {
    readable: ReadableStream.from(frames),
    writable: new WritableStream(),
    close: () => {},
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** A machine whose agent greets with `greeting`; `answers` are what calls to it come to. */
function machine(greeting: VsockConnection, answers: (VsockConnection | Error)[]) {
  const told = { calls: 0, status: "running" as AgentMachine["status"] };
  const listener: VsockListener = {
    port: 1024,
    accept: () => Promise.resolve(greeting),
    close: () => {},
    async *[Symbol.asyncIterator]() {},
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const agentMachine: AgentMachine = {
    get status() {
      return told.status;
    },
    listen: () => listener,
    connect: () => {
      const answer = answers[told.calls++] ?? new Error("no more");
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
    },
  };
  return { agent: new Agent(agentMachine), told };
}

const COMMAND = {
  words: ["prog", "arg"],
  environment: [],
  clearEnvironment: false,
  directory: "/dir",
  user: undefined,
  group: undefined,
  groups: [],
  input: "null",
  output: "piped",
  errors: "piped",
  terminal: undefined,
} as const;

Deno.test("a greeting in another version, or none, is an agent's error", async () => {
  for (const said of [frame(FRAME.hello, words(2, 10)), frame(FRAME.done), undefined]) {
    const { agent } = machine(call(...(said === undefined ? [] : [said])), []);
    const error = await assertRejects(() => agent.ready(), AgentError);
    assertEquals(error.code, "AGENT_VERSION");
  }
  await machine(call(frame(FRAME.hello, words(1, 10))), []).agent.ready();
});

Deno.test("a guest that does not answer in time is called again, while it runs", async () => {
  const refused = new Error("refused");
  const busy = machine(call(), [refused, refused, call()]);
  await busy.agent.open();
  assertEquals(busy.told.calls, 3);
  const dead = machine(call(), []);
  dead.told.status = "stopped";
  assertEquals((await assertRejects(() => dead.agent.open(), AgentError)).code, "AGENT_GONE");
  assertEquals(dead.told.calls, 1);
  const deaf = machine(call(), []);
  await assertRejects(() => deaf.agent.open(), AgentError);
  assertEquals(deaf.told.calls, 40);
});

const FAILURES: readonly (readonly [stage: number, errno: number, code: string])[] = [
  [0, 12, "COMMAND_FAILED_TO_START"],
  [1, 1, "USER_INVALID"],
  [2, 2, "CWD_INVALID"],
  [3, 2, "COMMAND_NOT_FOUND"],
  [3, 13, "COMMAND_NOT_PROGRAM"],
  [3, 8, "COMMAND_FAILED_TO_START"],
  [9, 1, "COMMAND_FAILED_TO_START"],
];
for (const [stage, errno, code] of FAILURES) {
  Deno.test(`a command that fails in stage ${stage} with errno ${errno} is ${code}`, async () => {
    const { agent } = machine(call(), [call(frame(FRAME.failed, words(stage, errno)))]);
    const error = await assertRejects(() => agent.spawn(COMMAND, undefined), VmError);
    assertEquals(error.code, code);
  });
}

Deno.test("an agent that hangs up, or sends half a frame, is gone", async () => {
  for (const frames of [[], [frame(FRAME.started, words(1)).slice(0, 9)]]) {
    const { agent } = machine(call(), [call(...frames)]);
    const error = await assertRejects(() => agent.spawn(COMMAND, undefined), AgentError);
    assertEquals(error.code, "AGENT_GONE");
  }
});

Deno.test("a command whose agent goes away has no status, and its output no end", async () => {
  const { agent } = machine(call(), [
    call(frame(FRAME.started, words(7)), frame(FRAME.output, new Uint8Array(3))),
  ]);
  await using child = await agent.spawn(COMMAND, undefined);
  assertEquals(child.pid, 7);
  await assertRejects(() => child.status, AgentError);
  const reader = child.stdout.getReader();
  assertEquals((await reader.read()).value?.length, 3);
  await assertRejects(() => reader.read(), AgentError);
});

Deno.test("a guest is called eight times at once at most, and everybody gets through", async () => {
  const waiting: PromiseWithResolvers<VsockConnection>[] = [];
  const slow = new Agent({
    status: "running",
    listen: () => ({ close: () => {} }) as VsockListener,
    connect: () => {
      const answer = Promise.withResolvers<VsockConnection>();
      waiting.push(answer);
      return answer.promise;
    },
  });
  const all = Array.from({ length: 30 }, () => slow.open());
  for (let done = 0; done < 30; done++) {
    await new Promise((resolve) => setTimeout(resolve));
    assertEquals(waiting.length, Math.min(30, done + 8));
    waiting[done]?.resolve(call());
  }
  assertEquals((await Promise.all(all)).length, 30);
});
