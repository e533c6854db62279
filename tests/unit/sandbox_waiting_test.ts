/** Waiting for something in the guest: what is asked again, and what ends the wait. */
import { AgentError, VmError } from "../../src/sandbox/errors.ts";
import { type Asking, waitFor, type WaitTarget } from "../../src/sandbox/waiting.ts";
import { assertEquals, assertRejects } from "../../src/std/assert.ts";

const REFUSED = new VmError("nobody", "PORT_REFUSED");
const MISSING = new Deno.errors.NotFound("nothing");
const UNANSWERED = new TypeError("no answer");
const GONE = new AgentError("gone", "AGENT_GONE");

/** Fails with each of `errors` in turn, then answers with each of `answers`, the last one again and again. */
function asking(errors: Error[], answers: number[] = [0]): Asking & { readonly asked: number } {
  let asked = 0;
  const ask = (): Promise<number> => {
    const error = errors[asked];
    const answer = answers[Math.min(asked - errors.length, answers.length - 1)] ?? 0;
    asked++;
    return error === undefined ? Promise.resolve(answer) : Promise.reject(error);
  };
  const done = async (): Promise<void> => void await ask();
  return {
    port: done,
    file: done,
    command: ask,
    http: ask,
    get asked() {
      return asked;
    },
  };
}

const CASES: readonly (readonly [WaitTarget, Error[], answers: number[], asked: number])[] = [
  [{ port: 80 }, [REFUSED, REFUSED], [0], 3],
  [{ file: "/x" }, [MISSING], [0], 2],
  [{ command: "x" }, [], [1, 1, 0], 3],
  [{ http: "http://x/" }, [UNANSWERED], [503, 404], 3],
  [{ http: "http://x/", status: 200 }, [], [404, 200], 2],
];
for (const [target, errors, answers, asked] of CASES) {
  Deno.test(`${JSON.stringify(target)} is asked ${asked} times`, async () => {
    const guest = asking(errors, answers);
    await waitFor(target, guest, undefined);
    assertEquals(guest.asked, asked);
  });
}

Deno.test("what time does not mend ends the wait", async () => {
  for (const target of [{ port: 80 }, { file: "/x" }, { http: "http://x/" }]) {
    const guest = asking([GONE]);
    await assertRejects(() => waitFor(target, guest, undefined), AgentError);
    assertEquals(guest.asked, 1);
  }
  // A path with a NUL, an URL that is none.
  await assertRejects(() => waitFor({ file: "/x" }, asking([UNANSWERED]), undefined), TypeError);
  await assertRejects(() => waitFor({ http: "x" }, asking([]), undefined), TypeError);
});

Deno.test("the signal ends the wait, and nothing of it stays", async () => {
  const controller = new AbortController();
  const { signal } = controller;
  let listeners = 0;
  signal.addEventListener = (...args: Parameters<AbortSignal["addEventListener"]>) => {
    listeners++;
    AbortSignal.prototype.addEventListener.apply(signal, args);
  };
  signal.removeEventListener = (...args: Parameters<AbortSignal["removeEventListener"]>) => {
    listeners--;
    AbortSignal.prototype.removeEventListener.apply(signal, args);
  };
  const waiting = waitFor({ command: "x" }, asking([], [1]), signal);
  setTimeout(() => controller.abort(new Error("enough")), 250);
  assertEquals((await assertRejects(() => waiting)).message, "enough");
  assertEquals(listeners, 0);
});
