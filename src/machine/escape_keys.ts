/** The keys that a person at a console has for the monitor itself (contract.md, "Console"). */

/** Ctrl-] */
const ESCAPE = 0x1d;

/** What they ask for. */
export interface EscapeEvents {
  quitRequested(): void;
  helpRequested(): void;
  powerRequested(): void;
}

/** Finds them among what is typed. */
export class EscapeKeys {
  readonly #events: EscapeEvents;
  #escaped = false;

  constructor(events: EscapeEvents) {
    this.#events = events;
  }

  /** Whether `byte` is for the guest; acts on escape sequences. */
  passes(byte: number): boolean {
    if (!this.#escaped) {
      this.#escaped = byte === ESCAPE;
      return !this.#escaped;
    }
    this.#escaped = false;
    if (byte === "q".charCodeAt(0)) this.#events.quitRequested();
    else if (byte === "p".charCodeAt(0)) this.#events.powerRequested();
    else if (byte === "?".charCodeAt(0)) this.#events.helpRequested();
    return byte === ESCAPE;
  }
}
