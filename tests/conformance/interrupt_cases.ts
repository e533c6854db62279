/** Interrupt status and acknowledgement (MMIO-23 to MMIO-28; PCI's ISR will follow the same rules). */
import { assert, assertEquals } from "../../src/std/assert.ts";
import { VIRTIO_F_VERSION_1 } from "../../src/abi/virtio.ts";
import type { TestStand } from "../support/test_stand.ts";
import type { Case } from "./case.ts";

const USED = 1;
const CONFIG = 2;

export const INTERRUPT_CASES: readonly Case[] = [
  {
    id: "MMIO-23, MMIO-24",
    outcome: "a used buffer sets bit 0 alone, until it is acknowledged",
    run: (stand) => {
      stand.bringUp({ features: VIRTIO_F_VERSION_1 });
      stand.warmUp();
      assertEquals(stand.transport.interruptStatus(), 0);
      stand.roundTrip();
      assertEquals(stand.transport.interruptStatus(), USED);
      assertEquals(stand.transport.interruptStatus(), USED);
      stand.transport.acknowledge(USED);
      assertEquals(stand.transport.interruptStatus(), 0);
    },
  },
  {
    id: "MMIO-25",
    outcome: "an acknowledgement clears exactly the bits written",
    run: (stand) => {
      raiseBoth(stand);
      stand.transport.acknowledge(0xfc);
      assertEquals(stand.transport.interruptStatus(), USED | CONFIG);
      stand.transport.acknowledge(USED);
      assertEquals(stand.transport.interruptStatus(), CONFIG);
      stand.transport.acknowledge(CONFIG);
      assertEquals(stand.transport.interruptStatus(), 0);
    },
  },
  {
    id: "MMIO-26",
    outcome: "a bit left over by a partial acknowledgement gets an edge of its own",
    run: (stand) => {
      raiseBoth(stand);
      stand.line.take();
      stand.transport.acknowledge(USED);
      assertEquals(stand.line.take(), 1);
      stand.transport.acknowledge(CONFIG);
      assertEquals(stand.line.take(), 0);
    },
  },
  {
    id: "MMIO-27",
    outcome: "whoever is woken by the line finds a bit set",
    run: (stand) => {
      const seen: number[] = [];
      stand.line.onEdge = () => seen.push(stand.transport.interruptStatus());
      raiseBoth(stand);
      assert(seen.length >= 2);
      assert(seen.every((status) => status !== 0));
      stand.line.onEdge = () => {};
    },
  },
  {
    id: "MMIO-28, HD-51",
    outcome: "acknowledging works after NEEDS_RESET and before DRIVER_OK",
    run: (stand) => {
      stand.transport.acknowledge(0xffff_ffff);
      raiseBoth(stand);
      assert(stand.isBroken);
      stand.transport.acknowledge(0xffff_ffff);
      assertEquals(stand.transport.interruptStatus(), 0);
    },
  },
];

/** One used buffer, then a ring fault. */
function raiseBoth(stand: TestStand): void {
  stand.bringUp();
  stand.roundTrip();
  stand.queue.writeAvailIdx(0x8000);
  stand.kick();
  assertEquals(stand.transport.interruptStatus(), USED | CONFIG);
}
