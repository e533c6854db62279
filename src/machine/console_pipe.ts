/**
 * A terminal for a machine whose owner reads and writes it as a stream: one end is a descriptor for the I/O thread, the
 * other a socket of this isolate's event loop, so the kernel does the waiting on both sides.
 */
import { duplicate, type OwnedFd } from "../sys/fd.ts";
import { acceptWithinProcess, listenWithinProcess } from "../sys/unix_socket.ts";

/** Both ends. The machine's is closed by `Symbol.dispose`, after the machine has ended. */
export class ConsolePipe implements Disposable {
  /** The owner's end; whoever reads it closes it. */
  readonly owner: Deno.UnixConn;
  readonly #input: OwnedFd;
  readonly #output: OwnedFd;

  private constructor(owner: Deno.UnixConn, machine: OwnedFd) {
    this.owner = owner;
    this.#input = machine;
    this.#output = duplicate(machine);
  }

  /** Throws SysError, and what Deno.connect rejects with. */
  static async open(): Promise<ConsolePipe> {
    const name = `dinovisor-${crypto.randomUUID()}`;
    using listener = listenWithinProcess(name);
    const owner = await Deno.connect({ transport: "unix", path: `\0${name}` });
    // Strangers may have called that name, too; ours has been accepted by the kernel before `connect` resolved.
    for (let tries = 0; tries < 100; tries++) {
      const machine = acceptWithinProcess(listener.number);
      if (machine !== undefined) return new ConsolePipe(owner, machine);
    }
    owner.close();
    throw new Error("Cannot open a console: its own connection did not arrive");
  }

  /** What `TerminalSize.fds` is to be. */
  get fds(): { readonly input: number; readonly output: number } {
    return { input: this.#input.number, output: this.#output.number };
  }

  [Symbol.dispose](): void {
    this.#input.close();
    this.#output.close();
  }
}
