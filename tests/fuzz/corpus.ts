/** Cases the fuzzer has found, made small. Each was a fault once: of this tree, of its tests, or of a copy broken on purpose. */
import type { FuzzCase } from "./steps.ts";

export const CORPUS: readonly { readonly why: string; readonly found: FuzzCase }[] = [
  {
    why: "a stream that has room again is not ended twice",
    found: {
      device: "vsock",
      strict: true,
      steps: [
        { do: "up", mask: 0xffff_ffff, size: 16, high: false },
        { do: "stray", value: 482_818_879, pieces: 2, indirect: false },
        { do: "stray", value: 2_081_255_190, pieces: 2, indirect: false },
        { do: "meddle", value: 3_060_009_076 },
      ],
    },
  },
  {
    why: "what the guest has written is what it reads, though the base has not changed",
    found: {
      device: "block with an overlay",
      strict: false,
      steps: [
        { do: "up", mask: 0xffff_ffff, size: 16, high: true },
        { do: "stray", value: 1_723_061_292, pieces: 2, indirect: false },
      ],
    },
  },
];
