/**
 * A terminal's modes. Deno's own raw mode keeps output processing on, which adds a carriage return to every line
 * feed: full-screen programs in a guest mean a bare line feed.
 */
import { libc } from "./libc.ts";

/** termios.h TCSADRAIN: after what is written has gone out. */
const TCSADRAIN = 1;
/** glibc's struct termios is 60 bytes; its content is none of our business. */
const TERMIOS_ROOM = 128;

/** The modes of a terminal, to be put back later. */
export type TtyModes = Uint8Array<ArrayBuffer>;

/** The modes of the terminal at `fd`, or undefined when it is none, or gone. */
export function ttyModes(fd: number): TtyModes | undefined {
  const modes = new Uint8Array(TERMIOS_ROOM);
  return libc().tcgetattr(fd, modes) === 0 ? modes : undefined;
}

/** `modes` with every kind of processing off, in both directions. */
export function rawModes(modes: TtyModes): TtyModes {
  const raw = modes.slice();
  libc().cfmakeraw(raw);
  return raw;
}

/** Sets the terminal at `fd`; false when it is gone. */
export function setTtyModes(fd: number, modes: TtyModes): boolean {
  return libc().tcsetattr(fd, TCSADRAIN, modes) === 0;
}
