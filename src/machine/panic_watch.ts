/**
 * Watches console output for the line a Linux kernel prints when it dies. There is no other word of it: with
 * `panic=-1` the kernel resets the machine, which otherwise looks like a reboot.
 */

const MARK = new TextEncoder().encode("Kernel panic - not syncing");
/** The last line of a panic's report says the same once more: "---[ end Kernel panic - not syncing: ... ]---". */
const REPORT_END = "---[ end ";
/** The line's text kept for the message. */
const MAX_LINE = 200;
/** A panic that is followed by this much other output was somebody printing a log. */
const FORGET_AFTER = 16 * 1024;

export class PanicWatch {
  #matched = 0;
  /** Bytes of the line at hand before the mark's first letter, the last few of them. */
  #before = "";
  #line: number[] | undefined;
  #complete = false;
  #since = 0;

  /** Looks at the first `length` bytes of `bytes`. */
  look(bytes: Uint8Array, length: number): void {
    for (let i = 0; i < length; i++) this.#step(bytes[i] as number);
  }

  #step(byte: number): void {
    if (this.#line !== undefined && !this.#complete) {
      if (isLineEnd(byte) || this.#line.length >= MAX_LINE) this.#complete = true;
      else this.#line.push(byte);
      return;
    }
    this.#since++;
    // The mark's first letter occurs in it once, so a mismatch can only start over with the byte at hand.
    this.#matched = byte === MARK[this.#matched] ? this.#matched + 1 : byte === MARK[0] ? 1 : 0;
    if (this.#matched === 0) {
      this.#before = isLineEnd(byte)
        ? ""
        : (this.#before + String.fromCharCode(byte)).slice(-REPORT_END.length);
    }
    if (this.#matched < MARK.length) return;
    this.#matched = 0;
    if (this.#before === REPORT_END) return;
    this.#line = [];
    this.#complete = false;
    this.#since = 0;
  }

  /** What the kernel gave as the reason, when a panic was the last thing of note. */
  get panic(): string | undefined {
    if (this.#line === undefined || this.#since > FORGET_AFTER) return undefined;
    return new TextDecoder().decode(Uint8Array.from(this.#line)).replace(/^:\s*/, "");
  }
}

function isLineEnd(byte: number): boolean {
  return byte === 10 || byte === 13;
}
