/** Where one run has its disk and its sockets. Called by `scripts/lab.ts`. */
import { labDirectory } from "./host_image.ts";

/** With the process id of its owner: a run that was killed leaves its folder to the next one to remove. */
const NAME = /^run-(\d+)-/;

/** Two folders that go away with the run. */
export class RunDirectory implements AsyncDisposable {
  /** For the disk, beside the host image: tests' caches are linked into it rather than copied. */
  readonly path: string;
  /** For sockets, whose paths must be short. */
  readonly socketDirectory: string;
  readonly #kept: ((path: string) => void) | undefined;

  private constructor(
    path: string,
    socketDirectory: string,
    kept: ((path: string) => void) | undefined,
  ) {
    this.path = path;
    this.socketDirectory = socketDirectory;
    this.#kept = kept;
  }

  /** With `kept` the disk stays for the user to look at and to remove; it is called with its place. */
  static async make(kept?: (path: string) => void): Promise<RunDirectory> {
    const dir = labDirectory();
    for await (const { name } of Deno.readDir(dir)) {
      const owner = NAME.exec(name)?.[1];
      if (owner === undefined || await isRunning(owner)) continue;
      await Deno.remove(`${dir}/${name}`, { recursive: true });
    }
    const path = await Deno.makeTempDir({ dir, prefix: `run-${Deno.pid}-` });
    return new RunDirectory(path, await Deno.makeTempDir({ prefix: "lab-" }), kept);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.socketDirectory, { recursive: true });
    if (this.#kept === undefined) return await Deno.remove(this.path, { recursive: true });
    const place = this.path.replace(/run-([^/]*)$/, "kept-$1");
    await Deno.rename(this.path, place);
    this.#kept(place);
  }
}

async function isRunning(pid: string): Promise<boolean> {
  try {
    await Deno.stat(`/proc/${pid}`);
    return true;
  } catch {
    return false;
  }
}
