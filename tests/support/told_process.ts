/** A machine in a process of its own, and what it says (`told_machine.ts`). */
import type { MachineConfig } from "../../src/machine/config.ts";
import type { MachineExit } from "../../src/machine/exit.ts";
import { fail } from "../../src/std/assert.ts";
import { CliProcess } from "./cli_process.ts";
import type { Told } from "./told_machine.ts";

const MODULE = new URL("./told_machine.ts", import.meta.url).pathname;

export class ToldProcess implements AsyncDisposable {
  readonly process: CliProcess;

  constructor(config: MachineConfig, prefix: readonly string[] = [], limitMs = 60_000) {
    this.process = CliProcess.spawn([JSON.stringify(config)], {
      module: MODULE,
      prefix,
      stdin: "open",
      limitMs,
    });
  }

  get #told(): Told[] {
    const complete = this.process.stdout.split("\n").slice(0, -1);
    return complete.map((line): Told => JSON.parse(line));
  }

  /** Failures of devices it has heard of: `block0: Cannot write …`. */
  get failures(): string[] {
    return this.#told.flatMap((told) =>
      told.type === "failure" ? [`${told.failure.device}: ${told.failure.message}`] : []
    );
  }

  /** What it has logged. */
  get log(): string[] {
    return this.#told.flatMap((told) => told.type === "log" ? [told.line] : []);
  }

  /** Waits until it has heard of one. */
  async failure(): Promise<string> {
    await this.process.waitFor(`"type":"failure"`);
    return this.failures[0] ?? fail("it has");
  }

  /** Waits until there is a machine: its files are open. */
  async created(): Promise<void> {
    await this.process.waitFor(`"type":"created"`);
  }

  /** Lets the guest run. */
  async start(): Promise<void> {
    await this.created();
    await this.process.write("start\n");
  }

  async stop(): Promise<void> {
    await this.process.write("stop\n");
  }

  /** Waits for the machine's end. */
  async exit(ms = 40_000): Promise<MachineExit> {
    return (await this.last(ms)).exit;
  }

  /** The same, with what is left of the machine. */
  async last(ms = 40_000): Promise<Extract<Told, { type: "exit" }>> {
    await this.process.waitFor(`"type":"exit"`, { ms });
    const last = this.#told.find((told) => told.type === "exit");
    return last?.type === "exit" ? last : fail("it has ended");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
  }
}
