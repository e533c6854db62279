/** Words for a POSIX shell. */

/** `text` as one word, whatever is in it: as it is where that is safe. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : quotedWord(text);
}

/** `text` as one word, in quotes in any case: bare, a first word could be a keyword or an assignment. */
export function quotedWord(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
