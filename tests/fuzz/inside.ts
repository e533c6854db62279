/**
 * `deno task fuzz --inside`: the fuzzer's cases from inside a VM, for as long as asked. A volley after the other, each
 * with the seed behind the one before; the first that fails is the last. Used by `main.ts`.
 */
import { Machine } from "../../src/machine/machine.ts";
import { kvmRefusal } from "../support/kvm.ts";
import { type Fire, type Fired, HostileGround } from "./hostile_machine.ts";

const MINUTE_MS = 60_000;
const PROCESSORS = 2;
const SCENES = 30;
/** A scene that is fired alone meets another moment each time. */
const TRIES = 3;

/** What is asked for. */
export interface InsideOptions {
  readonly minutes: number;
  readonly seed: number;
  /** Of `FIRE_ROWS`. */
  readonly device: string | undefined;
  readonly steps: number;
}

/** Returns the exit status: 0 when nothing was found. */
export async function fuzzInside({ minutes, seed, device, steps }: InsideOptions): Promise<number> {
  const refusal = kvmRefusal();
  if (refusal !== undefined) {
    console.error(`error: ${refusal}`);
    return 2;
  }
  await using ground = new HostileGround();
  const until = performance.now() + minutes * MINUTE_MS;
  const total = { volleys: 0, shots: 0, checks: 0, faults: 0 };
  let told = performance.now();
  do {
    const fire = { processors: PROCESSORS, scenes: SCENES, steps, row: device };
    const volley: Fire = { ...fire, seed: seed + total.volleys };
    const fired = await tryToFire(ground, volley);
    if (fired instanceof Error) {
      await explain(ground, volley, fired);
      return 1;
    }
    total.volleys++;
    total.shots += fired.shots;
    total.checks += fired.checks;
    total.faults += fired.faults;
    if (performance.now() - told > MINUTE_MS / 2) {
      told = performance.now();
      const rssMib = Math.round(Deno.memoryUsage().rss / 2 ** 20);
      console.error(JSON.stringify({ ...total, frames: ground.frames, rssMib }));
    }
  } while (performance.now() < until);
  console.log(`${JSON.stringify(total)}, 0 findings`);
  Machine.endIdleThreads();
  return 0;
}

async function tryToFire(ground: HostileGround, volley: Fire): Promise<Fired | Error> {
  try {
    return await ground.fire(volley);
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Says what failed, how to have it again, and which scene of the volley does it alone. */
async function explain(ground: HostileGround, volley: Fire, failure: Error): Promise<void> {
  const { seed, steps, row } = volley;
  const only = row === undefined ? "" : ` --device "${row}"`;
  console.log(`\nseed ${seed}: ${failure.message}`);
  console.log(
    `again: deno task fuzz --inside --minutes 0.01 --seed ${seed} --steps ${steps}${only}`,
  );
  for (let scene = 0; scene < volley.scenes; scene++) {
    for (let i = 0; i < TRIES; i++) {
      const fired = await tryToFire(ground, { ...volley, scene });
      if (!(fired instanceof Error)) continue;
      console.log(`scene ${scene} alone: ${fired.message}`);
      return;
    }
  }
  console.log("no scene of it does that alone");
}
