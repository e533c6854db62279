/**
 * Looks into a kernel file: reads the kernel proper, unpacks it if need be, and has the architecture search it. Takes
 * some 150 ms for a distribution's kernel; `kernel_knowledge.ts` remembers the answer.
 */
import { architecture, BootError, type ImageText, type KernelContents } from "../arch/mod.ts";
import { indexOfText } from "../sys/byte_search.ts";
import { decompress, DecompressError } from "../sys/decompress.ts";
import { FileImage } from "./image_source.ts";

/** More is not read into this process to be searched; no Linux comes near it. */
const MAX_BYTES = 512 * 2 ** 20;
const MAX_LINE = 256;
const SMALL_BYTES = 2 ** 20;

/** What the kernel in the file `path` can do. Never throws: what cannot be read is `closed`. */
export function inspectContents(path: string): KernelContents {
  try {
    using source = new FileImage(path);
    return architecture().kernelContents(imageText(readBody(source)));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const hint = error instanceof DecompressError || error instanceof BootError
      ? error.hint
      : undefined;
    return { kind: "closed", why: lowerFirst(why), ...(hint === undefined ? {} : { hint }) };
  }
}

function readBody(source: FileImage): Uint8Array<ArrayBuffer>[] {
  const { pieces, packed } = architecture().kernelBody(source);
  const total = pieces.reduce((sum, { size }) => sum + size, 0);
  if (total > MAX_BYTES) throw new Error(`it is too big to be searched (${total} bytes)`);
  const read = pieces.map(({ offset, size }) => {
    const bytes = new Uint8Array(size);
    source.read(offset, bytes);
    return bytes;
  });
  return packed ? read.map((bytes) => decompress(bytes)) : read;
}

/** `pieces` as something to search; no text is looked for across two of them. */
export function imageText(pieces: readonly Uint8Array<ArrayBuffer>[]): ImageText {
  const searches = pieces.map((bytes) => ({ bytes, indexOf: searchOf(bytes) }));
  return {
    has: (text) => searches.some(({ indexOf }) => indexOf(text, 0) !== -1),
    *linesAfter(text) {
      for (const { bytes, indexOf } of searches) {
        for (let at = indexOf(text, 0); at !== -1; at = indexOf(text, at)) {
          at += text.length;
          yield firstLine(bytes.subarray(at, at + MAX_LINE));
        }
      }
    },
  };
}

/** Opening the C library takes longer than to search a small kernel without it, before the machine's workers start. */
function searchOf(bytes: Uint8Array<ArrayBuffer>): (text: string, from: number) => number {
  if (bytes.length >= SMALL_BYTES) return (text, from) => indexOfText(bytes, text, from);
  // Its "latin1" is Windows-1252, which differs in no byte our texts have, and keeps one character for each.
  const decoded = new TextDecoder("latin1").decode(bytes);
  return (text, from) => decoded.indexOf(text, from);
}

/** Printable ASCII only: it goes to a terminal. */
function firstLine(bytes: Uint8Array): string {
  const end = bytes.findIndex((byte) => byte < 0x20 || byte >= 0x7f);
  return String.fromCharCode(...(end === -1 ? bytes : bytes.subarray(0, end)));
}

function lowerFirst(sentence: string): string {
  return sentence.charAt(0).toLowerCase() + sentence.slice(1);
}
