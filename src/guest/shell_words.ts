/** Words for a POSIX shell. */

/** `text` as one word, whatever is in it: as it is where that is safe. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
