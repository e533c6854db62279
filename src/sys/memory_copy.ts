/** Copies between our arrays and guest memory that is known by address: where a frame has passed through a buffer. */
import { iovec } from "../abi/linux.ts";
import { addressOf, libc } from "./libc.ts";

const IOVEC_WORDS = iovec.size / 4;
/** Where arrays lie: found once, as it costs two objects. */
const addresses = new WeakMap<Uint8Array<ArrayBuffer>, number>();

function addressFor(bytes: Uint8Array<ArrayBuffer>): number {
  let address = addresses.get(bytes);
  if (address === undefined) addresses.set(bytes, address = addressOf(bytes));
  return address;
}

/** Copies [from, from + length) of `bytes` to the `count` spans of `words`, a `struct iovec[]` with that much room. */
export function copyBytes(
  bytes: Uint8Array<ArrayBuffer>,
  from: number,
  length: number,
  words: Uint32Array<ArrayBuffer>,
  count: number,
): void {
  let at = addressFor(bytes) + from;
  for (let i = 0; i < count && length > 0; i++) {
    const word = i * IOVEC_WORDS;
    const target = (words[word] as number) + (words[word + 1] as number) * 0x1_0000_0000;
    const part = Math.min(length, words[word + 2] as number);
    libc().memcpy(asUsize(target), asUsize(at), part);
    at += part;
    length -= part;
  }
}

/** Fills `into` from `address` on. */
export function copyFrom(address: number, into: Uint8Array<ArrayBuffer>): void {
  if (into.length > 0) libc().memcpy(asUsize(addressOf(into)), asUsize(address), into.length);
}

/** Deno takes a number, exact below 2**53, for a 64-bit parameter; its types do not say so. */
function asUsize(address: number): bigint {
  return address as unknown as bigint;
}
