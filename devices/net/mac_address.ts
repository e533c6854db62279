/** Addresses of cards (IEEE 802): read from text, or made up. Used by `kind.ts` and `make.ts`. */
import { ETH_ALEN } from "./abi.ts";

/** The six bytes of a unicast address; undefined for anything else. */
export function macBytes(text: string): Uint8Array | undefined {
  if (!/^[\da-f]{2}(:[\da-f]{2}){5}$/i.test(text)) return undefined;
  const bytes = Uint8Array.from(text.split(":"), (byte) => Number.parseInt(byte, 16));
  const usable = ((bytes[0] ?? 1) & 1) === 0 && bytes.some((byte) => byte !== 0);
  return usable ? bytes : undefined;
}

/** Locally administered, so that no vendor has it. */
export function randomMac(): Uint8Array {
  const bytes = crypto.getRandomValues(new Uint8Array(ETH_ALEN));
  bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 2;
  return bytes;
}
