/** 400 times `dinovisor `, as the programs of Debian 12 pack it. */
import type { Compression } from "../../src/sys/decompress.ts";

export const SAMPLE: Uint8Array<ArrayBuffer> = new TextEncoder().encode("dinovisor ".repeat(400));

/** A packed sample, and the command that made it. */
export interface PackedSample {
  readonly made: string;
  readonly kind: Compression;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

function packed(kind: Compression, made: string, base64: string): PackedSample {
  return { kind, made, bytes: Uint8Array.fromBase64(base64) };
}

export const RUNTIME_SAMPLES: readonly PackedSample[] = [
  packed(
    "gzip",
    "gzip -9n",
    "H4sIAAAAAAACA+3GsQ0AIAgAsFc8joUFEk24nzNc2qmR1ZOv7wkzMzMzMzMz+7QFfePNxaAPAAA=",
  ),
  packed(
    "gzip",
    "gzip -9N",
    "H4sICLBWA2sCA3NhbXBsZQDtxrENACAIALBXPI6FBRJNuJ8zXNqpkdWTr+8JMzMzMzMzM/u0BX3jzcWgDwAA",
  ),
  packed("zstd", "zstd -19", "KLUv/WSgDo0AAFBkaW5vdmlzb3IgAQCTr1+QSVc+cg=="),
  packed(
    "zstd",
    "zstd -19 --no-check --no-content-size",
    "KLUv/QAQjQAAUGRpbm92aXNvciABAJOvX5A=",
  ),
];

export const LIBRARY_SAMPLES: readonly PackedSample[] = [
  packed(
    "xz",
    "xz -6 --check=crc32",
    "/Td6WFoAAAFpIt42AgAhARYAAAB0L+Wj4A+fACVdADIaSh/4vG11MG50ph7sawBX0+LxeaVF6ZNd2xgC0FCLHrIb1gAAAAAA" +
      "fePNxQABPaAfAAAA8RjsAz4wDYsCAAAAAAFZWg==",
  ),
  packed(
    "lzma",
    "lzma -6",
    "XQAAgAD//////////wAyGkof+LxtdTBudKYe7GsAV9Pi8XmlRemTXdsYAtBQix7LNeN///X4AAA=",
  ),
  packed(
    "lz4",
    "lz4 -l",
    "AiFMGCMAAACvZGlub3Zpc29yIAoA////////////////////jVBpc29yIA==",
  ),
  packed(
    "lz4",
    "lz4",
    "BCJNGGRApyMAAACvZGlub3Zpc29yIAoA////////////////////jVBpc29yIAAAAADnN1/i",
  ),
];
