/** A block device of the host's that lies in memory: zram. */

const CONTROL = "/sys/class/zram-control";

/** Why there can be none here; undefined when there can. */
export function zramRefusal(): string | undefined {
  try {
    new ZramDevice(2 ** 20)[Symbol.dispose]();
    return undefined;
  } catch (error) {
    return `there can be no zram device here: ${error instanceof Error ? error.message : error}`;
  }
}

/** One of its own, of `bytes` zeroes; gone at the end. */
export class ZramDevice implements Disposable {
  readonly path: string;
  readonly #id: string;

  constructor(bytes: number) {
    this.#id = Deno.readTextFileSync(`${CONTROL}/hot_add`).trim();
    this.path = `/dev/zram${this.#id}`;
    try {
      Deno.writeTextFileSync(`/sys/block/zram${this.#id}/disksize`, `${bytes}`);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    Deno.writeTextFileSync(`${CONTROL}/hot_remove`, this.#id);
  }
}
