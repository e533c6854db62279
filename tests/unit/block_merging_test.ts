/** Neighbouring requests as one: what the disk is asked for, and what each request hears of it. */
import { MERGED_BYTES, MergingBackend } from "../../devices/block/merging_backend.ts";
import { gpa } from "../../src/memory/guest_memory.ts";
import { assertEquals } from "../../src/std/assert.ts";
import { IovecList } from "../../src/virtio/iovec_list.ts";
import { Random } from "../fuzz/random.ts";
import { FakeDisk } from "../support/fake_disk.ts";
import { GuestRam } from "../support/guest_ram.ts";

const SECTOR = 512;
const TAGS = 16;
const EIO = 5;

interface Asked {
  readonly isWrite: boolean;
  readonly offset: number;
  readonly at: number;
  readonly length: number;
  readonly iovecs: IovecList;
  done: number;
}

/** Asks as the device does: the rest of a short transfer at once, each tag for one request at a time. */
class Stand {
  readonly ram = new GuestRam();
  readonly disk: FakeDisk;
  readonly backend: MergingBackend;
  /** By tag: bytes moved, or -errno. */
  readonly results: number[] = [];
  batches = 0;
  readonly #asked: Asked[] = [];
  readonly #buffers: number[];

  constructor(sectors = 64) {
    this.disk = new FakeDisk(this.ram, { sectors });
    this.backend = new MergingBackend(this.disk, TAGS);
    this.backend.attach({
      completed: (tag, result) => this.#completed(tag, result),
      batchEnd: () => this.batches++,
    });
    this.#buffers = Array.from({ length: TAGS }, () => this.ram.allocate(4 * SECTOR));
  }

  read(tag: number, sector: number, count = 1): void {
    this.#ask(tag, sector, count, false, false);
  }

  write(tag: number, sector: number, count: number, value: number, durable = false): void {
    const at = this.#buffer(tag);
    this.ram.fill(at, count * SECTOR, value);
    this.#ask(tag, sector, count, true, durable);
  }

  /** What a read has brought. */
  bytesOf(tag: number): Uint8Array {
    const { at, length } = this.#asked[tag] as Asked;
    return this.ram.memory.view(gpa(at), length);
  }

  #buffer(tag: number): number {
    return this.#buffers[tag] as number;
  }

  #ask(tag: number, sector: number, count: number, isWrite: boolean, durable: boolean): void {
    const [offset, length, at] = [sector * SECTOR, count * SECTOR, this.#buffer(tag)];
    const iovecs = new IovecList();
    iovecs.add(this.ram.memory.hostAddress(gpa(at), length), length);
    this.#asked[tag] = { isWrite, offset, at, length, iovecs, done: 0 };
    delete this.results[tag];
    if (isWrite) this.backend.write(tag, iovecs, offset, durable);
    else this.backend.read(tag, iovecs, offset);
  }

  #completed(tag: number, result: number): void {
    const asked = this.#asked[tag] as Asked;
    assertEquals(this.results[tag], undefined, `tag ${tag} ends twice`);
    if (result > 0) asked.done += result;
    if (result <= 0 || asked.done === asked.length) {
      this.results[tag] = result < 0 ? result : asked.done;
      return;
    }
    asked.iovecs.advance(result);
    const { isWrite, iovecs, offset, done } = asked;
    if (isWrite) this.backend.write(tag, iovecs, offset + done, false);
    else this.backend.read(tag, iovecs, offset + done);
  }
}

Deno.test("neighbours are read at once, each into its own memory", () => {
  const stand = new Stand();
  stand.read(3, 8);
  stand.read(1, 9, 2);
  stand.read(2, 11);
  assertEquals(stand.disk.log, []);
  stand.backend.submit();
  assertEquals(stand.disk.log, ["read 4096+2048"]);
  assertEquals(stand.results, [, 1024, 512, 512]);
  assertEquals(stand.bytesOf(1), stand.disk.bytes.subarray(9 * SECTOR, 11 * SECTOR));
  assertEquals(stand.bytesOf(2), stand.disk.bytes.subarray(11 * SECTOR, 12 * SECTOR));
  assertEquals(stand.bytesOf(3), stand.disk.bytes.subarray(8 * SECTOR, 9 * SECTOR));
  assertEquals(stand.batches, 1);
});

for (
  const [why, ask, log] of [
    ["there is a gap", (s) => (s.read(0, 1), s.read(1, 3)), ["read 512+512", "read 1536+512"]],
    ["it goes backwards", (s) => (s.read(0, 1), s.read(1, 0)), ["read 512+512", "read 0+512"]],
    ["it is the same place", (s) => (s.read(0, 1), s.read(1, 1)), [
      "read 512+512",
      "read 512+512",
    ]],
    ["one is a write", (s) => (s.read(0, 1), s.write(1, 2, 1, 9)), [
      "read 512+512",
      "write 1024+512",
    ]],
    ["one is durable", (s) => (s.write(0, 1, 1, 8), s.write(1, 2, 1, 9, true)), [
      "write 512+512",
      "durable write 1024+512",
    ]],
    ["they were submitted one by one", (s) => (s.read(0, 1), s.backend.submit(), s.read(1, 2)), [
      "read 512+512",
      "read 1024+512",
    ]],
  ] satisfies [string, (stand: Stand) => unknown, string[]][]
) {
  Deno.test(`two requests stay two when ${why}`, () => {
    const stand = new Stand();
    ask(stand);
    stand.backend.submit();
    assertEquals(stand.disk.log, log);
    assertEquals(stand.results, [512, 512]);
  });
}

Deno.test("durable writes are merged into a durable one", () => {
  const stand = new Stand();
  stand.write(0, 1, 1, 8, true);
  stand.write(1, 2, 1, 9, true);
  stand.backend.submit();
  assertEquals(stand.disk.log, ["durable write 512+1024"]);
  assertEquals([...stand.disk.durable.subarray(1023, 1025)], [8, 9]);
});

for (
  const [limit, pieces, bytes] of [
    ["bytes", 1, MERGED_BYTES / 2],
    ["buffers", 400, 1],
  ] as const
) {
  Deno.test(`a merged request has a limit of ${limit}, and what is beyond it is the next one`, () => {
    const ram = new GuestRam();
    const length = pieces * bytes;
    const disk = new FakeDisk(ram, { sectors: Math.ceil(3 * length / SECTOR) });
    const backend = new MergingBackend(disk, TAGS);
    backend.attach({ completed: () => {}, batchEnd: () => {} });
    const memory = ram.memory.hostAddress(gpa(0), 1);
    for (const tag of [0, 1, 2]) {
      const iovecs = new IovecList();
      for (let i = 0; i < pieces; i++) iovecs.add(memory + 2 * i * bytes, bytes);
      backend.read(tag, iovecs, tag * length);
    }
    disk.holding = true; // so nobody looks at that memory
    backend.submit();
    assertEquals(disk.inFlight, 2);
  });
}

Deno.test("one turn after the other is merged, with no more tags than there are at once", () => {
  const stand = new Stand();
  const tags = new Set<number>();
  const read = stand.disk.read.bind(stand.disk);
  stand.disk.read = (tag, into, offset) => {
    tags.add(tag);
    read(tag, into, offset);
  };
  for (const sector of [0, 2, 4]) {
    stand.read(0, sector);
    stand.read(1, sector + 1);
    stand.backend.submit();
  }
  assertEquals(stand.disk.log, ["read 0+1024", "read 1024+1024", "read 2048+1024"]);
  assertEquals(tags, new Set([TAGS]));
});

Deno.test("a short transfer is the first ones', who got nothing is asked for alone", () => {
  const stand = new Stand();
  for (const tag of [0, 1, 2]) stand.read(tag, tag);
  stand.disk.trouble = (name) => name === "read 0+1536" ? 700 : Infinity;
  stand.backend.submit();
  assertEquals(stand.disk.log, ["read 0+1536", "read 1024+512", "read 700+324"]);
  assertEquals(stand.results, [512, 512, 512]);
  assertEquals(stand.bytesOf(1), stand.disk.bytes.subarray(SECTOR, 2 * SECTOR));
});

Deno.test("an error is heard by those alone whom it concerns", () => {
  const stand = new Stand();
  for (const tag of [0, 1, 2]) stand.write(tag, tag, 1, 0x60 + tag);
  stand.disk.trouble = (name) => /^write (0\+1536|512)/.test(name) ? -EIO : Infinity;
  stand.backend.submit();
  assertEquals(stand.results, [512, -EIO, 512]);
  assertEquals([...stand.disk.bytes.subarray(0, 1)], [0x60]);
  assertEquals([...stand.disk.bytes.subarray(1024, 1025)], [0x62]);
});

Deno.test("a durable write that is asked for alone is still durable", () => {
  const stand = new Stand();
  for (const tag of [0, 1]) stand.write(tag, tag, 1, 9, true);
  stand.disk.trouble = (name) => name.endsWith("write 0+1024") ? -EIO : Infinity;
  stand.backend.submit();
  assertEquals(stand.disk.log.slice(1), ["durable write 0+512", "durable write 512+512"]);
});

Deno.test("any order of reads and writes on a short and failing disk leaves what each was told", () => {
  const random = new Random(7);
  const stand = new Stand(48);
  const model = stand.disk.bytes.slice();
  stand.disk.holding = true;
  for (let round = 0; round < 400; round++) {
    stand.disk.trouble = () => [Infinity, Infinity, 300, 1200, -EIO][random.below(5)] as number;
    // Nothing twice in a round: which of two writes to one place comes last is nobody's promise.
    const written: (() => void)[] = [];
    const reads: (() => void)[] = [];
    let sector = random.below(8);
    for (let tag = 0; tag < TAGS && sector < 44; tag++) {
      const count = 1 + random.below(4);
      const [from, to] = [sector * SECTOR, (sector + count) * SECTOR];
      if (random.below(2) === 0) {
        const value = random.below(256);
        stand.write(tag, sector, count, value);
        written.push(() => {
          // A write that failed may have been done in part.
          if ((stand.results[tag] as number) < 0) {
            model.set(stand.disk.bytes.subarray(from, to), from);
          } else model.fill(value, from, to);
        });
      } else {
        stand.read(tag, sector, count);
        reads.push(() => {
          if ((stand.results[tag] as number) < 0) return;
          assertEquals(stand.bytesOf(tag), model.subarray(from, to), `round ${round}, tag ${tag}`);
        });
      }
      sector += count + (random.below(3) === 0 ? random.below(4) : 0);
    }
    stand.backend.submit();
    while (stand.disk.inFlight > 0) stand.disk.releaseAt(random.below(stand.disk.inFlight));
    for (const check of [...written, ...reads]) check();
    assertEquals(stand.disk.bytes, model, `round ${round}`);
  }
});
