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

/** What the kernel in the file `path` can do. Never throws: what cannot be read is `closed`. */
export function inspectContents(path: string): KernelContents {
  try {
    using source = new FileImage(path);
    return architecture().kernelContents(imageText(readBody(source), indexOfText));
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

/** Where `text` (Latin-1) stands in `bytes`, at or behind `from`; -1 when nowhere. */
export type TextSearch = (bytes: Uint8Array<ArrayBuffer>, text: string, from: number) => number;

/** `pieces` as something to search by `find`; no text is looked for across two of them. */
export function imageText(
  pieces: readonly Uint8Array<ArrayBuffer>[],
  find: TextSearch,
): ImageText {
  return {
    has: (text) => pieces.some((bytes) => find(bytes, text, 0) !== -1),
    *linesAfter(text) {
      for (const bytes of pieces) {
        for (let at = find(bytes, text, 0); at !== -1; at = find(bytes, text, at)) {
          at += text.length;
          yield firstLine(bytes.subarray(at, at + MAX_LINE));
        }
      }
    },
  };
}

/** Printable ASCII only: it goes to a terminal. */
function firstLine(bytes: Uint8Array): string {
  const end = bytes.findIndex((byte) => byte < 0x20 || byte >= 0x7f);
  return String.fromCharCode(...(end === -1 ? bytes : bytes.subarray(0, end)));
}

function lowerFirst(sentence: string): string {
  return sentence.charAt(0).toLowerCase() + sentence.slice(1);
}
