/**
 * A program that runs a machine and says what it hears, a JSON object a line: for tests of a host that is put together for
 * the occasion (a small disk, few descriptors, a network of its own) and so has to be another process.
 *
 *     deno run -A told_machine.ts CONFIG        stdin: "start" starts the machine, "stop" ends it
 */
import type { MachineConfig } from "../../src/machine/config.ts";
import { Machine } from "../../src/machine/machine.ts";
import type { MachineExit } from "../../src/machine/exit.ts";
import type { BackendFailure } from "../../src/machine/machine_options.ts";

/** What it says. */
export type Told =
  | { readonly type: "created" }
  | { readonly type: "failure"; readonly failure: BackendFailure }
  | { readonly type: "log"; readonly line: string }
  /** `kept`: mappings as large as the guest's memory that the machine has left. */
  | { readonly type: "exit"; readonly exit: MachineExit; readonly kept: number };

function tell(told: Told): void {
  console.log(JSON.stringify(told));
}

function largeMappings(bytes: number): number {
  return Deno.readTextFileSync("/proc/self/maps").split("\n").filter((line) => {
    const [, from = "0", to = "0"] = /^([0-9a-f]+)-([0-9a-f]+) rw-p /.exec(line) ?? [];
    return parseInt(to, 16) - parseInt(from, 16) >= bytes;
  }).length;
}

async function main(config: MachineConfig): Promise<void> {
  const ramBytes = config.memoryMib * 2 ** 20;
  const before = largeMappings(ramBytes);
  const machine = await Machine.create(config, {
    events: {
      backendFailed: (failure) => tell({ type: "failure", failure }),
      log: (line) => tell({ type: "log", line }),
    },
  });
  tell({ type: "created" });
  const orders = Deno.stdin.readable.pipeThrough(new TextDecoderStream()).getReader();
  const obey = async () => {
    for (let order = await orders.read(); !order.done; order = await orders.read()) {
      if (order.value.includes("start")) machine.start();
      if (order.value.includes("stop")) await machine.stop();
    }
  };
  obey();
  const exit = await machine.exited;
  tell({ type: "exit", exit, kept: largeMappings(ramBytes) - before });
}

if (import.meta.main) {
  await main(JSON.parse(Deno.args[0] ?? ""));
  Deno.exit(0); // without waiting for stdin, or for threads that hang
}
