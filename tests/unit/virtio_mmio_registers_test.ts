/** The register page of virtio-mmio itself (MMIO-01 to MMIO-44, HD-53, HD-54, HD-61). */
import { assert, assertEquals } from "../../src/std/assert.ts";
import type { AccessSize } from "../../src/virtio/device.ts";
import { EchoDevice } from "../support/echo_device.ts";
import { GuestRam } from "../support/guest_ram.ts";
import { InterruptSink } from "../support/interrupt_sink.ts";
import { ManualLoop } from "../support/manual_loop.ts";
import { attachMmio, type MmioDriver } from "../support/mmio_driver.ts";
import { MockDriver } from "../support/mock_driver.ts";

const SIZES: readonly AccessSize[] = [1, 2, 4];
const ALL_ONES = 0xffff_ffff;
/** What a reset echo device reads at aligned 32-bit offsets below the config space; all others read 0. */
const RESET_VALUES = new Map([
  [0x000, 0x7472_6976],
  [0x004, 2],
  [0x008, 42],
  [0x00c, 0x6f6e_6964],
  [0x010, 0x3000_0003],
  [0x034, 256],
  [0x0b0, ALL_ONES],
  [0x0b4, ALL_ONES],
  [0x0b8, ALL_ONES],
  [0x0bc, ALL_ONES],
]);
/** Registers whose writes do something to a reset device. */
const SELECTORS = { deviceFeatures: 0x014, driverFeatures: 0x024, queue: 0x030, shm: 0x0ac };

interface Bench {
  readonly ram: GuestRam;
  readonly loop: ManualLoop;
  readonly line: InterruptSink;
  readonly faults: Error[];
  readonly device: EchoDevice;
  readonly registers: MmioDriver;
  readonly driver: MockDriver;
}

function makeBench(): Bench {
  const surroundings = {
    ram: new GuestRam(),
    loop: new ManualLoop(),
    line: new InterruptSink(),
    faults: [],
  };
  const device = new EchoDevice();
  const registers = attachMmio(device, surroundings);
  const driver = new MockDriver(registers, surroundings.ram, surroundings.loop);
  return { ...surroundings, device, registers, driver };
}

Deno.test("MMIO-01 to MMIO-06, MMIO-40, HD-54 every register of a reset device reads its value", () => {
  const { registers } = makeBench();
  for (let offset = 0; offset < 0x100; offset += 4) {
    assertEquals(
      registers.read(offset),
      RESET_VALUES.get(offset) ?? 0,
      `at ${offset.toString(16)}`,
    );
  }
});

Deno.test("MMIO-39, HD-53 reads that are not 32 bits wide and aligned give 0", () => {
  const { registers } = makeBench();
  for (let offset = 0; offset < 0x100; offset++) {
    for (const size of SIZES) {
      if (size === 4 && offset % 4 === 0) continue;
      assertEquals(registers.read(offset, size), 0, `${size} bytes at ${offset.toString(16)}`);
    }
  }
});

Deno.test("MMIO-39, HD-53 writes that are not 32 bits wide and aligned change nothing", () => {
  const { registers, driver } = makeBench();
  driver.bringUp();
  const before = registerPage(registers);
  for (let offset = 0; offset < 0x100; offset++) {
    for (const size of SIZES) {
      if (size === 4 && offset % 4 === 0) continue;
      for (const value of [0, 1, ALL_ONES]) {
        assert(registers.write(offset, value, size).answered);
      }
    }
  }
  assertEquals(registerPage(registers), before);
});

Deno.test("MMIO-40, MMIO-41, HD-54 writes to read-only, legacy and unassigned offsets change nothing", () => {
  const { registers, driver, device } = makeBench();
  driver.bringUp();
  const before = registerPage(registers);
  const inert = [
    0x000,
    0x004,
    0x008,
    0x00c,
    0x010,
    0x028,
    0x034,
    0x03c,
    0x040,
    0x060,
    0x0b0,
    0x0fc,
  ];
  for (const offset of [...inert, 0x018, 0x01c, 0x048, 0x054, 0x078, 0x0c0, 0x0c4, 0x0f8]) {
    for (const value of [0, 1, ALL_ONES]) assert(registers.write(offset, value).answered);
  }
  assertEquals(registerPage(registers), before);
  assertEquals(device.resets, 1, "the one of bringUp");
});

Deno.test("MMIO-23 reading every register twice gives the same page", () => {
  const { registers, driver } = makeBench();
  driver.bringUp();
  assertEquals(registerPage(registers), registerPage(registers));
});

Deno.test("MMIO-06, MMIO-07 the feature word follows its selector", () => {
  const { registers } = makeBench();
  for (const [word, value] of [[1, 1], [0, 0x3000_0003], [2, 0], [4, 0], [32, 0], [ALL_ONES, 0]]) {
    registers.write(SELECTORS.deviceFeatures, word ?? 0);
    assertEquals(registers.read(0x010), value, `word ${word}`);
  }
});

Deno.test("MMIO-10 two queues may be programmed in turns", () => {
  const { driver, registers, ram } = makeBench();
  driver.negotiate();
  const places = [driver.place(8), driver.place(4, "high")];
  for (const area of ["used", "desc", "avail"] as const) {
    places.forEach((place, queue) => registers.writeQueueAddress(queue, area, BigInt(place[area])));
  }
  places.forEach((place, queue) => driver.setUpQueue(queue, place));
  driver.start();
  for (const queue of [0, 1]) {
    const answer = driver.call(driver.queue(queue), { readable: new Uint8Array(3), writable: 3 });
    assertEquals([...answer.response], [0xff, 0xff, 0xff]);
  }
  assertEquals(ram.firstForeignChange(), undefined);
});

Deno.test("MMIO-16 of QueueReady only bit 0 counts", () => {
  const { driver, registers } = makeBench();
  driver.negotiate();
  driver.program(0, driver.place(8));
  registers.write(SELECTORS.queue, 0);
  registers.write(0x044, 0xffff_fffe);
  assertEquals(registers.read(0x044), 0);
  registers.write(0x044, ALL_ONES);
  assertEquals(registers.read(0x044), 1);
});

Deno.test("MMIO-20 the halves of an address are independent", () => {
  const { driver, registers } = makeBench();
  driver.negotiate();
  const place = driver.place(8);
  registers.write(SELECTORS.queue, 0);
  registers.write(0x084, 7); // desc high, written first and then again
  registers.write(0x080, place.desc);
  registers.write(0x084, 0);
  driver.setUpQueue(0, place);
  assert(registers.queueReady(0));
});

Deno.test("MMIO-31 a reset clears the selectors", () => {
  const { driver, registers } = makeBench();
  for (const offset of Object.values(SELECTORS)) registers.write(offset, 1);
  registers.write(0x070, 0);
  assertEquals(registers.read(0x010), 0x3000_0003);
  assertEquals(registers.read(0x034), 256);
  registers.write(0x070, 3);
  registers.write(0x020, 1); // into word 0 again, so VERSION_1 (word 1, bit 0) is not accepted
  registers.write(0x070, 0x0b);
  assertEquals(registers.read(0x070), 3);
  driver.reset();
});

Deno.test("MMIO-33, HD-61 shared memory regions that do not exist read all ones", () => {
  const { registers } = makeBench();
  for (const region of [0, 7, 255, ALL_ONES]) {
    registers.write(SELECTORS.shm, region);
    assertEquals([0x0b0, 0x0b4, 0x0b8, 0x0bc].map((at) => registers.read(at)), [
      ALL_ONES,
      ALL_ONES,
      ALL_ONES,
      ALL_ONES,
    ]);
  }
});

Deno.test("MMIO-37, BF-CFG-03 a change between two halves of a read shows in the generation", () => {
  const { registers, device } = makeBench();
  const before = registers.read(0x0fc);
  const low = registers.read(0x100);
  device.bumpVersion();
  assertEquals(registers.read(0x100), low + 1);
  assert(registers.read(0x0fc) > before);
});

Deno.test("MMIO-42 the window holds registers and any config space we have", () => {
  const { registers } = makeBench();
  assert(registers.registers.windowSize >= 0x100 + 96);
});

Deno.test("MMIO-44 the accesses Linux makes, in its order, bring the device up", () => {
  const { registers, ram } = makeBench();
  assertEquals([0x000, 0x004, 0x008].map((at) => registers.read(at)), [0x7472_6976, 2, 42]);
  registers.read(0x00c);
  for (const status of [0, 1, 3]) registers.write(0x070, status);
  registers.write(0x014, 1);
  const high = registers.read(0x010);
  registers.write(0x014, 0);
  const low = registers.read(0x010);
  for (const [word, value] of [[1, high], [0, low]] as const) {
    registers.write(0x024, word);
    registers.write(0x020, value);
  }
  registers.write(0x070, 0x0b);
  assertEquals(registers.read(0x070), 0x0b);
  registers.write(0x030, 0);
  assertEquals([registers.read(0x044), registers.read(0x034)], [0, 256]);
  registers.write(0x038, 256);
  const halves = [0x080, 0x090, 0x0a0];
  halves.forEach((at) => {
    const part = ram.allocate(16 * 256, 16);
    ram.fill(part, 16 * 256, 0);
    registers.write(at, part);
    registers.write(at + 4, 0);
  });
  registers.write(0x044, 1);
  registers.write(0x070, 0x0f);
  assertEquals([registers.read(0x070), registers.read(0x044)], [0x0f, 1]);
});

Deno.test("BF-RESET-09 a reset that goes on answers after its patience; one that is done leaves no timer", () => {
  const { registers, driver, device, loop } = makeBench();
  driver.bringUp();
  device.holding = true;
  driver.submit(driver.queue(0), driver.prepare({ readable: new Uint8Array(4), writable: 4 }));
  const posted = registers.writeStatus(0);
  loop.advance(999);
  assert(!posted.answered);
  loop.advance(1);
  assert(posted.answered);
  assert(registers.status() !== 0);
  device.release();
  assertEquals(registers.status(), 0);
  assertEquals(loop.pendingTimers, 0);
});

Deno.test("BF-RESET-09 a reset done before its patience ends takes its timer along", () => {
  const { registers, driver, device, loop } = makeBench();
  driver.bringUp();
  device.holding = true;
  driver.submit(driver.queue(0), driver.prepare({ readable: new Uint8Array(4), writable: 4 }));
  const posted = registers.writeStatus(0);
  device.release();
  assert(posted.answered);
  assertEquals(loop.pendingTimers, 0);
});

/** All registers below the config space, as they read now. */
function registerPage(registers: MmioDriver): number[] {
  return Array.from({ length: 64 }, (_, i) => registers.read(i * 4));
}
