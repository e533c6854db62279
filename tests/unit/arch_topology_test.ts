/**
 * CPUID's topology read as an operating system reads it, for machines of several sizes: by leaf 0xb (SDM vol. 3,
 * 10.9), by leaves 1 and 4 alone, and by AMD's extended leaves (APM vol. 3, E.4).
 */
import { type CpuidEntry, filterCpuid } from "../../src/arch/vm.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";

const COUNTS = [1, 2, 3, 4, 6, 32];
const INTEL_EBX = 0x756e_6547;
const AMD_EBX = 0x6874_7541;
const HTT = 2 ** 28;
const CMP_LEGACY = 2;

function entry(leaf: number, words: Partial<CpuidEntry>): CpuidEntry {
  return { function: leaf, index: 0, flags: 0, eax: 0, ebx: 0, ecx: 0, edx: 0, ...words };
}

/** A cache of `level` that, on the host, 16 threads share. */
function cache(leaf: number, index: number, level: number): CpuidEntry {
  return entry(leaf, { index, flags: 1, eax: (15 << 14) | (level << 5) | 1 });
}

/** What a host of 64 cores with two threads each says of its processor 77. */
function host(vendor: number): CpuidEntry[] {
  return [
    entry(0, { eax: 0x20, ebx: vendor }),
    entry(1, { ebx: 77 * 2 ** 24 + 128 * 2 ** 16 + 0x800, edx: HTT }),
    ...[1, 1, 2, 3].map((level, index) => cache(4, index, level)),
    entry(0xb, { flags: 1, eax: 1, ebx: 2, ecx: 0x100, edx: 77 }),
    entry(0xb, { flags: 1, index: 1, eax: 7, ebx: 128, ecx: 0x201, edx: 77 }),
    entry(0x8000_0001, { ecx: CMP_LEGACY }),
    entry(0x8000_0008, { eax: 0x3030, ecx: 0x707f }),
    ...[1, 1, 2, 3].map((level, index) => cache(0x8000_001d, index, level)),
    entry(0x8000_001e, { eax: 77, ebx: 0x0126, ecx: 0x0301 }),
  ];
}

/** One vCPU's view. */
class Processor {
  readonly #entries: CpuidEntry[];

  constructor(vendor: number, readonly id: number, count: number) {
    const request = { vcpuId: id, vcpuCount: count, tscDeadline: true };
    this.#entries = filterCpuid(host(vendor), request);
  }

  leaf(leaf: number, index = 0): CpuidEntry {
    const found = this.#entries.filter((one) => one.function === leaf && one.index === index);
    assertEquals(found.length, 1, `leaf 0x${leaf.toString(16)}.${index}`);
    return found[0] as CpuidEntry;
  }

  /** Field of `width` bits at `shift`. */
  field(word: number, shift: number, width: number): number {
    return Math.floor(word / 2 ** shift) % 2 ** width;
  }

  get apicId(): number {
    return this.field(this.leaf(1).ebx, 24, 8);
  }

  /** How many caches of `leaf` at `level`, by whom they are shared: the ids above the sharers' bits. */
  cacheOf(leaf: number, level: number): number {
    const found = [0, 1, 2, 3].map((index) => this.leaf(leaf, index))
      .find((one) => this.field(one.eax, 5, 3) === level);
    assert(found !== undefined);
    return this.apicId >> order(this.field(found.eax, 14, 12) + 1);
  }
}

/** Bits that number `count` things. */
function order(count: number): number {
  return Math.ceil(Math.log2(count));
}

function processors(vendor: number, count: number): Processor[] {
  return Array.from({ length: count }, (_, id) => new Processor(vendor, id, count));
}

/** Ids 0 to count - 1, each once, in order. */
function assertNumbered(values: readonly number[]): void {
  assertEquals(values, values.map((_, i) => i));
}

function assertAll(values: readonly number[], expected: number): void {
  assertEquals(values, values.map(() => expected));
}

for (const count of COUNTS) {
  for (const [name, vendor] of [["Intel", INTEL_EBX], ["AMD", AMD_EBX]] as const) {
    Deno.test(`${count} vCPUs on ${name}: leaf 0xb tells of one package of ${count} cores`, () => {
      const all = processors(vendor, count);
      for (const leaf of [0xb, 0x1f]) {
        const threads = all.map((one) => one.leaf(leaf, 0));
        const cores = all.map((one) => one.leaf(leaf, 1));
        assertAll(threads.map(({ ecx }) => ecx), 0x100);
        assertAll(threads.map(({ ebx }) => ebx), 1);
        assertAll(cores.map(({ ecx }) => ecx), 0x201);
        assertAll(cores.map(({ ebx }) => ebx), count);
        assertAll(all.map((one) => one.leaf(leaf, 2).ecx), 2);
        assertNumbered(threads.map(({ edx, eax }) => edx >> eax)); // a core each
        assertAll(cores.map(({ edx, eax }) => edx >> eax), 0); // all in package 0
      }
    });

    Deno.test(`${count} vCPUs on ${name}: leaf 1 gives each its APIC id, inside one package`, () => {
      const all = processors(vendor, count);
      assertNumbered(all.map((one) => one.apicId));
      const reserved = all.map((one) => one.field(one.leaf(1).ebx, 16, 8));
      assertAll(reserved, 2 ** order(count));
      assertAll(all.map((one, i) => one.apicId >> order(reserved[i] ?? 0)), 0);
      assertAll(all.map((one) => one.field(one.leaf(1).edx, 28, 1)), count > 1 ? 1 : 0);
    });
  }

  Deno.test(`${count} vCPUs on Intel: leaf 4 gives one thread a core, own L1 and L2, one L3`, () => {
    const all = processors(INTEL_EBX, count);
    for (const one of all) {
      const cores = one.field(one.leaf(4).eax, 26, 6) + 1;
      assertEquals(one.field(one.leaf(1).ebx, 16, 8) / cores, 1);
    }
    for (const level of [1, 2]) assertNumbered(all.map((one) => one.cacheOf(4, level)));
    assertAll(all.map((one) => one.cacheOf(4, 3)), 0);
    assertAll(all.map((one) => one.leaf(0x8000_0008).ecx), 0x707f); // reserved there: left alone
  });

  Deno.test(`${count} vCPUs on AMD: the extended leaves count cores, and share one L3`, () => {
    const all = processors(AMD_EBX, count);
    const sizes = all.map((one) => one.leaf(0x8000_0008).ecx);
    assertAll(sizes.map((ecx) => (ecx & 0xff) + 1), count);
    assertAll(all.map((one, i) => one.apicId >> ((sizes[i] ?? 0) >> 12 & 15)), 0);
    assertAll(all.map((one) => one.leaf(0x8000_0001).ecx), count > 1 ? CMP_LEGACY : 0);
    const units = all.map((one) => one.leaf(0x8000_001e));
    assertNumbered(units.map(({ eax }) => eax));
    assertNumbered(units.map(({ ebx }) => ebx)); // core id, and 0: one thread a core
    assertAll(units.map(({ ecx }) => ecx), 0); // node 0 of 1
    for (const level of [1, 2]) assertNumbered(all.map((one) => one.cacheOf(0x8000_001d, level)));
    assertAll(all.map((one) => one.cacheOf(0x8000_001d, 3)), 0);
  });
}
