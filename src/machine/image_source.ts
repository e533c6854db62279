/** A kernel or initrd file, read in pieces straight to where they belong. */
import type { ImageSource } from "../arch/types.ts";

/** An open image; `close` it. */
export class FileImage implements ImageSource, Disposable {
  readonly #file: Deno.FsFile;
  readonly size: number;

  /** Throws Deno.errors.* when `name` cannot be opened for reading. */
  constructor(readonly name: string) {
    this.#file = Deno.openSync(name, { read: true });
    this.size = this.#file.statSync().size;
  }

  read(offset: number, into: Uint8Array): void {
    this.#file.seekSync(offset, Deno.SeekMode.Start);
    let done = 0;
    while (done < into.length) {
      const count = this.#file.readSync(into.subarray(done));
      if (count === null) {
        throw new Error(`Cannot read "${this.name}": it ends at ${offset + done}`);
      }
      done += count;
    }
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}
