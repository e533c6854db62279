/** The ACPI tables of the x86 machine: where they stand, what they say, and that kernels can trust them. */
import {
  PLATFORM_RESET,
  PLATFORM_RESET_VALUE,
  PLATFORM_SLEEP_CONTROL,
  PLATFORM_SLEEP_STATUS,
  PLATFORM_SLEEP_TYPE_S5,
} from "../../src/abi/platform.ts";
import { type AcpiTables, architecture, BootError, type DeviceSlot } from "../../src/arch/mod.ts";
import * as map from "../../src/arch/x86_64/memory_map.ts";
import { LIMITS } from "../../src/machine/config.ts";
import { assert, assertEquals, assertThrows } from "../../src/std/assert.ts";

const x86 = architecture("x86_64");
const PLATFORM = 0xd000_0000;

function virtio(count: number): DeviceSlot[] {
  return Array.from({ length: count }, (_, index) => x86.virtioSlot(index, `block${index}`));
}

function tablesOf(vcpus: number, devices: number): AcpiTables {
  return x86.acpiTables({ vcpus, devices: [...x86.fixedSlots, ...virtio(devices)] });
}

function textAt(bytes: Uint8Array, at: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + length));
}

function sumOf(bytes: Uint8Array): number {
  return bytes.reduce((sum, byte) => sum + byte, 0) % 256;
}

/** What a kernel finds, going from the root pointer. */
class Reader {
  readonly #view: DataView;

  constructor(readonly tables: AcpiTables) {
    this.#view = new DataView(tables.bytes.buffer);
  }

  u32(address: number): number {
    return this.#view.getUint32(address - this.tables.root, true);
  }

  u64(address: number): number {
    return Number(this.#view.getBigUint64(address - this.tables.root, true));
  }

  bytes(address: number, length: number): Uint8Array {
    const at = address - this.tables.root;
    assert(at >= 0 && at + length <= this.tables.bytes.length, `0x${address.toString(16)}`);
    return this.tables.bytes.subarray(at, at + length);
  }

  table(address: number): Uint8Array {
    return this.bytes(address, this.u32(address + 4));
  }

  /** By signature; each table's address beside its bytes. */
  all(): Map<string, { readonly address: number; readonly bytes: Uint8Array }> {
    const found = new Map();
    const add = (address: number) => {
      const bytes = this.table(address);
      found.set(textAt(bytes, 0, 4), { address, bytes });
      return bytes;
    };
    const xsdtAt = this.u64(this.tables.root + 24);
    const xsdt = add(xsdtAt);
    for (let at = 36; at < xsdt.length; at += 8) add(this.u64(xsdtAt + at));
    const fadt = found.get("FACP");
    add(this.u64(fadt.address + 140));
    return found;
  }

  tableCalled(signature: string): Uint8Array {
    const found = this.all().get(signature);
    assert(found !== undefined, signature);
    return found.bytes;
  }
}

const SHAPES: readonly (readonly [vcpus: number, devices: number])[] = [
  [1, 0],
  [1, 1],
  [2, 9],
  [LIMITS.vcpus.max, x86.maxVirtioSlots],
];

for (const [vcpus, devices] of SHAPES) {
  Deno.test(`ACPI with ${vcpus} vCPUs and ${devices} devices: every checksum is right`, () => {
    const reader = new Reader(tablesOf(vcpus, devices));
    const root = reader.bytes(reader.tables.root, 36);
    assertEquals([sumOf(root.subarray(0, 20)), sumOf(root)], [0, 0]);
    const all = reader.all();
    assertEquals([...all.keys()], ["XSDT", "FACP", "APIC", "DSDT"]);
    for (const [signature, { bytes }] of all) assertEquals(sumOf(bytes), 0, signature);
  });

  Deno.test(`ACPI with ${vcpus} vCPUs and ${devices} devices: tables are aligned and apart`, () => {
    const reader = new Reader(tablesOf(vcpus, devices));
    const { root, bytes } = reader.tables;
    let end = root + 36;
    const all = [...reader.all().values()].sort((a, b) => a.address - b.address);
    for (const table of all) {
      assertEquals(table.address % 16, 0);
      assert(table.address >= end && table.address < end + 16);
      end = table.address + table.bytes.length;
    }
    assertEquals(end, root + bytes.length);
  });
}

Deno.test("ACPI tables stand where old kernels look, in memory e820 keeps back, clear of the MP table", () => {
  const { root, bytes } = tablesOf(LIMITS.vcpus.max, x86.maxVirtioSlots);
  assertEquals([root, root % 16], [0xe_0000, 0]);
  const place = map.ACPI_TABLES;
  assertEquals([place.base, place.base + place.size], [root, map.MP_TABLE.base]);
  assert(bytes.length < place.size / 2, `${bytes.length} bytes: room is getting short`);
  const entry = map.e820(x86.ramRanges(64 * 2 ** 20)).find(({ base, size }) =>
    base <= place.base && base + size >= place.base + place.size
  );
  assertEquals(entry?.type, map.E820_RESERVED);
});

Deno.test("the root pointer is of revision 2 and has no RSDT", () => {
  const reader = new Reader(tablesOf(1, 0));
  const root = reader.bytes(reader.tables.root, 36);
  assertEquals([textAt(root, 0, 8), textAt(root, 9, 6)], ["RSD PTR ", "DINOVI"]);
  assertEquals(root[15], 2);
  const word = (offset: number) => reader.u32(reader.tables.root + offset);
  assertEquals([word(16), word(20), word(32) >>> 8], [0, 36, 0]);
});

Deno.test("every table names its maker and its revision", () => {
  const all = new Reader(tablesOf(1, 1)).all();
  const revisions = [...all].map(([signature, { bytes }]) => [signature, bytes[8]]);
  assertEquals(revisions, [["XSDT", 1], ["FACP", 6], ["APIC", 6], ["DSDT", 2]]);
  for (const { bytes } of all.values()) {
    assertEquals(textAt(bytes, 10, 14), "DINOVIDINOVISR");
    assertEquals(textAt(bytes, 28, 4), "DINO");
  }
});

/** The fields of the FADT that are not 0, by offset (ACPI 6.5, table 5.9). */
function fadtFields(fadt: Uint8Array) {
  const view = new DataView(fadt.buffer, fadt.byteOffset, fadt.byteLength);
  /** Generic Address Structure: space, bits, first bit, access size, address. */
  const register = (at: number) => [
    ...fadt.subarray(at, at + 4),
    Number(view.getBigUint64(at + 4, true)),
  ];
  return {
    dsdt: view.getUint32(40, true),
    c2Latency: view.getUint16(96, true),
    c3Latency: view.getUint16(98, true),
    century: fadt[108],
    bootArchitecture: view.getUint16(109, true),
    flags: view.getUint32(112, true),
    reset: register(116),
    resetValue: fadt[128],
    minorVersion: fadt[131],
    xDsdt: Number(view.getBigUint64(140, true)),
    sleepControl: register(244),
    sleepStatus: register(256),
    hypervisor: textAt(fadt, 268, 8),
  };
}

Deno.test("the FADT is of a hardware-reduced machine with reset and sleep registers", () => {
  const reader = new Reader(tablesOf(1, 0));
  const fadt = reader.tableCalled("FACP");
  const dsdt = reader.all().get("DSDT")?.address ?? 0;
  assertEquals(fadt.length, 276);
  const MEMORY_BYTE = [0, 8, 0, 1];
  assertEquals(fadtFields(fadt), {
    dsdt,
    c2Latency: 101, // above 100 and 1000: no such state
    c3Latency: 1001,
    century: 0x32,
    bootArchitecture: 1 << 2, // no VGA; no 8042 (1 << 1); not "no CMOS clock" (1 << 5)
    // WBINVD, C1, both buttons and the clock's alarm not in fixed hardware, reset register, headless, reduced.
    flags: 1 << 0 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 10 | 1 << 12 | 1 << 20,
    reset: [...MEMORY_BYTE, PLATFORM + PLATFORM_RESET],
    resetValue: PLATFORM_RESET_VALUE,
    minorVersion: 5,
    xDsdt: dsdt,
    sleepControl: [...MEMORY_BYTE, PLATFORM + PLATFORM_SLEEP_CONTROL],
    sleepStatus: [...MEMORY_BYTE, PLATFORM + PLATFORM_SLEEP_STATUS],
    hypervisor: "DINOVISR",
  });
});

Deno.test("the FADT has no fixed hardware: all its other bytes are 0", () => {
  const fadt = new Reader(tablesOf(1, 0)).tableCalled("FACP");
  const used = [[0, 36], [40, 44], [96, 100], [108, 116], [116, 129], [131, 132], [140, 148]];
  const isUsed = (at: number) => at >= 244 || used.some(([a = 0, b = 0]) => at >= a && at < b);
  const stray = [...fadt.keys()].filter((at) => !isUsed(at) && fadt[at] !== 0);
  assertEquals(stray, []);
});

/** The MADT's entries, each as its bytes. */
function entriesOf(madt: Uint8Array): number[][] {
  const entries: number[][] = [];
  for (let at = 44; at < madt.length; at += madt[at + 1] ?? 0) {
    assert((madt[at + 1] ?? 0) >= 2, "an entry without a length");
    entries.push([...madt.subarray(at, at + (madt[at + 1] ?? 0))]);
  }
  return entries;
}

for (const vcpus of [1, 2, 32]) {
  Deno.test(`the MADT lists ${vcpus} processors by their APIC ids, one IOAPIC and the NMI line`, () => {
    const madt = new Reader(tablesOf(vcpus, 0)).tableCalled("APIC");
    const view = new DataView(madt.buffer, madt.byteOffset);
    assertEquals([view.getUint32(36, true), view.getUint32(40, true)], [0xfee0_0000, 1]);
    const processors = Array.from({ length: vcpus }, (_, id) => [0, 8, id, id, 1, 0, 0, 0]);
    assertEquals(entriesOf(madt), [
      ...processors,
      [1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0],
      [4, 6, 0xff, 0, 0, 1],
    ]);
  });
}

/** Where `needle` stands in `bytes`, all places. */
function placesOf(bytes: Uint8Array, needle: readonly number[]): number[] {
  const places: number[] = [];
  for (let at = 0; at + needle.length <= bytes.length; at++) {
    if (needle.every((byte, i) => bytes[at + i] === byte)) places.push(at);
  }
  return places;
}

function ascii(text: string): number[] {
  return [...new TextEncoder().encode(text)];
}

interface Found {
  readonly base: number;
  readonly gsi: number;
  readonly shared: boolean;
}

/** Memory32Fixed and Interrupt of each virtio device, in order. */
function virtioIn(dsdt: Uint8Array): Found[] {
  const view = new DataView(dsdt.buffer, dsdt.byteOffset);
  return placesOf(dsdt, [...ascii("LNRO0005"), 0]).map((at) => {
    const memory = at + (placesOf(dsdt.subarray(at), [0x86, 9, 0, 1])[0] ?? NaN);
    assertEquals(view.getUint32(memory + 8, true), 0x1000);
    const line = memory + 12;
    assertEquals([...dsdt.subarray(line, line + 3)], [0x89, 6, 0]);
    const flags = dsdt[line + 3] ?? 0;
    assertEquals([flags & ~8, dsdt[line + 4]], [3, 1], "consumer, edge, active high, one line");
    return {
      base: view.getUint32(memory + 4, true),
      gsi: view.getUint32(line + 5, true),
      shared: (flags & 8) !== 0,
    };
  });
}

for (const count of [0, 1, 9, 10, 32]) {
  Deno.test(`the DSDT tells where ${count} virtio devices are, and which lines are shared`, () => {
    const slots = virtio(count);
    const found = virtioIn(new Reader(tablesOf(1, count)).tableCalled("DSDT"));
    assertEquals(
      found,
      slots.map(({ base, gsi = -1 }) => ({
        base,
        gsi,
        shared: slots.filter((slot) => slot.gsi === gsi).length > 1,
      })),
    );
    if (count === 10) assertEquals(found.filter(({ shared }) => shared).length, 2);
  });
}

Deno.test("the names in the DSDT are unique, and so are the numbers of like devices", () => {
  const dsdt = new Reader(tablesOf(32, 32)).tableCalled("DSDT");
  for (const letter of ["C", "V"]) {
    for (const digits of ["000", "009", "00A", "01F"]) {
      assertEquals(placesOf(dsdt, ascii(letter + digits)).length, 1, letter + digits);
    }
    assertEquals(placesOf(dsdt, ascii(`${letter}020`)).length, 0);
  }
  const numbered = (id: string, n: number) =>
    placesOf(dsdt, [...ascii(id), 0, 8, ...ascii("_UID"), 0x0a, n]).length;
  for (let n = 2; n < 32; n++) {
    assertEquals([numbered("ACPI0007", n), numbered("LNRO0005", n)], [1, 1], `${n}`);
  }
});

Deno.test("the DSDT only has devices that are there", () => {
  const com1 = x86.fixedSlots.filter(({ kind }) => kind === "serial");
  const { bytes } = x86.acpiTables({ vcpus: 1, devices: com1 });
  const has = (text: string) => placesOf(bytes, ascii(text)).length > 0;
  assertEquals(["COM1", "RTC_", "PWRB", "GED_", "V000"].filter(has), ["COM1"]);
  const silent = x86.fixedSlots.filter(({ kind }) => kind === "platform")
    .map(({ name, kind, space, base, size }) => ({ name, kind, space, base, size }));
  const without = x86.acpiTables({ vcpus: 1, devices: silent }).bytes;
  assertEquals(placesOf(without, ascii("PWRB")), [], "a page that cannot interrupt has no button");
});

Deno.test("the power button's line is no device's, and the event device takes it", () => {
  const platform = x86.fixedSlots.find(({ kind }) => kind === "platform");
  assertEquals(platform?.gsi, 9);
  const others = [...x86.fixedSlots, ...virtio(32)].filter((slot) => slot !== platform);
  assert(others.every(({ gsi }) => gsi !== platform?.gsi));
  const dsdt = new Reader(tablesOf(1, 32)).tableCalled("DSDT");
  assertEquals(placesOf(dsdt, [0x89, 6, 0, 3, 1, 9, 0, 0, 0]).length, 1);
});

Deno.test("the DSDT says what a press does, and which sleep type is soft-off", () => {
  const dsdt = new Reader(tablesOf(1, 0)).tableCalled("DSDT");
  const has = (...bytes: number[]) => placesOf(dsdt, bytes).length === 1;
  // Name (_HID, EisaId ("PNP0C0C")), Notify (\_SB.PWRB, 0x80), Name (\_S5, Package () {5, 0, 0, 0}).
  assert(has(...ascii("PWRB"), 8, ...ascii("_HID"), 0x0c, 0x41, 0xd0, 0x0c, 0x0c));
  assert(has(0x86, 0x5c, 0x2e, ...ascii("_SB_PWRB"), 0x0a, 0x80));
  assert(has(8, 0x5c, ...ascii("_S5_"), 0x12, 7, 4, 0x0a, PLATFORM_SLEEP_TYPE_S5, 0, 0, 0));
});

Deno.test("more than the tables can hold is an error that says so", () => {
  const crowd = (vcpus: number, devices: number) => () =>
    x86.acpiTables({
      vcpus,
      devices: Array.from({ length: devices }, () => x86.virtioSlot(0, "one of many")),
    });
  for (const [vcpus, devices] of [[256, 0], [1, 4097], [1, 3000]] as const) {
    const error = assertThrows(crowd(vcpus, devices), BootError);
    assertEquals(error.code, "ACPI_TOO_BIG");
    assert(error.hint !== undefined);
  }
  assertEquals(crowd(255, 1000)().root, map.ACPI_TABLES.base);
});
