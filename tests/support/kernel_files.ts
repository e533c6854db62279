/** Files that look like kernels to whoever reads them, made of given texts: an ELF vmlinux and a bzImage. */

const MIB = 2 ** 20;
const SECTOR = 512;

/** What Linux says of itself, as init/version.c builds it. */
export function banner(version: string, rest = "#1 SMP PREEMPT_DYNAMIC"): string {
  return `Linux version ${version} (me@here) (gcc (Debian 12.2.0) 12.2.0, GNU ld) ${rest}\n\0`;
}

/** `texts` as bytes, with something between them, at least `size` of them. */
export function imageOf(texts: readonly string[], size = 0): Uint8Array<ArrayBuffer> {
  const text = texts.map((part) => `\x90\x90${part}`).join("");
  const bytes = new Uint8Array(Math.max(size, text.length));
  // The texts come last, where a search that stops early misses them.
  bytes.set(
    Uint8Array.from(text, (character) => character.charCodeAt(0)),
    bytes.length - text.length,
  );
  return bytes;
}

/** A 64-bit ELF file that loads `image` at 16 MiB; `debug` stands behind it and is not loaded. */
export function elfKernel(
  image: Uint8Array,
  debug: Uint8Array = new Uint8Array(),
): Uint8Array<ArrayBuffer> {
  const start = 120; // ELF header and one program header
  const file = new Uint8Array(start + image.length + debug.length);
  const view = new DataView(file.buffer);
  const word = (at: number, value: number) => view.setBigUint64(at, BigInt(value), true);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, 62, true);
  word(24, 16 * MIB);
  word(32, 64);
  view.setUint16(54, 56, true);
  view.setUint16(56, 1, true);
  view.setUint32(64, 1, true);
  word(64 + 8, start);
  word(64 + 24, 16 * MIB);
  word(64 + 32, image.length);
  word(64 + 40, image.length);
  word(64 + 48, 4);
  file.set(image, start);
  file.set(debug, start + image.length);
  return file;
}

/** A bzImage around `payload`, which stands a little behind the start of the protected-mode part. */
export function bzImage(payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const before = 48;
  const body = Math.ceil((before + payload.length) / 16) * 16;
  const file = new Uint8Array(2 * SECTOR + body);
  const view = new DataView(file.buffer);
  view.setUint8(0x1f1, 1);
  view.setUint32(0x1f4, body / 16, true);
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint8(0x201, 0x6a);
  file.set(new TextEncoder().encode("HdrS"), 0x202);
  view.setUint16(0x206, 0x20f, true);
  view.setUint8(0x211, 1);
  view.setUint32(0x22c, 0x7fff_ffff, true);
  view.setUint32(0x230, 0x20_0000, true);
  view.setUint8(0x234, 1);
  view.setUint16(0x236, 3, true);
  view.setUint32(0x238, 2047, true);
  view.setUint32(0x248, before, true);
  view.setUint32(0x24c, payload.length, true);
  view.setBigUint64(0x258, BigInt(16 * MIB), true);
  view.setUint32(0x260, 8 * MIB, true);
  file.set(payload, 2 * SECTOR + before);
  return file;
}
