/** A program of the host that talks to us over a socket it is born with. Used for helpers such as passt. */
import { O_RDONLY, SIGKILL, WNOHANG } from "../abi/linux.ts";
import { type FdNumber, openFile } from "./fd.ts";
import { addressOf, cString, libc } from "./libc.ts";
import { SysError } from "./sys_error.ts";

/** sizeof(posix_spawn_file_actions_t) is 80 in glibc on 64-bit hosts. */
const FILE_ACTIONS_BYTES = 128;
/** The number our socket has in the child. */
export const CHILD_SOCKET = 3;
const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;

/** A running program. */
export class Child implements Disposable {
  readonly #pid: number;
  #running = true;

  /**
   * Starts `words`[0], found by PATH, with `socket` as descriptor 3, its output in `log`, and nothing to read: our own
   * stdin is the guest's. The environment is empty but for PATH. Throws SysError: ENOENT when there is no such program.
   */
  constructor(words: readonly string[], socket: FdNumber, log: FdNumber) {
    const [program = ""] = words;
    const texts = words.map(cString);
    const path = cString(`PATH=${Deno.env.get("PATH") ?? "/usr/bin:/bin"}`);
    const argv = pointers(texts);
    const envp = pointers([path]);
    const actions = new Uint8Array(FILE_ACTIONS_BYTES);
    const pid = new Uint8Array(4);
    using nothing = openFile("/dev/null", O_RDONLY);
    libc().posix_spawn_file_actions_init(actions);
    libc().posix_spawn_file_actions_adddup2(actions, nothing.number, STDIN);
    libc().posix_spawn_file_actions_adddup2(actions, log, STDOUT);
    libc().posix_spawn_file_actions_adddup2(actions, log, STDERR);
    libc().posix_spawn_file_actions_adddup2(actions, socket, CHILD_SOCKET);
    const error = libc().posix_spawnp(pid, cString(program), actions, null, argv, envp);
    libc().posix_spawn_file_actions_destroy(actions);
    if (error !== 0) throw new SysError(`start "${program}"`, error);
    this.#pid = new DataView(pid.buffer).getInt32(0, true);
  }

  /** Ends it and waits for its end. */
  stop(): void {
    if (!this.#running) return;
    this.#running = false;
    libc().kill(this.#pid, SIGKILL);
    libc().waitpid(this.#pid, null, 0);
  }

  /** Whether it has ended by itself. */
  get ended(): boolean {
    if (this.#running) this.#running = libc().waitpid(this.#pid, null, WNOHANG) === 0;
    return !this.#running;
  }

  [Symbol.dispose](): void {
    this.stop();
  }
}

/** `char *[]`, ended by NULL. The caller keeps the texts alive. */
function pointers(texts: readonly Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> {
  const table = new Uint8Array((texts.length + 1) * 8);
  const view = new DataView(table.buffer);
  texts.forEach((text, i) => view.setBigUint64(i * 8, BigInt(addressOf(text)), true));
  return table;
}
