/**
 * The fuzzer's cases from inside a VM, by two processors at once, and a machine that works beside it, on the same I/O
 * thread. `deno task fuzz --inside` fires for longer.
 */
import { Machine } from "../../src/machine/machine.ts";
import { assert } from "../../src/std/assert.ts";
import { HostileGround } from "../fuzz/hostile_machine.ts";
import { assertNothingLeft, type HostState, settledState } from "../support/host_state.ts";
import { byHost } from "../support/host_kind.ts";
import { kvmTest, SLOWNESS, tinyConfig } from "../support/kvm.ts";
import { SteadyGuest, type SteadyTimes } from "../support/steady_guest.ts";

const FIXED_SEED = 1;
const VOLLEY = { processors: 2, scenes: 30, steps: 100 } as const;
const LEAST_VOLLEYS = 3;
/** Work of half a second alone at least; what goes on beside the fire is as many times as much as takes two seconds. */
const ROUNDS = byHost({ hardware: 40_000, emulated: 16_000, nested: 2000 });
/** The neighbour and the machine under fire have five busy threads between them: a host of two processors shares. */
const ALONE_MS = 2000;
const MOST_REPEATS = 8;
const MOST_TIMES = 20;
const MOST_MORE_MS = 10_000;
/** No device may hold others up for long. A busy host may: in the neighbour's time alone, too, or not again. */
const STALL_MS = 700;
const STALL_TIMES = 5;
const ATTEMPTS = 3;
/**
 * Calls from the host come in bursts, for which Deno has up to some 30 threads more: they end when they have idled for
 * ten seconds, and the allocator keeps an arena of each. Descriptors and kvm_run pages are counted exactly.
 */
const MOST_POOL_MAPPINGS = 160;

kvmTest(
  "a machine works undisturbed beside one that fires the fuzzer's cases from two processors",
  async () => {
    await using ground = new HostileGround();
    // Once for the threads and memory that a process has after that for good.
    await work(ROUNDS / 100, () => fire(ground, FIXED_SEED));
    const short = await work(ROUNDS);
    const repeats = Math.min(MOST_REPEATS, Math.max(1, Math.round(ALONE_MS / short.ms)));
    const alone = { ms: short.ms * repeats, worstMs: short.worstMs };
    const before = await stateWithoutThreads();
    const base = crypto.getRandomValues(new Uint16Array(1))[0] ?? 0;
    for (let attempt = 1;; attempt++) {
      const total = { volleys: 0, shots: 0, checks: 0, faults: 0 };
      const beside = await work(ROUNDS * repeats, async (isRunning) => {
        while (total.volleys < LEAST_VOLLEYS || isRunning()) {
          const seed = total.volleys === 0 ? FIXED_SEED : base + total.volleys;
          const fired = await fire(ground, seed);
          total.volleys++;
          total.shots += fired.shots;
          total.checks += fired.checks;
          total.faults += fired.faults;
        }
      });
      console.log(
        `seeds ${FIXED_SEED} and from ${base + 1} on: ${JSON.stringify(total)}; ` +
          `the neighbour took ${described(beside)}, alone ${described(alone)}: ` +
          `${(beside.ms / alone.ms).toFixed(1)} times`,
      );
      assert(total.checks > 0 && total.faults > 0 && ground.frames > 0, "nothing was hit");
      const most = MOST_MORE_MS * SLOWNESS + MOST_TIMES * alone.ms;
      const mostForRound = STALL_MS * SLOWNESS + STALL_TIMES * alone.worstMs;
      if (beside.ms < most && beside.worstMs < mostForRound) break;
      assert(attempt < ATTEMPTS, `the neighbour was held up again: ${described(beside)}`);
    }
    const mappings = before.mappings + MOST_POOL_MAPPINGS;
    assertNothingLeft({ ...before, mappings }, await stateWithoutThreads());
  },
  { limitMs: 240_000 },
);

/** Threads that wait for the next machine hold descriptors, and there are as many as there were vCPUs at once. */
async function stateWithoutThreads(): Promise<HostState> {
  Machine.endIdleThreads();
  return await settledState();
}

function described({ ms, worstMs }: SteadyTimes): string {
  return `${Math.round(ms)} ms, ${worstMs.toFixed(1)} ms for its slowest round`;
}

async function fire(ground: HostileGround, seed: number) {
  try {
    return await ground.fire({ ...VOLLEY, seed });
  } catch (error) {
    const again = `deno task fuzz --inside --seed ${seed} --steps ${VOLLEY.steps} --minutes 0.01`;
    throw new Error(`seed ${seed} (${again}): ${error instanceof Error ? error.message : error}`);
  }
}

/** The neighbour's times for `rounds`, with a machine that `meanwhile` starts on the same I/O thread. */
async function work(
  rounds: number,
  meanwhile: (isRunning: () => boolean) => Promise<unknown> = () => Promise.resolve(),
): Promise<SteadyTimes> {
  Machine.endIdleThreads();
  await using neighbour = await SteadyGuest.create(rounds);
  // A machine goes to the thread with the fewest others: with one on each of the rest, that is the neighbour's.
  await using others = new AsyncDisposableStack();
  for (let i = 1; i < navigator.hardwareConcurrency; i++) {
    others.use(await Machine.create(await tinyConfig({ words: "test=idle" })));
  }
  neighbour.start();
  await meanwhile(() => neighbour.isRunning);
  return await neighbour.result();
}
