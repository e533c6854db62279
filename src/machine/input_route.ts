/** Which of the guest's two consoles gets what is typed. Pure; used by `terminal.ts`. */

/** What is known of the guest before it runs. */
export interface InputKnowledge {
  /** It comes to its virtio console: the serial port never gets any (config.ts, `input`). */
  readonly forVirtio: boolean;
  /** It prints there before it reads (config.ts, `speaksFirst`). */
  readonly speaksFirst: boolean;
}

/** Input waits until it is clear who reads it: what came too early would be lost in the guest. */
export class InputRoute {
  readonly #known: InputKnowledge;
  #virtioSpoke = false;
  #virtioSettled = false;
  #serialReads = false;

  constructor(known: InputKnowledge) {
    this.#known = known;
  }

  /** Whether the guest has printed on the virtio console. */
  get virtioSpoke(): boolean {
    return this.#virtioSpoke;
  }

  /** Whether a driver that has been there for a while may be taken for a reader, silent as it is. */
  get settles(): boolean {
    return !this.#known.speaksFirst;
  }

  /** The guest has printed on the virtio console, and will read there if at all. */
  speak(): void {
    this.#virtioSpoke = true;
  }

  /** A driver has been there for a while; see `settles`. */
  settle(): void {
    this.#virtioSettled = this.settles;
  }

  /** The guest reads the serial port. */
  readSerial(): void {
    this.#serialReads = !this.#known.forVirtio;
  }

  get target(): "virtio" | "serial" | "nobody" {
    if (this.#virtioSpoke) return "virtio";
    if (this.#serialReads) return "serial";
    return this.#virtioSettled ? "virtio" : "nobody";
  }
}
