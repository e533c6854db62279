/**
 * vCPU threads read registers and configuration from a mirror (MMIO-37, MMIO-39, BF-CFG-05): after every step of a
 * life it answers what the registers would, at every offset and width. All other cases read through it as well.
 */
import { VIRTIO_MMIO_INTERRUPT_STATUS } from "../../src/abi/virtio.ts";
import { assertEquals } from "../../src/std/assert.ts";
import { MMIO, type MmioDriver } from "../support/mmio_driver.ts";
import { TestStand } from "../support/test_stand.ts";
import { DEVICES } from "./devices.ts";

/** Past all registers and every configuration space, and around where the mirror ends. */
const OFFSETS = [...Array(0x220).keys(), 0x7fc, 0xffc, 0xfff];

function compare(driver: MmioDriver, step: string): void {
  for (const offset of OFFSETS) {
    for (const size of [1, 2, 4] as const) {
      if (offset === VIRTIO_MMIO_INTERRUPT_STATUS) continue; // read where it is raised
      try {
        driver.read(offset, size);
      } catch (error) {
        throw new Error(step, { cause: error });
      }
    }
  }
}

type Step = readonly [name: string, act: (stand: TestStand, driver: MmioDriver) => void];

const STEPS: readonly Step[] = [
  ["power-on", () => {}],
  ["ACKNOWLEDGE, DRIVER", (_, driver) => driver.writeStatus(3)],
  ["the second word of features", (_, driver) => driver.deviceFeatures(1)],
  ["a word of features that is not there", (_, driver) => driver.deviceFeatures(9)],
  ["another queue", (_, driver) => driver.queueMaxSize(1)],
  ["a queue that is not there", (_, driver) => driver.queueMaxSize(1000)],
  ["a driver that is up", (stand) => stand.bringUp()],
  ["a request", (stand) => stand.roundTrip()],
  ["a changed configuration", (stand) => stand.row.changesConfig && stand.specimen.changeConfig()],
  ["every byte of the configuration written", ({ row }, driver) => {
    for (let i = 0; i < row.configBytes; i++) driver.writeConfig(i, 1, 1);
  }],
  ["a stopped queue", (_, driver) => driver.disableQueue(0)],
  ["a driver that gives up", (_, driver) => driver.writeStatus(0x80)],
  ["a reset", (_, driver) => driver.writeStatus(0)],
  ["a driver that is up again", (stand) => stand.bringUp()],
  ["a change before anybody reads", (stand) => {
    if (stand.row.changesConfig) stand.specimen.changeConfig();
  }],
];

for (const row of DEVICES) {
  Deno.test(`${row.name} over mmio: MMIO-37 the mirror reads as the registers do, in every state`, () => {
    const stand = new TestStand(row, MMIO);
    const driver = stand.transport as MmioDriver;
    for (const [name, act] of STEPS) {
      act(stand, driver);
      compare(driver, name);
    }
  });

  Deno.test(`${row.name} over mmio: BF-RESET-09 a reset that outlasts patience shows when it is through`, () => {
    const stand = new TestStand(row, MMIO);
    const driver = stand.transport as MmioDriver;
    stand.bringUp();
    stand.specimen.stall();

    stand.driver.submit(stand.queue, stand.driver.prepare(stand.nextRequest()));
    stand.loop.settle();
    driver.writeStatus(0);
    compare(driver, "waiting");
    stand.loop.advance(1001);
    compare(driver, "answered");
    stand.specimen.release();
    stand.loop.settle();
    compare(driver, "through");
    assertEquals(driver.status(), 0);
  });

  Deno.test(`${row.name} over mmio: BF-STAT-06 a broken device shows NEEDS_RESET`, () => {
    const stand = new TestStand(row, MMIO);
    const driver = stand.transport as MmioDriver;
    stand.bringUp();
    stand.queue.writeAvailIdx(stand.queue.usedIdx + 1000);
    driver.registers.kick(stand.specimen.queue); // by ioeventfd: no register write publishes anything
    stand.loop.settle();
    assertEquals(stand.isBroken, true);
    compare(driver, "broken");
  });
}
