/**
 * What a file is, from its first bytes: so that a wrong file is named instead of called "invalid". Called by the
 * loaders when a kernel is none, and good for initrds and disks as well.
 */
import { byteAt, hasAt, sizeText, viewOf } from "./bytes.ts";
import type { ImageSource } from "./types.ts";

/** A file's kind in words: `it is ${phrase}`, and what to do with it instead. */
export interface Identity {
  readonly phrase: string;
  readonly hint: string;
}

const UNPACK = "unpack it first and give what is inside";
const VMLINUX = "kernels for this monitor are a vmlinux ELF file or a bzImage";
const EXTRACT =
  "unpack it first; scripts/extract-vmlinux of the kernel source takes the vmlinux out of such files";
const DISK = "that is a root disk: pass it with --disk";
const OTHER_DISK =
  "convert it to a raw image first (qemu-img convert -O raw), then pass it with --disk";
const INITRD = "that is an initrd: pass it with --initrd";
const OTHER_ARCH = "use a kernel built for x86-64";
const DOWNLOAD = "copy or download the file again";

/** A magic number: where, what, and what it means. Texts are Latin-1. */
interface Magic extends Identity {
  readonly at: number;
  readonly bytes: string | readonly number[];
}

function magic(at: number, bytes: string | readonly number[], phrase: string, hint: string): Magic {
  return { at, bytes, phrase, hint };
}

/** Most particular first: the arm64 and RISC-V images may carry a PE header as well. */
const MAGICS: readonly Magic[] = [
  magic(56, "ARM\x64", "an arm64 Linux kernel (Image)", OTHER_ARCH),
  magic(56, "RSC\x05", "a RISC-V Linux kernel (Image)", OTHER_ARCH),
  magic(36, [0x18, 0x28, 0x6f, 0x01], "a 32-bit Arm Linux kernel (zImage)", OTHER_ARCH),
  magic(4, "zimg", "a compressed EFI kernel (zboot)", EXTRACT),
  magic(
    0,
    [0x27, 0x05, 0x19, 0x56],
    "a U-Boot image (uImage)",
    "take the kernel out with dumpimage",
  ),
  magic(0, [0xd0, 0x0d, 0xfe, 0xed], "a device tree blob or FIT image", VMLINUX),
  magic(
    0,
    [0x1f, 0x8b],
    "a gzip archive",
    `gunzip it first; ${INITRD} if it is a compressed initrd`,
  ),
  magic(
    0,
    [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0],
    "an xz archive",
    `run unxz first; ${INITRD} if it is a compressed initrd`,
  ),
  magic(
    0,
    [0x28, 0xb5, 0x2f, 0xfd],
    "a zstd archive",
    `run unzstd first; ${INITRD} if it is a compressed initrd`,
  ),
  magic(0, "BZh", "a bzip2 archive", "run bunzip2 first"),
  magic(0, [0x04, 0x22, 0x4d, 0x18], "an lz4 archive", "run unlz4 first"),
  magic(0, [0x02, 0x21, 0x4c, 0x18], "a legacy lz4 archive", "run unlz4 first"),
  magic(0, [0x5d, 0, 0], "an lzma archive", "run unlzma first"),
  magic(0, "LZIP", "an lzip archive", UNPACK),
  magic(0, [0x89, 0x4c, 0x5a, 0x4f], "an lzop archive", UNPACK),
  magic(0, "7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
  magic(0, "Rar!", "a RAR archive", UNPACK),
  magic(0, "PK\x03\x04", "a zip archive", UNPACK),
  magic(0, "PK\x05\x06", "an empty zip archive", UNPACK),
  magic(0, "070701", "a cpio archive (newc)", INITRD),
  magic(0, "070702", "a cpio archive (crc)", INITRD),
  magic(
    0,
    "070707",
    "a cpio archive (old ASCII)",
    "make it again with cpio -H newc, then pass it with --initrd",
  ),
  magic(
    0,
    [0xc7, 0x71],
    "a binary cpio archive",
    "make it again with cpio -H newc, then pass it with --initrd",
  ),
  magic(257, "ustar", "a tar archive", UNPACK),
  magic(
    0,
    "!<arch>\ndebian",
    "a Debian package",
    "unpack it with dpkg-deb -x; the kernel is below boot/",
  ),
  magic(0, "!<arch>\n", "an ar archive or static library", VMLINUX),
  magic(
    0,
    [0xed, 0xab, 0xee, 0xdb],
    "an RPM package",
    "unpack it with rpm2cpio; the kernel is below lib/modules/",
  ),
  magic(0, "QFI\xfb", "a qcow2 disk image", OTHER_DISK),
  magic(0, "KDMV", "a VMDK disk image", OTHER_DISK),
  magic(0, "# Disk DescriptorFile", "a VMDK disk descriptor", OTHER_DISK),
  magic(0, "vhdxfile", "a VHDX disk image", OTHER_DISK),
  magic(0, "conectix", "a VHD disk image", OTHER_DISK),
  magic(64, [0x7f, 0x10, 0xda, 0xbe], "a VirtualBox disk image", OTHER_DISK),
  magic(0, "hsqs", "a squashfs file system", DISK),
  magic(1024, [0xe2, 0xe1, 0xf5, 0xe0], "an erofs file system", DISK),
  magic(1080, [0x53, 0xef], "an ext2/ext3/ext4 file system", DISK),
  magic(0, "XFSB", "an XFS file system", DISK),
  magic(1024, [0x10, 0x20, 0xf5, 0xf2], "an F2FS file system", DISK),
  magic(0x8001, "CD001", "an ISO 9660 CD image", "pass it with --disk PATH,ro"),
  magic(512, "EFI PART", "a disk image with a GUID partition table", DISK),
  magic(0, [0xcf, 0xfa, 0xed, 0xfe], "a Mach-O program (macOS)", VMLINUX),
  magic(0, [0xce, 0xfa, 0xed, 0xfe], "a 32-bit Mach-O program (macOS)", VMLINUX),
  magic(0, [0xca, 0xfe, 0xba, 0xbe], "a universal Mach-O program or Java class", VMLINUX),
  magic(0, [0x00, 0x61, 0x73, 0x6d], "a WebAssembly module", VMLINUX),
  magic(0, "%PDF", "a PDF document", VMLINUX),
  magic(0, "\x89PNG", "a PNG picture", VMLINUX),
  magic(0, [0xff, 0xd8, 0xff], "a JPEG picture", VMLINUX),
  magic(0, "MZ", "an EFI or Windows program without a Linux boot header", EXTRACT),
  magic(0, "\x7fELF", "an ELF file", VMLINUX),
];

/** The boot sector of a partitioned disk; a bzImage carries the same mark, so the caller looks for HdrS first. */
const BOOT_SECTOR: Identity = { phrase: "a disk image with a boot sector", hint: DISK };
const BOOT_SECTOR_MARK = [0x55, 0xaa];

/** Enough for every magic number but the CD's. */
const HEAD_BYTES = 4096;
const ISO_BYTES = 6;
const ISO_AT = 0x8001;
/** Shorter than any kernel's headers. */
const TINY = 64;

/** The first bytes of `source`, up to 4096; fewer when the file is shorter. */
export function readHead(source: ImageSource): Uint8Array {
  const head = new Uint8Array(Math.min(HEAD_BYTES, source.size));
  if (head.length > 0) source.read(0, head);
  return head;
}

/** Names what `source` is. Always answers; the last resort is "of no known kind". */
export function identify(source: ImageSource): Identity {
  const head = readHead(source);
  if (head.length === 0) return { phrase: "empty", hint: DOWNLOAD };
  for (const candidate of MAGICS) {
    if (matches(source, head, candidate)) return candidate;
  }
  const text = identifyText(head);
  if (text !== undefined) return text;
  if (head.every(isZero)) return identifyZeros(source, head);
  if (hasAt(head, 510, BOOT_SECTOR_MARK)) return BOOT_SECTOR;
  if (source.size < TINY) {
    return {
      phrase: `only ${sizeText(source.size)} long, so it is probably truncated`,
      hint: DOWNLOAD,
    };
  }
  return { phrase: `of no known kind (it starts with ${hexDump(head)})`, hint: VMLINUX };
}

function matches(source: ImageSource, head: Uint8Array, candidate: Magic): boolean {
  if (candidate.at + candidate.bytes.length <= HEAD_BYTES) {
    return hasAt(head, candidate.at, candidate.bytes);
  }
  if (candidate.at !== ISO_AT || source.size < ISO_AT + ISO_BYTES) return false;
  const bytes = new Uint8Array(ISO_BYTES);
  source.read(ISO_AT, bytes);
  return hasAt(bytes, 0, candidate.bytes);
}

/** A sparse copy that lost its data looks like this, and so does an empty disk. */
function identifyZeros(source: ImageSource, head: Uint8Array): Identity {
  const whole = head.length === source.size;
  return {
    phrase: whole
      ? "nothing but zero bytes"
      : `nothing but zero bytes at its start (${sizeText(head.length)})`,
    hint: `${DOWNLOAD}; if it is an empty disk, pass it with --disk`,
  };
}

function identifyText(head: Uint8Array): Identity | undefined {
  if (!isText(head)) return undefined;
  const text = new TextDecoder().decode(head.subarray(0, 512)).trimStart();
  if (text.startsWith("#!")) {
    return { phrase: "a script", hint: "give the kernel, not the program that builds it" };
  }
  if (text.startsWith("version https://git-lfs")) {
    return { phrase: "a Git LFS pointer", hint: "fetch the real file with git lfs pull" };
  }
  if (/^(<!doctype|<html|<\?xml)/i.test(text)) {
    return { phrase: "a web page", hint: "the download went wrong: open the address in a browser" };
  }
  if (/^[{[]/.test(text)) return { phrase: "a JSON file", hint: VMLINUX };
  return { phrase: "a text file", hint: VMLINUX };
}

/** No control characters but white space, and mostly ASCII: UTF-8 text has bytes above 127, binaries have NULs. */
function isText(head: Uint8Array): boolean {
  let high = 0;
  for (const byte of head) {
    const white = byte === 0x09 || byte === 0x0a || byte === 0x0d || byte === 0x0c || byte === 0x1b;
    if ((byte < 0x20 && !white) || byte === 0x7f) return false;
    if (byte > 0x7f) high++;
  }
  return high * 2 <= head.length;
}

function isZero(byte: number): boolean {
  return byte === 0;
}

function hexDump(head: Uint8Array): string {
  const view = viewOf(head);
  const words: string[] = [];
  for (let i = 0; i < Math.min(8, view.byteLength); i++) {
    words.push(byteAt(head, i).toString(16).padStart(2, "0"));
  }
  return words.join(" ");
}
