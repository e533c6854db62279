/** How a request is cut into descriptors (VQ-SPLIT-05: a device must not care). */

/** One buffer a descriptor points at. */
export interface Segment {
  readonly at: number;
  readonly length: number;
  readonly writable: boolean;
}

/** A named way to cut. Takes one segment per direction, gives descriptors in order. */
export interface Cut {
  readonly name: string;
  readonly pieces: (segment: Segment) => readonly Segment[];
}

/** Pieces of `bytes` bytes; the last may be shorter. */
export function everyBytes(bytes: number): Cut {
  return { name: `${bytes} bytes a descriptor`, pieces: (segment) => slices(segment, bytes) };
}

/** First a piece of `bytes` bytes, then the rest. */
export function splitAt(bytes: number): Cut {
  return {
    name: `split after ${bytes} bytes`,
    pieces: (segment) =>
      segment.length <= bytes
        ? [segment]
        : [part(segment, 0, bytes), part(segment, bytes, segment.length - bytes)],
  };
}

/** Everything but the last `bytes` bytes, then those. */
export function splitBeforeLast(bytes: number): Cut {
  return {
    name: `split ${bytes} bytes before the end`,
    pieces: (segment) =>
      segment.length <= bytes ? [segment] : splitAt(segment.length - bytes).pieces(segment),
  };
}

export const UNCUT: Cut = {
  name: "one descriptor a direction",
  pieces: (segment) => [segment],
};

/** Cuts every segment. */
export function cutAll(segments: readonly Segment[], cut: Cut): Segment[] {
  return segments.flatMap((segment) => cut.pieces(segment));
}

function slices(segment: Segment, bytes: number): Segment[] {
  const count = Math.ceil(segment.length / bytes);
  return Array.from(
    { length: count },
    (_, i) => part(segment, i * bytes, Math.min(bytes, segment.length - i * bytes)),
  );
}

function part(segment: Segment, offset: number, length: number): Segment {
  return { at: segment.at + offset, length, writable: segment.writable };
}
