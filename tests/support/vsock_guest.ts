/** A machine with the tiny guest and a vsock device, and what it prints. */
import { Machine } from "../../src/machine/machine.ts";
import type { VsockConnection } from "../../src/machine/vsock_host.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import { delay, tinyConfig, until } from "./kvm.ts";
import { patternAt } from "./vsock_pattern.ts";

const MIB = 2 ** 20;

/** One running `test=vsock…` guest. Its directory has room for sockets. */
export class VsockGuest implements AsyncDisposable {
  readonly machine: Machine;
  readonly #directory: string;

  private constructor(machine: Machine, directory: string) {
    this.machine = machine;
    this.#directory = directory;
  }

  /** Boots with `words`; `prepare` may listen before the guest runs. */
  static async start(
    words: string,
    prepare: (guest: VsockGuest) => void = () => {},
  ): Promise<VsockGuest> {
    const directory = Deno.makeTempDirSync({ prefix: "dinovisor-vsock-" });
    const config = await tinyConfig({
      words,
      memoryMib: 128,
      console: { mode: "file", path: `${directory}/serial` },
      devices: [{ kind: "vsock", cid: 52, uds: `${directory}/vm.sock` }],
    });
    const guest = new VsockGuest(await Machine.create(config), directory);
    prepare(guest);
    guest.machine.start();
    return guest;
  }

  get uds(): string {
    return `${this.#directory}/vm.sock`;
  }

  get text(): string {
    return Deno.readTextFileSync(`${this.#directory}/serial`);
  }

  /** Until the guest's driver is up. */
  async ready(): Promise<void> {
    await until("the guest is ready", () => this.text.includes("ready\n"));
  }

  /** Waits for its end and reads the numbers it printed. */
  async result(): Promise<Readonly<Record<string, number>>> {
    const { reason, status } = await this.machine.exited;
    assertEquals({ reason, status }, { reason: "exit-register", status: 0 }, this.text);
    const lines = this.text.trimEnd().split("\n").map((line) => line.split(" "));
    return Object.fromEntries(lines.map(([name, value]) => [name, Number(value)]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine.stop();
    Deno.removeSync(this.#directory, { recursive: true });
  }
}

/** Writes chunks without end to a guest that reads none: they wait, and do not pile up here. Closes the connection. */
export async function assertWritesWait(
  connection: VsockConnection,
  chunkBytes: number,
): Promise<void> {
  const writer = connection.writable.getWriter();
  let written = 0;
  const flood = (async () => {
    for (;; written += chunkBytes) await writer.write(patternAt(0, chunkBytes));
  })().catch(() => {});
  await delay(300);
  const before = written;
  await delay(300);
  assertEquals(written, before);
  assert(written < 2 * MIB, `${written} bytes were taken for a guest that reads none`);
  connection.close();
  await flood;
}
