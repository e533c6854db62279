/** Console output as tests compare it: without what only a terminal needs. */
import { stripVTControlCharacters } from "node:util";

/**
 * An escape sequence at the end of a piece that may go on in the next one. Bounded: a guest that never ends its
 * sequence would keep everything else back.
 */
// deno-lint-ignore no-control-regex
const UNFINISHED = /\x1b(?:\[[0-?]{0,32}[ -/]{0,4}|\][^\x07\x1b]{0,256}\x1b?|[ -/]{0,4})$/;

/** Takes escape sequences and carriage returns out of a text that comes in pieces. */
export class ConsoleText {
  #kept = "";

  /** What `piece` adds. */
  add(piece: string): string {
    const text = this.#kept + piece;
    const end = UNFINISHED.exec(text)?.index ?? text.length;
    this.#kept = text.slice(end);
    return plain(text.slice(0, end));
  }

  /** What was kept back: nothing follows. */
  end(): string {
    const rest = plain(this.#kept);
    this.#kept = "";
    return rest;
  }
}

/** Guests end lines with CR LF, or with LF CR; none of both is of interest to a test. */
function plain(text: string): string {
  return stripVTControlCharacters(text).replaceAll("\r", "");
}

/** With control characters but line breaks and tabs as `\x07`: what is kept in a file has to be readable. */
export function visible(text: string): string {
  return text.replace(
    // deno-lint-ignore no-control-regex
    /[\x00-\x08\x0b-\x1f\x7f]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}
