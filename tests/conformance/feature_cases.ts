/** Feature negotiation (BF-FEAT, BF-RSV, HD-48, HD-50). */
import { assert, assertEquals } from "../../src/std/assert.ts";
import {
  VIRTIO_F_VERSION_1,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
} from "../../src/abi/virtio.ts";
import type { TestStand } from "../support/test_stand.ts";
import type { Case } from "./case.ts";

/** What our rings can do, whatever the device. */
const RING = VIRTIO_F_VERSION_1 | VIRTIO_RING_F_EVENT_IDX | VIRTIO_RING_F_INDIRECT_DESC;
const ADMIN_VQ = 1n << 41n;
const SR_IOV = 1n << 37n;
const FEATURES_OK = 0x08;
const ROUNDS = 100;

export const FEATURE_CASES: readonly Case[] = [
  {
    id: "BF-FEAT-01",
    outcome: "VERSION_1 is offered",
    run: ({ transport }) => assertEquals(transport.deviceFeatures(1) & 1, 1),
  },
  {
    id: "BF-FEAT-02",
    outcome: "a driver without VERSION_1 is refused",
    run: (stand) => {
      propose(stand, stand.driver.offered() & ~VIRTIO_F_VERSION_1);
      assertEquals(stand.transport.status() & FEATURES_OK, 0);
    },
  },
  {
    id: "BF-FEAT-03, BF-FEAT-04, BF-RSV-05, BF-RSV-06, MMIO-43",
    outcome: "nothing is offered beyond the type's own bits and the ring's",
    run: ({ driver, row }) => {
      const offered = driver.offered();
      assertEquals(offered & ~(row.knownFeatures | RING), 0n);
      assertEquals(offered & (ADMIN_VQ | SR_IOV), 0n);
    },
  },
  {
    id: "BF-FEAT-05",
    outcome: "leaving out any one feature is accepted, unless another needs it",
    run: (stand) => {
      for (const bit of bitsOf(stand.driver.offered() & ~VIRTIO_F_VERSION_1)) {
        propose(stand, stand.driver.offered() & ~bit & ~(stand.row.refusedFeatures ?? 0n));
        assertEquals(stand.transport.status() & FEATURES_OK, FEATURES_OK, `without ${bit}`);
      }
    },
  },
  {
    id: "BF-FEAT-05",
    outcome: "any single feature beside VERSION_1 is accepted, unless it needs another",
    run: (stand) => {
      for (const bit of bitsOf(stand.driver.offered() & ~(stand.row.refusedFeatures ?? 0n))) {
        propose(stand, bit | VIRTIO_F_VERSION_1);
        assertEquals(stand.transport.status() & FEATURES_OK, FEATURES_OK, `only ${bit}`);
      }
    },
  },
  {
    id: "BF-FEAT-05",
    outcome: "with VERSION_1 alone the device works",
    run: (stand) => {
      stand.bringUp({ features: VIRTIO_F_VERSION_1 });
      stand.roundTrip();
    },
  },
  {
    id: "BF-FEAT-06",
    outcome: "an unacceptable set leaves FEATURES_OK clear, and a better one may follow",
    notApplicable: (row) =>
      row.refusedFeatures === undefined ? "its features do not depend on each other" : undefined,
    run: (stand) => {
      propose(stand, VIRTIO_F_VERSION_1 | (stand.row.refusedFeatures ?? 0n));
      assertEquals(stand.transport.status() & FEATURES_OK, 0);
      stand.driver.writeFeatures(VIRTIO_F_VERSION_1);
      stand.transport.writeStatus(0x0b);
      assertEquals(stand.transport.status() & FEATURES_OK, FEATURES_OK);
    },
  },
  {
    id: "BF-FEAT-07, HD-48",
    outcome: "bits never offered are dropped: all ones work like all that is offered",
    run: (stand) => {
      stand.bringUp({ features: (1n << 128n) - 1n });
      stand.roundTrip();
    },
  },
  {
    id: "HD-48, BF-FEAT-10",
    outcome: "words beyond the feature space read 0 and take nothing",
    run: ({ transport, driver }) => {
      for (const word of [2, 3, 4, 31, 32, 33, 0x1_0000, 0xffff_ffff]) {
        assertEquals(transport.deviceFeatures(word), 0, `word ${word}`);
      }
      transport.writeStatus(0x03);
      for (const word of [4, 32, 0xffff_ffff]) transport.writeDriverFeatures(word, 0xffff_ffff);
      transport.writeStatus(0x0b);
      assertEquals(transport.status(), 0x03, "no accepted word, so no VERSION_1");
      driver.negotiate();
    },
  },
  {
    id: "BF-FEAT-08, HD-50",
    outcome: "features written after FEATURES_OK do not count",
    run: (stand) => {
      stand.bringUp();
      assert(stand.driver.eventIdx);
      stand.driver.writeFeatures(VIRTIO_F_VERSION_1);
      stand.queue.setAvailFlags(1); // would silence a device without EVENT_IDX
      stand.roundTrip();
      assertEquals(stand.transport.interruptStatus() & 1, 1);
    },
  },
  {
    id: "BF-FEAT-09",
    outcome: `the same set is accepted ${ROUNDS} times over`,
    run: (stand) => {
      for (let round = 0; round < ROUNDS; round++) {
        stand.bringUp();
        stand.roundTrip();
      }
    },
  },
  {
    id: "BF-FEAT-12",
    outcome: "the offer does not change while a driver is attached",
    run: (stand) => {
      const before = stand.driver.offered();
      stand.bringUp();
      assertEquals(stand.driver.offered(), before);
    },
  },
  {
    id: "BF-FEAT-11, BF-FEAT-13",
    outcome: "a reset clears the accepted set: without EVENT_IDX the flags decide",
    run: (stand) => {
      stand.bringUp();
      stand.bringUp({ features: VIRTIO_F_VERSION_1 });
      stand.warmUp();
      stand.queue.setAvailFlags(1);
      stand.roundTrip();
      assertEquals(stand.line.take(), 0);
    },
  },
  {
    id: "BF-FEAT-13",
    outcome: "after a reset FEATURES_OK without features is refused: none are left from before",
    run: ({ driver, transport }) => {
      driver.negotiate();
      driver.reset();
      transport.writeStatus(0x03);
      transport.writeStatus(0x0b);
      assertEquals(transport.status(), 0x03);
    },
  },
  {
    id: "MMIO-08",
    outcome: "a feature word written twice counts as last written",
    run: (stand) => {
      const { driver, transport } = stand;
      transport.writeStatus(0x03);
      driver.writeFeatures(driver.offered());
      transport.writeDriverFeatures(1, 0); // takes VERSION_1 back
      transport.writeStatus(0x0b);
      assertEquals(transport.status() & FEATURES_OK, 0);
    },
  },
  {
    id: "MMIO-09",
    outcome: "features written before DRIVER do not count",
    run: ({ driver, transport }) => {
      driver.writeFeatures(driver.offered());
      transport.writeStatus(0x01);
      driver.writeFeatures(driver.offered());
      transport.writeStatus(0x0b);
      assertEquals(transport.status(), 0x03);
    },
  },
];

function propose({ driver, transport }: TestStand, features: bigint): void {
  driver.reset();
  transport.writeStatus(0x03);
  driver.writeFeatures(features);
  transport.writeStatus(0x0b);
}

function bitsOf(features: bigint): bigint[] {
  return Array.from({ length: 128 }, (_, i) => 1n << BigInt(i)).filter((bit) =>
    (features & bit) !== 0n
  );
}
