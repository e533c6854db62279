/** Every kind of wrong file gets its name and a hint. */
import assert from "node:assert/strict";
import { identify } from "../../src/arch/identify.ts";
import type { ImageSource } from "../../src/arch/types.ts";

/** A file of `size` bytes with `bytes` (or Latin-1 text) at `at`; the filler is not zero and not text. */
function file(at: number, bytes: string | readonly number[], size = 0x9000): ImageSource {
  const content = new Uint8Array(size).fill(0x81, 0, size);
  const pattern = typeof bytes === "string" ? Array.from(bytes, (c) => c.charCodeAt(0)) : bytes;
  content.set(pattern, at);
  return sourceOf(content);
}

function sourceOf(content: Uint8Array): ImageSource {
  return {
    size: content.length,
    name: "x",
    read(offset, into) {
      if (offset + into.length > content.length) throw new Error("short read");
      into.set(content.subarray(offset, offset + into.length));
    },
  };
}

function textFile(text: string): ImageSource {
  return sourceOf(new TextEncoder().encode(text));
}

const KINDS: readonly (readonly [string, ImageSource, RegExp, RegExp])[] = [
  ["gzip", file(0, [0x1f, 0x8b]), /^a gzip archive$/, /gunzip/],
  ["xz", file(0, "\xfd7zXZ\0"), /^an xz archive$/, /unxz/],
  ["zstd", file(0, [0x28, 0xb5, 0x2f, 0xfd]), /^a zstd archive$/, /unzstd/],
  ["bzip2", file(0, "BZh9"), /^a bzip2 archive$/, /bunzip2/],
  ["lz4", file(0, [4, 0x22, 0x4d, 0x18]), /^an lz4 archive$/, /unlz4/],
  ["legacy lz4", file(0, [2, 0x21, 0x4c, 0x18]), /^a legacy lz4 archive$/, /unlz4/],
  ["lzma", file(0, [0x5d, 0, 0, 0x80]), /^an lzma archive$/, /unlzma/],
  ["zip", file(0, "PK\x03\x04"), /^a zip archive$/, /unpack/],
  ["7z", file(0, "7z\xbc\xaf\x27\x1c"), /7-Zip/, /unpack/],
  ["rar", file(0, "Rar!"), /RAR/, /unpack/],
  ["cpio newc", file(0, "070701"), /^a cpio archive \(newc\)$/, /--initrd/],
  ["cpio old", file(0, "070707"), /old ASCII/, /-H newc/],
  ["tar", file(257, "ustar"), /^a tar archive$/, /unpack/],
  ["deb", file(0, "!<arch>\ndebian-binary"), /^a Debian package$/, /dpkg-deb/],
  ["ar", file(0, "!<arch>\nfoo.o"), /^an ar archive/, /vmlinux/],
  ["rpm", file(0, [0xed, 0xab, 0xee, 0xdb]), /^an RPM package$/, /rpm2cpio/],
  ["arm64 Image", file(56, "ARM\x64"), /^an arm64 Linux kernel/, /x86-64/],
  ["arm64 Image as EFI", merge(file(0, "MZ"), 56, "ARM\x64"), /^an arm64 Linux kernel/, /x86-64/],
  ["arm zImage", file(36, [0x18, 0x28, 0x6f, 1]), /32-bit Arm Linux kernel/, /x86-64/],
  ["riscv Image", file(56, "RSC\x05"), /^a RISC-V Linux kernel/, /x86-64/],
  ["zboot", merge(file(0, "MZ"), 4, "zimg"), /zboot/, /extract-vmlinux/],
  ["EFI", file(0, "MZ\x90"), /^an EFI or Windows program/, /extract-vmlinux/],
  ["Mach-O", file(0, [0xcf, 0xfa, 0xed, 0xfe]), /Mach-O/, /vmlinux/],
  ["universal Mach-O", file(0, [0xca, 0xfe, 0xba, 0xbe]), /universal Mach-O/, /vmlinux/],
  ["uImage", file(0, [0x27, 5, 0x19, 0x56]), /U-Boot image/, /dumpimage/],
  ["device tree", file(0, [0xd0, 0x0d, 0xfe, 0xed]), /device tree blob/, /vmlinux/],
  ["ext4", file(1080, [0x53, 0xef]), /^an ext2\/ext3\/ext4 file system$/, /--disk/],
  ["squashfs", file(0, "hsqs"), /^a squashfs file system$/, /--disk/],
  ["erofs", file(1024, [0xe2, 0xe1, 0xf5, 0xe0]), /^an erofs file system$/, /--disk/],
  ["xfs", file(0, "XFSB"), /XFS/, /--disk/],
  ["qcow2", file(0, "QFI\xfb"), /^a qcow2 disk image$/, /qemu-img/],
  ["vmdk", file(0, "KDMV"), /^a VMDK disk image$/, /qemu-img/],
  ["iso", file(0x8001, "CD001"), /ISO 9660/, /--disk/],
  ["gpt", file(512, "EFI PART"), /GUID partition table/, /--disk/],
  ["mbr", file(510, [0x55, 0xaa]), /boot sector/, /--disk/],
  ["pdf", file(0, "%PDF-1.7"), /^a PDF document$/, /vmlinux/],
  ["png", file(0, "\x89PNG"), /^a PNG picture$/, /vmlinux/],
  ["wasm", file(0, [0, 0x61, 0x73, 0x6d]), /WebAssembly/, /vmlinux/],
  ["elf", file(0, "\x7fELF"), /^an ELF file$/, /vmlinux/],
  ["script", textFile("#!/bin/sh\necho hi\n"), /^a script$/, /not the program/],
  ["web page", textFile("\n<!DOCTYPE html><p>404"), /^a web page$/, /download/],
  [
    "lfs pointer",
    textFile("version https://git-lfs.github.com/spec/v1\n"),
    /Git LFS/,
    /git lfs pull/,
  ],
  ["json", textFile('{"message": "not found"}'), /^a JSON file$/, /vmlinux/],
  ["text", textFile("hello\tworld é\r\n"), /^a text file$/, /vmlinux/],
  ["empty", sourceOf(new Uint8Array(0)), /^empty$/, /download/],
  ["zeros", sourceOf(new Uint8Array(300)), /^nothing but zero bytes$/, /download/],
  [
    "zeros at the start",
    sourceOf(new Uint8Array(5000)),
    /zero bytes at its start \(4 KiB\)/,
    /--disk/,
  ],
  [
    "tiny",
    sourceOf(Uint8Array.of(0x90, 0, 1)),
    /^only 3 bytes long, so it is probably truncated$/,
    /download/,
  ],
  ["unknown", file(0, [0xde, 0xad]), /^of no known kind \(it starts with de ad 81/, /vmlinux/],
];

function merge(source: ImageSource, at: number, text: string): ImageSource {
  const content = new Uint8Array(source.size);
  source.read(0, content);
  content.set(Array.from(text, (c) => c.charCodeAt(0)), at);
  return sourceOf(content);
}

for (const [name, source, phrase, hint] of KINDS) {
  Deno.test(`identify: ${name}`, () => {
    const identity = identify(source);
    assert.match(identity.phrase, phrase);
    assert.match(identity.hint, hint);
  });
}

Deno.test("identify: every length of a file answers", () => {
  for (let size = 0; size < 70; size++) {
    assert(identify(file(0, [], size)).phrase.length > 0);
  }
});
