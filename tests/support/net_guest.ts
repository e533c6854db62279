/** A tiny guest with a network card as a machine of this process, for tests in which the program is the network. */
import type { NetBackendConfig } from "../../devices/mod.ts";
import { Machine } from "../../src/machine/machine.ts";
import { assertEquals } from "../../src/std/assert.ts";
import { tinyConfig, until } from "./kvm.ts";

/** A machine that runs, and what it has printed. */
export class NetGuest implements AsyncDisposable {
  readonly machine: Machine;
  readonly #path: string;

  private constructor(machine: Machine, path: string) {
    this.machine = machine;
    this.#path = path;
  }

  /** Starts it with these words for the guest. */
  static async start(backend: NetBackendConfig, words: string): Promise<NetGuest> {
    const path = Deno.makeTempFileSync({ prefix: "dinovisor-serial-" });
    const config = await tinyConfig({
      words,
      console: { mode: "file", path },
      devices: [{ kind: "net", backend }],
    });
    const machine = await Machine.create(config);
    machine.start();
    return new NetGuest(machine, path);
  }

  /** The same with an echo, once it listens. */
  static async echo(backend: NetBackendConfig, words = ""): Promise<NetGuest> {
    const guest = await NetGuest.start(backend, `test=net-echo ${words}`);
    await until("the echo listens", () => guest.text.includes("ready"));
    return guest;
  }

  get text(): string {
    return Deno.readTextFileSync(this.#path);
  }

  /** What it has printed in all, once it has ended well. */
  async end(): Promise<string> {
    assertEquals((await this.machine.exited).status, 0);
    return this.text;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine.stop();
    Deno.removeSync(this.#path);
  }
}

/** What another process hears that connects to the abstract `name` and sends a frame: all bytes until it is cut off. */
export async function strangerHears(name: string): Promise<number> {
  const code = `
    const conn = await Deno.connect({ transport: "unix", path: "\\0${name}" });
    await conn.write(new Uint8Array(64).with(3, 60)).catch(() => {});
    let heard = 0;
    const into = new Uint8Array(1000);
    try {
      for (let count; (count = await conn.read(into)) !== null;) heard += count;
    } catch {
      // reset: what we sent was not read
    }
    console.log(heard);`;
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["eval", code] }).output();
  return Number(new TextDecoder().decode(stdout) || NaN);
}
