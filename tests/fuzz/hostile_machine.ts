/**
 * A machine with every device that the tiny guest under orders of a volley drives, and the host behind them: files, a
 * network, callers. Used by `under_fire_test.ts` and `inside.ts`.
 */
import type { DeviceConfig } from "../../devices/mod.ts";
import type { MachineConfig } from "../../src/machine/config.ts";
import type { MachineExit } from "../../src/machine/exit.ts";
import { FrameStream } from "../../src/machine/frame_stream.ts";
import { Machine } from "../../src/machine/machine.ts";
import { assertEquals, assertLessOrEqual, assertMatch } from "../../src/std/assert.ts";
import { DiskDirectory } from "../support/disk_image.ts";
import { hostMemoryMib } from "../support/host_kind.ts";
import { tinyConfig, within } from "../support/kvm.ts";
import { GUEST_CID } from "../support/vsock_packets.ts";
import { type FireDevice, GUEST_END } from "./fire_recorder.ts";
import { HostSide } from "./host_side.ts";
import { makeVolley } from "./volley.ts";

const MIB = 2 ** 20;
/** As many sectors as the fuzzer's own disk: its requests come up to the end, and a bit further. */
const DISK_BYTES = 64 * 512;
/** The hole below 4 GiB is full of devices, and there is RAM on both sides of it. Nearly all of it is never touched. */
const LARGE_MIB = 3 * 1024 + 64;
const SMALL_MIB = 64;
const LOW_MOST = 3 * 1024;
/** What a volley may take at most; all take a second or two. */
const VOLLEY_MS = 120_000;

/** Rows of the fuzzer's table, in the order of the machine's devices. */
const ROWS = [
  "block",
  "block with four queues",
  "console",
  "console with three ports",
  "net",
  "vsock",
  "rng",
] as const;

export const FIRE_ROWS: readonly string[] = ROWS;

/** What a volley is to be. */
export interface Fire {
  readonly seed: number;
  readonly processors: number;
  readonly scenes: number;
  readonly scene?: number | undefined;
  readonly steps: number;
  /** Of `FIRE_ROWS`: this device only. */
  readonly row?: string | undefined;
}

/** What came of one. */
export interface Fired {
  /** Register accesses by the guest. */
  readonly shots: number;
  /** Times that the guest looked whether a device has kept to the rules. */
  readonly checks: number;
  /** Lines about faults of the driver. */
  readonly faults: number;
  readonly ms: number;
}

/** Where hostile machines run, one after the other. */
export class HostileGround implements AsyncDisposable {
  readonly #directory = new DiskDirectory("fast");
  readonly #cable = new FrameStream();
  readonly #memoryMib = hostMemoryMib() > 2 * LARGE_MIB ? LARGE_MIB : SMALL_MIB;
  readonly #readOnly: string;
  readonly #readOnlyBytes: Uint8Array;
  readonly #draining: Promise<void>;
  #frames = 0;

  constructor() {
    this.#directory.random("disk.img", DISK_BYTES, 7);
    this.#readOnly = this.#directory.random("read-only.img", DISK_BYTES, 8);
    this.#readOnlyBytes = Deno.readFileSync(this.#readOnly);
    this.#draining = this.#drain();
  }

  /** Frames that guests have sent. */
  get frames(): number {
    return this.#frames;
  }

  async #drain(): Promise<void> {
    for await (const _frame of this.#cable.readable) this.#frames++;
  }

  #path(name: string): string {
    return `${this.#directory.path}/${name}`;
  }

  #devices(): readonly DeviceConfig[] {
    const channel = { type: "file", path: this.#path("console") } as const;
    const none = { type: "null" } as const;
    return [
      { kind: "block", path: this.#path("disk.img"), readOnly: false, direct: false },
      { kind: "block", path: this.#readOnly, readOnly: true, direct: false, queues: 4 },
      { kind: "console", ports: [{ console: true, channel }] },
      {
        kind: "console",
        ports: [{ console: true, channel: none }, { name: "one", channel: none }, {
          name: "two",
          channel: none,
        }],
      },
      { kind: "net", backend: this.#cable.backend },
      { kind: "vsock", cid: GUEST_CID, uds: this.#path("vsock") },
      { kind: "rng" },
    ];
  }

  async #config(fire: Fire): Promise<MachineConfig> {
    const { row, ...volley } = fire;
    const all = ROWS.map((name, index): FireDevice => ({ index, row: name }));
    const some = row === undefined ? all : all.filter((device) => device.row === row);
    const image = makeVolley({
      ...volley,
      devices: some,
      lowEnd: Math.min(this.#memoryMib, LOW_MOST) * MIB,
      highEnd: this.#memoryMib > LOW_MOST ? (this.#memoryMib + 1024) * MIB : 4096 * MIB,
    });
    Deno.writeFileSync(this.#path("fire"), image);
    const config = await tinyConfig({
      words: `test=fire below=${GUEST_END}`,
      memoryMib: this.#memoryMib,
      vcpus: volley.processors,
      console: { mode: "file", path: this.#path("serial") },
      devices: this.#devices(),
    });
    return { ...config, kernel: { ...config.kernel, initrd: this.#path("fire") } };
  }

  /** Runs one volley from start to end. Throws when the guest, the machine or the host's files say that it did harm. */
  async fire(fire: Fire): Promise<Fired> {
    const config = await this.#config(fire);
    for (const name of ["serial", "console"]) {
      Deno.writeFileSync(this.#path(name), new Uint8Array());
    }
    const before = this.#names();
    const logged: string[] = [];
    const begin = performance.now();
    const events = { log: (line: string) => void logged.push(line) };
    await using machine = await Machine.create(config, { events });
    await using host = new HostSide(machine, this.#cable, fire.seed);
    machine.start();
    const exit = await within(VOLLEY_MS, "a volley", machine.exited);
    await host[Symbol.asyncDispose]();
    const ms = performance.now() - begin;
    const text = Deno.readTextFileSync(this.#path("serial"));
    const counted = this.#judge(exit, { text, logged, ms });
    assertEquals(this.#names(), before, "files of the host");
    return counted;
  }

  #judge(
    exit: MachineExit,
    { text, logged, ms }: {
      readonly text: string;
      readonly logged: readonly string[];
      readonly ms: number;
    },
  ): Fired {
    const said = `${text}${logged.join("\n")}`;
    const { reason, status = -1, detail = "" } = exit;
    assertEquals(
      { reason, status, detail },
      { reason: "exit-register", status: 0, detail: "" },
      said,
    );
    const [, shots, checks] = /^shots (\d+)\nchecks (\d+)\n$/.exec(text) ?? [];
    assertMatch(text, /^shots \d+\nchecks \d+\n$/);
    for (const line of logged) assertMatch(line, /: driver fault: /);
    // INV-4: a line a second for each device.
    const most = ROWS.length * (1 + Math.floor(ms / 1000));
    assertLessOrEqual(logged.length, most, `lines about faults in ${Math.round(ms)} ms`);
    for (const name of ["disk.img", "read-only.img"]) {
      assertEquals(Deno.statSync(this.#path(name)).size, DISK_BYTES, `size of ${name}`);
    }
    const after = Deno.readFileSync(this.#readOnly);
    assertEquals(after.every((byte, i) => byte === this.#readOnlyBytes[i]), true, "read-only disk");
    return { shots: Number(shots), checks: Number(checks), faults: logged.length, ms };
  }

  #names(): string[] {
    return [...Deno.readDirSync(this.#directory.path)].map(({ name }) => name).sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cable[Symbol.asyncDispose]();
    await this.#draining;
    this.#directory[Symbol.dispose]();
  }
}
