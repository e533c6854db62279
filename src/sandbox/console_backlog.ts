/** What a console has printed and nobody has read yet: the newest, as much as there is room for. */

const BLOCK_BYTES = 16 * 1024;
const MAX_BLOCKS = 64;

/** How much is kept. A guest that prints without end must not fill the host's memory. */
export const BACKLOG_BYTES: number = BLOCK_BYTES * MAX_BLOCKS;

export class ConsoleBacklog {
  readonly #blocks: Uint8Array<ArrayBuffer>[] = [];
  /** Bytes in the last block. */
  #filled = 0;

  get isEmpty(): boolean {
    return this.#blocks.length === 0;
  }

  /** Copies `bytes`: a serial port brings them one by one, and each alone would take more memory for itself. */
  add(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      const block = this.#lastWithRoom();
      const part = bytes.subarray(done, done + block.length - this.#filled);
      block.set(part, this.#filled);
      this.#filled += part.length;
      done += part.length;
    }
  }

  #lastWithRoom(): Uint8Array<ArrayBuffer> {
    const last = this.#blocks.at(-1);
    if (last !== undefined && this.#filled < last.length) return last;
    const block = new Uint8Array(BLOCK_BYTES);
    this.#blocks.push(block);
    this.#filled = 0;
    if (this.#blocks.length > MAX_BLOCKS) this.#blocks.shift();
    return block;
  }

  /** The oldest bytes, which are the caller's now; undefined when there are none. */
  take(): Uint8Array<ArrayBuffer> | undefined {
    const block = this.#blocks.shift();
    return this.#blocks.length === 0 ? block?.subarray(0, this.#filled) : block;
  }
}
