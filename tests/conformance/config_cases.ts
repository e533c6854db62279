/** Configuration space (BF-CFG, BF-NOTIF-02 and 03, HD-55, HD-56). */
import { assert, assertEquals } from "../../src/std/assert.ts";
import type { AccessSize } from "../../src/virtio/device.ts";
import type { TestStand } from "../support/test_stand.ts";
import type { Case } from "./case.ts";

const WIDTHS: readonly AccessSize[] = [1, 2, 4];
const CONFIG_CHANGE = 2;
/** Past what any device has, up to what no window has. */
const FAR_OFFSETS = [0xefc, 0xeff, 0x1_0000, 0xffff_fe00];

function needsChanges(row: { readonly changesConfig: boolean }): string | undefined {
  return row.changesConfig ? undefined : "its configuration is fixed for the life of the machine";
}

export const CONFIG_CASES: readonly Case[] = [
  {
    id: "BF-CFG-01, BF-CFG-09",
    outcome: "the space reads the same before FEATURES_OK and after, twice over",
    run: (stand) => {
      stand.transport.writeStatus(0x03);
      const early = readBytes(stand);
      assertEquals(readBytes(stand), early);
      stand.bringUp();
      assertEquals(readBytes(stand), early);
    },
  },
  {
    id: "BF-CFG-02, BF-CFG-05, MMIO-38",
    outcome: "every width at every offset gives the little-endian view of the bytes",
    run: (stand) => {
      const bytes = readBytes(stand);
      for (const width of WIDTHS) {
        for (let offset = 0; offset < bytes.length; offset++) {
          const expected = littleEndianNumber([...bytes.slice(offset, offset + width)]);
          assertEquals(
            stand.transport.readConfig(offset, width),
            expected,
            `offset ${offset}, width ${width}`,
          );
        }
      }
    },
  },
  {
    id: "BF-CFG-06, HD-55",
    outcome: "reads past the end give 0, and writes there are lost",
    run: ({ transport, row }) => {
      for (const width of WIDTHS) {
        for (const offset of [row.configBytes, ...FAR_OFFSETS]) {
          transport.writeConfig(offset, width, 0xffff_ffff);
          assertEquals(transport.readConfig(offset, width), 0, `offset ${offset}`);
        }
      }
    },
  },
  {
    id: "HD-55",
    outcome: "a read across the end has real bytes, then zeroes",
    run: ({ transport, row }) => {
      const last = transport.readConfig(row.configBytes - 1, 1);
      assertEquals(transport.readConfig(row.configBytes - 1, 4), last);
    },
  },
  {
    id: "BF-CFG-07, HD-56",
    outcome: "writing all ones changes only what a driver may write",
    run: (stand) => {
      stand.bringUp();
      const before = readBytes(stand);
      for (const width of WIDTHS) {
        for (let offset = 0; offset + width <= before.length; offset += width) {
          stand.transport.writeConfig(offset, width, 0xffff_ffff);
        }
      }
      const changed = [...readBytes(stand).keys()]
        .filter((i) => readBytes(stand)[i] !== before[i])
        .filter((i) => !stand.row.writableConfig.includes(i));
      assertEquals(changed, []);
    },
  },
  {
    id: "BF-NOTIF-03",
    outcome: "what the driver writes sends no config-change interrupt",
    run: (stand) => {
      stand.bringUp();
      stand.warmUp();
      for (let offset = 0; offset < stand.row.configBytes; offset++) {
        stand.transport.writeConfig(offset, 1, 1);
      }
      assertEquals(stand.transport.interruptStatus() & CONFIG_CHANGE, 0);
    },
  },
  {
    id: "BF-NOTIF-02, BF-CFG-04, MMIO-37",
    outcome: "a change by the device moves the generation and interrupts",
    notApplicable: needsChanges,
    run: (stand) => {
      stand.bringUp();
      const before = stand.transport.configGeneration();
      assertEquals(stand.transport.configGeneration(), before);
      stand.specimen.changeConfig();
      assert(stand.transport.configGeneration() > before);
      assertEquals(stand.transport.interruptStatus() & CONFIG_CHANGE, CONFIG_CHANGE);
    },
  },
  {
    id: "BF-NOTIF-02, BF-STAT-04",
    outcome: "a change before DRIVER_OK moves the generation and stays silent",
    notApplicable: needsChanges,
    run: (stand) => {
      stand.driver.negotiate();
      const before = stand.transport.configGeneration();
      stand.specimen.changeConfig();
      assert(stand.transport.configGeneration() > before);
      assertEquals(stand.line.edges, 0);
    },
  },
];

function readBytes({ transport, row }: TestStand): Uint8Array {
  return Uint8Array.from({ length: row.configBytes }, (_, i) => transport.readConfig(i, 1));
}

function littleEndianNumber(bytes: readonly number[]): number {
  return bytes.reduceRight((value, byte) => value * 256 + byte, 0);
}
