/**
 * Names that tell what an uncompressed kernel can do: strings its code cannot do without. They prove nothing
 * (a name may be there for another reason), so they inform people and decide nothing. Called by `kernel.ts`.
 */
import type { ImageSource, KernelFormat } from "../arch/types.ts";
import type { Discovery } from "../machine/config.ts";

export interface KernelMarks {
  /** False for a compressed image, of which nothing can be told. */
  readonly readable: boolean;
  /** Ways to find virtio-mmio devices. */
  readonly discovery: readonly Exclude<Discovery, "auto">[];
  /** virtio drivers and the like that are not modules. */
  readonly drivers: readonly string[];
}

// drivers/virtio/virtio_mmio.c: the parameter's name, and the ACPI id behind CONFIG_ACPI.
const DISCOVERY_MARKS = [
  ["cmdline", "virtio_mmio.device\0"],
  ["acpi", "LNRO0005\0"],
  // The property that early device tree code reads; the driver's own match table is there without it too.
  ["fdt", "linux,usable-memory-range\0"],
] as const;

// The names drivers register under.
const DRIVER_MARKS = [
  ["virtio-mmio", "virtio-mmio\0"],
  ["virtio_blk", "virtio_blk\0"],
  ["virtio_net", "virtio_net\0"],
  ["virtio_console", "virtio_console\0"],
  ["virtio_rng", "virtio_rng\0"],
  ["virtio_balloon", "virtio_balloon\0"],
  ["vsock", "vmw_virtio_transport\0"],
  ["virtiofs", "virtiofs\0"],
] as const;

const PIECE_BYTES = 1 << 20;
/** Pieces overlap by more than the longest mark. */
const OVERLAP_BYTES = 64;

/** Looks for the marks in the whole of `source`. */
export function scanKernel(source: ImageSource, format: KernelFormat): KernelMarks {
  if (format === "bzimage") return { readable: false, discovery: [], drivers: [] };
  const found = findMarks(source, [...DISCOVERY_MARKS, ...DRIVER_MARKS].map(([, mark]) => mark));
  return {
    readable: true,
    discovery: DISCOVERY_MARKS.filter(([, mark]) => found.has(mark)).map(([name]) => name),
    drivers: DRIVER_MARKS.filter(([, mark]) => found.has(mark)).map(([name]) => name),
  };
}

function findMarks(source: ImageSource, marks: readonly string[]): ReadonlySet<string> {
  const found = new Set<string>();
  const decoder = new TextDecoder("latin1");
  const piece = new Uint8Array(PIECE_BYTES + OVERLAP_BYTES);
  for (let at = 0; at < source.size; at += PIECE_BYTES) {
    const bytes = piece.subarray(0, Math.min(piece.length, source.size - at));
    source.read(at, bytes);
    const text = decoder.decode(bytes);
    for (const mark of marks) {
      if (!found.has(mark) && text.includes(mark)) found.add(mark);
    }
  }
  return found;
}
