/** A machine that does honest work and checks it (`test=steady` of the tiny guest), for tests of what is beside it. */
import { Machine } from "../../src/machine/machine.ts";
import { assertEquals } from "../../src/std/assert.ts";
import { DiskDirectory, firstDifference, generatedText } from "./disk_image.ts";
import { tinyConfig } from "./kvm.ts";

const BLOCK_BYTES = 4096;
const BLOCKS = 64;
const LINE_BYTES = 32;
const FACTORS = { round: 40503, word: 2654435761 } as const;

/** How long the work took. */
export interface SteadyTimes {
  /** All of it, from the machine's start to its end. */
  readonly ms: number;
  /** The slowest round: two disk requests, random numbers, console output. */
  readonly worstMs: number;
}

/** From `create` to `result`. */
export class SteadyGuest implements AsyncDisposable {
  readonly #directory = new DiskDirectory("fast");
  readonly #rounds: number;
  #machine: Machine | undefined;
  #times: Promise<number> | undefined;

  private constructor(rounds: number) {
    this.#rounds = rounds;
  }

  /** Built and not started. */
  static async create(rounds: number): Promise<SteadyGuest> {
    const guest = new SteadyGuest(rounds);
    const config = await tinyConfig({
      words: `test=steady rounds=${rounds}`,
      console: { mode: "file", path: guest.#path("serial") },
      devices: [
        {
          kind: "block",
          path: guest.#directory.empty("disk", BLOCKS * BLOCK_BYTES),
          readOnly: false,
          direct: false,
        },
        { kind: "console", ports: [{ channel: { type: "file", path: guest.#path("console") } }] },
        { kind: "rng" },
      ],
    });
    guest.#machine = await Machine.create(config);
    return guest;
  }

  #path(name: string): string {
    return `${this.#directory.path}/${name}`;
  }

  start(): void {
    const begin = performance.now();
    this.#machine?.start();
    this.#times = this.#machine?.exited.then(() => performance.now() - begin);
  }

  get isRunning(): boolean {
    return this.#machine?.status === "running";
  }

  /** Waits for its end. Throws when anything that it did went wrong. */
  async result(): Promise<SteadyTimes> {
    const ms = await this.#times ?? NaN;
    const text = Deno.readTextFileSync(this.#path("serial"));
    const { reason, status } = await this.#machine?.exited ?? {};
    assertEquals({ reason, status }, { reason: "exit-register", status: 0 }, text);
    const [, wrong, worst, cycles] = /^wrong (\d+)\nworst (\d+)\ncycles (\d+)\n$/.exec(text) ?? [];
    assertEquals(wrong, "0", text);
    const said = Deno.readFileSync(this.#path("console"));
    assertEquals(firstDifference(said, generatedText(this.#rounds * LINE_BYTES)), -1, "console");
    const disk = new Uint8Array(this.#expectedDisk().buffer);
    assertEquals(firstDifference(Deno.readFileSync(this.#path("disk")), disk), -1, "disk");
    return { ms, worstMs: ms * Number(worst) / Number(cycles) };
  }

  #expectedDisk(): Uint32Array<ArrayBuffer> {
    const words = new Uint32Array(BLOCKS * BLOCK_BYTES / 4);
    const perBlock = BLOCK_BYTES / 4;
    for (let round = Math.max(0, this.#rounds - BLOCKS); round < this.#rounds; round++) {
      const first = Math.imul(round, FACTORS.round);
      const at = round % BLOCKS * perBlock;
      for (let i = 0; i < perBlock; i++) words[at + i] = Math.imul(first + i, FACTORS.word);
    }
    return words;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#machine?.stop();
    this.#directory[Symbol.dispose]();
  }
}
