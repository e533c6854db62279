/**
 * What the lab's first program says about itself in the midst of its work's output: a mark at the beginning
 * and one with the exit status at the end. A random token in it tells it from anything a test may print.
 * Pure; called by `lab_host.ts`.
 */

/** ASCII's record separator: no test output begins a line with it. */
const SEPARATOR = 0x1e;
/** Longest rest of an end mark behind the token: a space, three digits and a line feed. */
const STATUS_PATTERN = /^ (\d{1,3})\n/;
const STATUS_BYTES = 5;

/** Bytes to pass on, and what was said between them. */
export interface Marked {
  readonly output: Uint8Array<ArrayBuffer>;
  readonly begun: boolean;
  /** Exit status of the work; nothing comes after it. */
  readonly status: number | undefined;
}

/** Takes the marks out of a byte stream that arrives in pieces of any size. */
export class MarkReader {
  readonly #begin: Uint8Array;
  readonly #end: Uint8Array;
  #held: Uint8Array<ArrayBuffer> = new Uint8Array();
  #begun = false;
  #status: number | undefined;

  constructor(token: string) {
    this.#begin = new TextEncoder().encode(`\x1ebegin ${token}\n`);
    this.#end = new TextEncoder().encode(`\x1eend ${token}`);
  }

  /** The next piece. What may be the start of a mark is held back until it is known. */
  push(piece: Uint8Array): Marked {
    const bytes = joined([this.#held, piece]);
    const output: Uint8Array<ArrayBuffer>[] = [];
    let from = 0;
    let at = bytes.indexOf(SEPARATOR);
    for (; at >= 0 && this.#status === undefined; at = bytes.indexOf(SEPARATOR, at)) {
      const length = this.#markAt(bytes.subarray(at));
      if (length === undefined) break;
      if (length > 0) {
        output.push(bytes.slice(from, at));
        from = at + length;
      }
      at += Math.max(1, length);
    }
    const stop = this.#status !== undefined || at < 0 ? bytes.length : at;
    if (this.#status === undefined) output.push(bytes.slice(from, stop));
    this.#held = bytes.slice(stop);
    return { output: joined(output), begun: this.#begun, status: this.#status };
  }

  /** How long the mark at the start of `bytes` is; 0: it is none; undefined: too early to say. */
  #markAt(bytes: Uint8Array): number | undefined {
    if (startsAlike(bytes, this.#begin)) {
      if (bytes.length < this.#begin.length) return undefined;
      this.#begun = true;
      return this.#begin.length;
    }
    if (!startsAlike(bytes, this.#end)) return 0;
    const rest = bytes.subarray(this.#end.length, this.#end.length + STATUS_BYTES);
    const status = STATUS_PATTERN.exec(new TextDecoder().decode(rest));
    if (status === null) return rest.length < STATUS_BYTES ? undefined : 0;
    this.#status = Number(status[1]);
    return this.#end.length + status[0].length;
  }
}

/** Whether the two agree as far as the shorter one goes. */
function startsAlike(bytes: Uint8Array, mark: Uint8Array): boolean {
  const length = Math.min(bytes.length, mark.length);
  return bytes.subarray(0, length).every((byte, index) => byte === mark[index]);
}

function joined(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
