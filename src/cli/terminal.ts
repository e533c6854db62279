/**
 * The user's terminal: raw while a console is attached, and always put back, whichever way the process ends.
 * The bytes themselves are read and written by the I/O worker; the escape key is found there too.
 */
import { rawModes, setTtyModes, type TtyModes, ttyModes } from "../sys/tty.ts";
import { setRawLines } from "./output.ts";

const STDIN = 0;

const FALLBACK_SIZE = { columns: 80, rows: 24 };

export const CONSOLE_HINT = "console: Ctrl-] then ? for help, q to quit";

export const ESCAPE_HELP = [
  "",
  "console keys, after Ctrl-]:",
  "  q       quit: stop the guest",
  "  p       press the power button: ask the guest to switch itself off",
  "  ?       this help",
  "  Ctrl-]  send Ctrl-] to the guest",
].join("\n");

/** What the terminal was before it became raw; undefined while it is not. */
let modesBefore: TtyModes | undefined;

/** Whether stdin is a terminal, and how big its window is. */
export function terminalState(): { isTty: boolean; columns: number; rows: number } {
  return { isTty: Deno.stdin.isTerminal(), ...windowSize() };
}

/** The window's size; 80 by 24 where there is none. */
export function windowSize(): { columns: number; rows: number } {
  // Deno makes an Error of it when none of the three is one, which takes a hundred times as long as to ask them.
  if (![Deno.stdin, Deno.stdout, Deno.stderr].some((stream) => stream.isTerminal())) {
    return FALLBACK_SIZE;
  }
  try {
    const { columns, rows } = Deno.consoleSize();
    return columns > 0 && rows > 0 ? { columns, rows } : FALLBACK_SIZE;
  } catch {
    return FALLBACK_SIZE;
  }
}

/** Hands every key to the guest until disposed. Does nothing when stdin is no terminal. */
export function enterRawMode(): Disposable {
  if (!Deno.stdin.isTerminal()) return { [Symbol.dispose]() {} };
  modesBefore = ttyModes(STDIN);
  setRaw();
  addEventListener("unload", restoreTerminal);
  // After Ctrl-Z from outside and `fg`, the shell has put the terminal back to its own settings.
  Deno.addSignalListener("SIGCONT", setRaw);
  return {
    [Symbol.dispose]() {
      Deno.removeSignalListener("SIGCONT", setRaw);
      removeEventListener("unload", restoreTerminal);
      restoreTerminal();
    },
  };
}

/** Puts the terminal back if it is raw; safe at any time, any number of times. */
export function restoreTerminal(): void {
  if (modesBefore === undefined) return;
  setTtyModes(STDIN, modesBefore); // it fails only when the terminal is gone (SIGHUP)
  modesBefore = undefined;
  setRawLines(false);
}

/** Calls `resized` whenever the window's size changes, as long as the process lives; never without a window. */
export function watchWindow(resized: (columns: number, rows: number) => void): void {
  if (!Deno.stdin.isTerminal() && !Deno.stdout.isTerminal()) return;
  Deno.addSignalListener("SIGWINCH", () => {
    const { columns, rows } = windowSize();
    resized(columns, rows);
  });
}

/** From what it was before, not from what it is: a SIGCONT may come without a stop, and find it raw. */
function setRaw(): void {
  if (modesBefore === undefined) return;
  setTtyModes(STDIN, rawModes(modesBefore));
  setRawLines(true);
}
