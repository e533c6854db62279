/** Networks of their own for tests: a namespace of the host with taps and addresses in it, gone at the end. */
import { assert } from "../../src/std/assert.ts";

/** What a program said and how it ended. */
interface Ran {
  readonly ok: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

function run(command: string, args: readonly string[]): Ran {
  const { success, stdout, stderr } = new Deno.Command(command, { args: [...args], stdin: "null" })
    .outputSync();
  const decoder = new TextDecoder();
  return { ok: success, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Why there can be no namespaces here; undefined when there can. */
export function namespaceRefusal(): string | undefined {
  if (Deno.uid() !== 0) return "network namespaces need root";
  try {
    Deno.openSync("/dev/net/tun", { read: true, write: true }).close();
    const name = `dinovisor-probe-${Deno.pid}`;
    const made = run("ip", ["netns", "add", name]);
    if (!made.ok) return `ip netns add fails: ${made.stderr.trim()}`;
    run("ip", ["netns", "delete", name]);
    return undefined;
  } catch (error) {
    return `taps in network namespaces cannot be had: ${
      error instanceof Error ? error.message : error
    }`;
  }
}

let made = 0;

/** A network namespace. Processes are put into it with `prefix`. */
export class NetNamespace implements Disposable {
  readonly name = `dinovisor-${Deno.pid}-${made++}`;
  /** Words in front of a command that is to run inside. */
  readonly prefix: readonly string[] = ["ip", "netns", "exec", this.name];

  constructor() {
    this.#must("ip", ["netns", "add", this.name]);
    this.ip("link set lo up");
  }

  #must(command: string, args: readonly string[]): string {
    const { ok, stdout, stderr } = run(command, args);
    assert(ok, `${command} ${args.join(" ")}: ${stderr}`);
    return stdout;
  }

  /** `ip` with these words, inside. */
  ip(words: string): string {
    return this.#must("ip", ["-n", this.name, ...words.split(" ")]);
  }

  /** Runs a program inside and returns what it printed; fails when it fails. */
  exec(command: string, ...args: readonly string[]): string {
    return this.#must("ip", ["netns", "exec", this.name, command, ...args]);
  }

  /** The same, without waiting. */
  spawn(command: string, ...args: readonly string[]): Deno.ChildProcess {
    const [program = "", ...words] = [...this.prefix, command, ...args];
    return new Deno.Command(program, {
      args: words,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  }

  /** A tap that is there before any machine is, up, with an address. */
  addTap(name: string, address: string, options = ""): void {
    this.ip(`tuntap add ${name} mode tap${options === "" ? "" : ` ${options}`}`);
    this.ip(`address add ${address} dev ${name}`);
    this.ip(`link set ${name} up`);
  }

  /** A counter of an interface: `rx_packets`, from the host's side. */
  counter(name: string, counter: string): number {
    return Number(this.exec("cat", `/sys/class/net/${name}/statistics/${counter}`));
  }

  /** Whether there is an interface of this name. */
  has(name: string): boolean {
    return run("ip", ["-n", this.name, "link", "show", name]).ok;
  }

  [Symbol.dispose](): void {
    run("ip", ["netns", "delete", this.name]);
  }
}
