/** Processes that are kept while they are looked at, and how much memory is theirs and not their guests'. */
import { commandLine } from "../support/cli_process.ts";
import { delay } from "../support/kvm.ts";
import { overheadOf } from "./smaps.ts";

const WARM = new URL("./warm_process.ts", import.meta.url).pathname;
/** Guests that were just started still touch their first pages. */
const SETTLE_MS = 700;
/** A process that goes away with its scope. */
export interface Held extends AsyncDisposable {
  readonly pid: number;
  /** What it printed up to the text that was waited for. */
  readonly output: string;
}

/** Starts `command` and waits until it has printed `text`. */
export async function heldProcess(
  [program = "", ...args]: readonly string[],
  text: string,
): Promise<Held> {
  const child = new Deno.Command(program, {
    args,
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
    env: { DENO_NO_UPDATE_CHECK: "1" },
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let output = "";
  while (!output.includes(text)) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`${program} never printed ${JSON.stringify(text)}: ${output}`);
    output += value;
  }
  return {
    pid: child.pid,
    output,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.status;
      await reader.cancel();
      await child.stdin.close().catch(() => {});
    },
  };
}

/** `count` idle machines in one process. */
export function heldMachines(count: number, memoryMib: number): Promise<Held> {
  return heldProcess(commandLine(["hold", `${count}`, `${memoryMib}`], WARM), "\n");
}

/** MiB of `pid` beyond its guests' RAM, shared pages counted by share (Pss). */
export async function overhead(pid: number, guestMib: number): Promise<number> {
  await delay(SETTLE_MS);
  return overheadOf(Deno.readTextFileSync(`/proc/${pid}/smaps`), guestMib);
}
