/** The kernel's random numbers, straight into guest RAM. Used by `devices/rng/getrandom_backend.ts`. */
import { GRND_NONBLOCK, iovec } from "../abi/linux.ts";
import { errno, libc } from "./libc.ts";

const IOVEC_WORDS = iovec.size / 4;
const HIGH = 0x1_0000_0000;

/**
 * Fills up to `limit` bytes of the `count` iovecs in `words` and returns how many, or -errno if none. Never waits:
 * a kernel that has no entropy yet says EAGAIN.
 */
export function fillRandom(words: Uint32Array, count: number, limit: number): number {
  const { getrandom } = libc();
  let done = 0;
  for (let at = 0; at < count * IOVEC_WORDS && done < limit; at += IOVEC_WORDS) {
    const address = (words[at] as number) + (words[at + 1] as number) * HIGH;
    const length = Math.min(words[at + 2] as number, limit - done);
    const got = getrandom(BigInt(address), length, GRND_NONBLOCK);
    if (got === -1) return done > 0 ? done : -errno();
    done += got;
    if (got < length) break; // a signal interrupted it
  }
  return done;
}
