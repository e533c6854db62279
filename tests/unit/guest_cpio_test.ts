/** The archives our initramfs is made of, read as the kernel's buffer-format.rst says. */
import { assertEquals, assertThrows } from "../../src/std/assert.ts";
import { appendArchive, CpioArchive } from "../../src/guest/initramfs/cpio.ts";

/** An entry as the kernel's parse_header() and do_name() take it. */
interface Entry {
  readonly name: string;
  readonly inode: number;
  readonly mode: string;
  readonly owner: readonly [uid: number, gid: number];
  readonly links: number;
  readonly time: number;
  readonly device: readonly [major: number, minor: number];
  readonly data: Uint8Array;
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** All entries up to the end mark, and how many bytes they took with it. */
function readArchive(bytes: Uint8Array): { entries: Entry[]; end: number } {
  const entries: Entry[] = [];
  let at = 0;
  for (;;) {
    assertEquals(at % 4, 0, "a header begins at a multiple of four");
    const header = text(bytes.subarray(at, at + 110));
    assertEquals(/^070701[0-9a-f]{104}$/.test(header), true, `header ${header}`);
    const fields = Array.from(
      { length: 13 },
      (_, index) => parseInt(header.slice(6 + index * 8, 14 + index * 8), 16),
    );
    const [inode = 0, mode = 0, uid = 0, gid = 0, links = 0, time = 0, size = 0] = fields;
    const [, , , , , , , major, minor, deviceMajor = 0, deviceMinor = 0, nameSize = 0, sum] =
      fields;
    assertEquals([major, minor, sum], [0, 0, 0]);
    assertEquals(bytes[at + 110 + nameSize - 1], 0, "the name's last byte");
    const name = text(bytes.subarray(at + 110, at + 110 + nameSize - 1));
    const data = Math.ceil((at + 110 + nameSize) / 4) * 4;
    at = Math.ceil((data + size) / 4) * 4;
    if (name === "TRAILER!!!") {
      assertEquals(size, 0);
      return { entries, end: at };
    }
    entries.push({
      name,
      inode,
      mode: mode.toString(8),
      owner: [uid, gid],
      links,
      time,
      device: [deviceMajor, deviceMinor],
      data: bytes.subarray(data, data + size),
    });
  }
}

/** Names and contents of all lengths modulo four. */
function sample(): CpioArchive {
  const archive = new CpioArchive();
  archive.directory("dev");
  archive.characterDevice("dev/console", 5, 1);
  archive.directory("a", 0o700);
  archive.directory("a/bc");
  for (let length = 0; length < 5; length++) {
    archive.file(`a/bc/${"n".repeat(length + 1)}`, new Uint8Array(length).fill(0x30 + length));
  }
  archive.file("init", new TextEncoder().encode("#!"), 0o755);
  archive.symlink("a/link", "bc/n");
  return archive;
}

Deno.test("cpio: entries are read back with their types, modes, data and numbers", () => {
  const bytes = sample().finish();
  const { entries, end } = readArchive(bytes);

  assertEquals(end, bytes.length);
  assertEquals(entries.map(({ name, mode, links }) => `${mode} ${links} ${name}`), [
    "40755 2 dev",
    "20600 1 dev/console",
    "40700 2 a",
    "40755 2 a/bc",
    "100644 1 a/bc/n",
    "100644 1 a/bc/nn",
    "100644 1 a/bc/nnn",
    "100644 1 a/bc/nnnn",
    "100644 1 a/bc/nnnnn",
    "100755 1 init",
    "120777 1 a/link",
  ]);
  assertEquals(
    entries.map(({ data }) => text(data)),
    ["", "", "", "", "", "1", "22", "333", "4444", "#!", "bc/n"],
  );
  assertEquals(entries[1]?.device, [5, 1]);
  for (const { owner, time } of entries) assertEquals([...owner, time], [0, 0, 0]);
});

Deno.test("cpio: inodes are unique, so that no two files become one", () => {
  const { entries } = readArchive(sample().finish());
  assertEquals(new Set(entries.map(({ inode }) => inode)).size, entries.length);
});

Deno.test("cpio: equal entries give equal bytes", () => {
  assertEquals(sample().finish(), sample().finish());
});

Deno.test("cpio: paths that the kernel would drop or mix up are refused", () => {
  for (const path of ["", "/init", "no/such/folder", "init", "a\0b", "init/below"]) {
    const archive = new CpioArchive();
    archive.file("init", new Uint8Array());
    assertThrows(() => archive.file(path, new Uint8Array()), Error, `"${path}"`);
  }
  assertThrows(() => new CpioArchive().symlink("link", ""), Error, "leads nowhere");
});

Deno.test("cpio: an archive behind an initrd begins at a multiple of four, after four zeros or more", () => {
  const archive = sample().finish();
  for (let length = 0; length < 9; length++) {
    const initrd = new Uint8Array(length).fill(0xff);
    const bytes = appendArchive(initrd, archive);
    const begin = bytes.length - archive.length;
    assertEquals(bytes.subarray(0, length), initrd);
    assertEquals(begin % 4, 0);
    assertEquals(bytes.subarray(length, begin), new Uint8Array(begin - length));
    // LZ4's decoder takes the next four bytes for a block's length: zero ends it.
    assertEquals(begin - length >= 4 && begin - length < 8, true, `${begin - length} zeros`);
    assertEquals(bytes.subarray(begin), archive);
  }
});
