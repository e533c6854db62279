/** The two streams of this process. Writes are synchronous, so that nothing is lost when it exits right after. */

const encoder = new TextEncoder();

/** Ends every line with CR LF while the terminal is raw. */
let rawLines = false;

const CLEAR_LINE = "\r\x1b[K";
/** What `showStatus` has put on the last line. */
let status = "";

/** Called by `terminal.ts`. */
export function setRawLines(raw: boolean): void {
  rawLines = raw;
}

/** A result on stdout, with a final line break. */
export function writeResult(text: string): void {
  writeAll(Deno.stdout, `${text}\n`);
}

/** Ours to say on stderr, with a final line break. */
export function writeError(text: string): void {
  showStatus("");
  writeAll(Deno.stderr, rawLines ? `${text.replaceAll("\n", "\r\n")}\r\n` : `${text}\n`);
}

/** Shows `text` as the last line on a terminal's stderr, in place of the one before; "" takes it away. */
export function showStatus(text: string): void {
  if (text === status) return;
  status = text;
  writeAll(Deno.stderr, `${CLEAR_LINE}${text}`);
}

function writeAll(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  try {
    let bytes = encoder.encode(text);
    while (bytes.length > 0) bytes = bytes.subarray(stream.writeSync(bytes));
  } catch {
    // Nobody reads it any more: there is nobody left to tell.
  }
}

/** Whether colours on `stream` are welcome (https://no-color.org). */
export function wantsColor(stream: { isTerminal(): boolean }): boolean {
  return stream.isTerminal() && !Deno.env.get("NO_COLOR") && Deno.env.get("TERM") !== "dumb";
}
