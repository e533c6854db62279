/** Every case against every device behind every transport. What does not apply says why and counts as ignored. */
import { MMIO } from "../support/mmio_driver.ts";
import { type DeviceRow, TestStand } from "../support/test_stand.ts";
import type { TransportKind } from "../support/driver_transport.ts";
import type { Case } from "./case.ts";
import { CONFIG_CASES } from "./config_cases.ts";
import { DEVICES } from "./devices.ts";
import { EVENT_CASES } from "./event_cases.ts";
import { FEATURE_CASES } from "./feature_cases.ts";
import { HOSTILE_CHAIN_CASES } from "./hostile_chain_cases.ts";
import { HOSTILE_RING_CASES } from "./hostile_ring_cases.ts";
import { INDIRECT_CASES } from "./indirect_cases.ts";
import { INTERRUPT_CASES } from "./interrupt_cases.ts";
import { QUEUE_SETUP_CASES } from "./queue_setup_cases.ts";
import { RESET_CASES } from "./reset_cases.ts";
import { RING_CASES } from "./ring_cases.ts";
import { STATUS_CASES } from "./status_cases.ts";

const TRANSPORTS: readonly TransportKind[] = [MMIO];
const CASES: readonly Case[] = [
  ...STATUS_CASES,
  ...FEATURE_CASES,
  ...RESET_CASES,
  ...CONFIG_CASES,
  ...INTERRUPT_CASES,
  ...QUEUE_SETUP_CASES,
  ...RING_CASES,
  ...INDIRECT_CASES,
  ...EVENT_CASES,
  ...HOSTILE_RING_CASES,
  ...HOSTILE_CHAIN_CASES,
];

for (const kind of TRANSPORTS) {
  for (const row of DEVICES) {
    for (const item of CASES) register(kind, row, item);
  }
}

function register(kind: TransportKind, row: DeviceRow, item: Case): void {
  const reason = item.notApplicable?.(row);
  const name = `${row.name} over ${kind.name}: ${item.id} ${item.outcome}`;
  Deno.test({
    name: reason === undefined ? name : `${name} (not applicable: ${reason})`,
    ignore: reason !== undefined,
    fn: () => {
      const stand = new TestStand(row, kind);
      item.run(stand);
      stand.checkInvariants();
    },
  });
}
