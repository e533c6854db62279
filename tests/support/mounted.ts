/**
 * A file system of a test's own, in a mount namespace that nobody else sees: one that is too small, one that knows few
 * operations, one that can be frozen. Gone with the shell that holds it, however the test ends.
 */
import { assertEquals } from "../../src/std/assert.ts";

/** `ext4` lies in a file behind a loop device and can be frozen: writes to it then wait. */
export type FileSystemKind =
  | { readonly type: "tmpfs"; readonly bytes: number }
  | { readonly type: "ramfs" }
  | { readonly type: "ext4"; readonly bytes: number };

/** Why there can be none here; undefined when there can. */
export function mountRefusal(kind: FileSystemKind["type"]): string | undefined {
  if (Deno.uid() !== 0) return "mount namespaces need root";
  const words = kind === "ext4"
    ? "test -e /dev/loop-control && command -v mkfs.ext4 && command -v fsfreeze && losetup -f"
    : `mount -t ${kind} none /mnt`;
  const { success, stderr } = new Deno.Command("unshare", {
    args: ["-m", "sh", "-c", words],
    stdin: "null",
    stdout: "null",
  }).outputSync();
  const said = new TextDecoder().decode(stderr).trim();
  return success ? undefined : `${kind} cannot be mounted here${said === "" ? "" : `: ${said}`}`;
}

/** A file system on which writes wait. */
export interface Frozen extends AsyncDisposable {
  /** Those that wait are done, and all that follow. */
  thaw(): Promise<void>;
}

/** A mounted file system. */
export class Mounted implements AsyncDisposable {
  /** Where it is for processes started with `prefix`. */
  readonly path: string;
  readonly #directory: string;
  readonly #child: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  readonly #stdout: ReadableStreamDefaultReader<string>;

  private constructor(kind: FileSystemKind) {
    this.#directory = Deno.makeTempDirSync({ prefix: "dinovisor-mount-" });
    this.path = `${this.#directory}/mounted`;
    Deno.mkdirSync(this.path);
    // A signal to the test's whole group must not take away the one who thaws.
    const script = `trap "" TERM INT HUP; set -e; cd ${this.#directory}; ${
      mountWords(kind)
    }; echo ready
      while read word; do fsfreeze $word mounted; echo done; done
      fsfreeze -u mounted 2>/dev/null || true`;
    this.#child = new Deno.Command("unshare", {
      args: ["-m", "sh", "-c", script],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#stdin = this.#child.stdin.getWriter();
    this.#stdout = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  static async mount(kind: FileSystemKind): Promise<Mounted> {
    const mounted = new Mounted(kind);
    assertEquals((await mounted.#stdout.read()).value, "ready\n", "mounting");
    return mounted;
  }

  /** In front of a command that is to see it. */
  get prefix(): readonly string[] {
    return ["nsenter", "-t", `${this.#child.pid}`, "-m"];
  }

  /** The path of `name` in it for this process. */
  outside(name: string): string {
    return `/proc/${this.#child.pid}/root${this.path}/${name}`;
  }

  /** A file of `bytes` that takes no room. */
  empty(name: string, bytes: number): string {
    using file = Deno.openSync(this.outside(name), { write: true, create: true });
    file.truncateSync(bytes);
    return `${this.path}/${name}`;
  }

  /** From now on writes wait. Dispose of it before what writes: nothing ends a process that waits for its disk. */
  async freeze(): Promise<Frozen> {
    await this.#order("-f");
    let frozen = true;
    const thaw = async () => {
      if (frozen) await this.#order("-u");
      frozen = false;
    };
    return { thaw, [Symbol.asyncDispose]: thaw };
  }

  async #order(word: string): Promise<void> {
    await this.#stdin.write(new TextEncoder().encode(`${word}\n`));
    assertEquals((await this.#stdout.read()).value, "done\n", `fsfreeze ${word}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stdin.close();
    await this.#stdout.cancel();
    await this.#child.status;
    Deno.removeSync(this.#directory, { recursive: true });
  }
}

function mountWords(kind: FileSystemKind): string {
  switch (kind.type) {
    case "tmpfs":
      return `mount -t tmpfs -o size=${kind.bytes} none mounted`;
    case "ramfs":
      return "mount -t ramfs none mounted";
    case "ext4":
      return `truncate -s ${kind.bytes} image; mkfs.ext4 -q image; mount -o loop image mounted`;
  }
}
