/**
 * Why an id of `checklist.md` has no test of its own. Read by `scripts/conformance.ts`, which fails when a test names
 * such an id after all, or when an id has neither.
 */

export type Verdict =
  /** The device has nothing that the requirement speaks of. */
  | "not applicable"
  /** Every test checks it on its way, or the types leave no other way; `why` says where. */
  | "by construction"
  /** Nobody has shown it yet. */
  | "open";

export interface Decision {
  /** Whole ids, or `GROUP-*` for all of a group without a test. */
  readonly ids: readonly string[];
  readonly verdict: Verdict;
  readonly why: string;
}

export const DECISIONS: readonly Decision[] = [
  absent(["BAL-*", "HD-30", "HD-94", "HD-95"], "there is no balloon device"),
  absent(["BLKZ-*"], "F_ZONED is not offered: disk images have no zones"),
  absent(["FS-*", "HD-97", "HD-98", "HD-99", "HD-100"], "there is no file system device"),
  absent(["MEM-*", "HD-101"], "there is no memory device"),
  absent(["PMEM-*", "HD-96"], "there is no persistent memory device"),
  absent(
    ["PCI-*", "HD-63", "HD-64", "HD-65", "HD-66", "HD-67", "HD-68"],
    "there is no PCI transport",
  ),
  absent(
    ["MMIO1-*", "BF-RSV-07", "BF-RSV-08"],
    "the register window is version 2 only: every driver since Linux 3.20 knows it",
  ),
  absent(["NETR-*"], "neither RSS nor HASH_REPORT is offered"),
  absent(
    ["VQ-PACK-*", "HD-31", "HD-32", "HD-33", "HD-34", "HD-35", "HD-36", "HD-37"],
    "RING_PACKED is not offered",
  ),
  absent(["VQ-INORD-*", "BF-RSV-03"], "IN_ORDER is not offered: disk requests end in any order"),
  absent(["VQ-RST-*", "MMIO-34", "MMIO-35", "MMIO-36"], "RING_RESET is not offered"),
  absent(
    ["VQ-NDATA-*", "HD-60"],
    "NOTIFICATION_DATA is not offered: kicks are eventfds, which carry no data",
  ),
  absent(["BF-SUSP-*"], "SUSPEND is not offered"),
  absent(["BF-SHM-*", "MMIO-32"], "no device has shared memory (MMIO-33 tests what is read then)"),
  absent(
    ["BF-RSV-01", "BF-RSV-02"],
    "ACCESS_PLATFORM is not offered: devices see all of guest RAM at its addresses",
  ),
  absent(
    ["BF-RSV-04"],
    "ORDER_PLATFORM is not offered: the device is software on the same processors",
  ),
  absent(["BLK-13", "BLK-38"], "LIFETIME is not offered: an image does not tell how worn it is"),
  absent(["BLK-36", "BLK-37"], "the size of a disk is fixed while its machine lives"),
  absent(["CON-21"], "ports are never unplugged, so no REMOVE is sent"),
  absent(["NET-09", "NET-10"], "SPEED_DUPLEX is not offered: a virtual link has no speed to tell"),
  absent(["NET-11"], "neither HASH_REPORT nor CTRL_RX_EXTRA is offered"),
  absent(["NET-21"], "no tunnel bit and no OUT_NET_HEADER is offered: the fields do not exist"),
  absent(["NET-38"], "RSC_EXT is not offered"),
  absent(["NETC-22", "NETC-23", "NETC-24", "NETC-25"], "no notification coalescing is offered"),
  absent(["NETC-26"], "DEVICE_STATS is not offered"),
  absent(
    ["VQ-EVT-14", "HD-105"],
    "rings are never restored from a snapshot: the index is always known",
  ),
  sure(
    ["HD-81"],
    "taps, passt and sockets are given what the guest sends, as a cable would; the switch's table of addresses is bounded",
  ),
  sure(
    ["HD-104"],
    "TestStand.checkInvariants asks a neighbour for an answer after every fault of every device",
  ),
  sure(["BF-NOTIF-01"], "it names the kinds; BF-NOTIF-02 to 05 test each of them"),
  sure(["BF-INIT-06"], "BF-RESET-01 to 03 look at every queue of every device after a reset"),
  sure(["BLK-42"], "tests/support/block_requests.ts fills the field with something else each time"),
  sure(
    ["BLK-22"],
    "unmap is one fallocate(2) that punches a hole or writes zeroes; both read as zero (BLK-21)",
  ),
  sure(["BLK-26"], "it leaves the state open, so there is nothing that could be wrong"),
  sure(["MMIO-21"], "every kick of every test is such a write"),
  sure(["NET-02"], "BF-FEAT-03 and BF-FEAT-06 hold all devices against one table of dependencies"),
  sure(
    ["NET-17"],
    "the header goes on to the host's kernel as it is, and other backends carry no checksum state",
  ),
  sure(
    ["VQ-SPLIT-06"],
    "1024 segments (MAX_CHAIN_SEGMENTS), at least a queue's size: HD-27 tests both sides",
  ),
  sure(["VQ-SPLIT-11"], "HD-25 and HD-16 discard chains that turn back to readable parts"),
  sure(["VQ-SPLIT-17"], "a licence: used.len here says exactly what was written (VQ-SPLIT-16)"),
  sure(["VQ-SPLIT-18"], "tests/support/driver_queue.ts refuses any other used.len, in every test"),
  sure(["VSOCK-08"], "VSOCK-09 sends every other type; all other tests send streams"),
  sure(["VSOCK-40"], "tests/support/vsock_stand.ts demands it of every packet that a test sends"),
  {
    ids: ["NET-36"],
    verdict: "by construction",
    why: "DATA_VALID only comes from the host's kernel, in the header of a tap",
  },
];

function absent(ids: readonly string[], why: string): Decision {
  return { ids, verdict: "not applicable", why };
}

function sure(ids: readonly string[], why: string): Decision {
  return { ids, verdict: "by construction", why };
}
