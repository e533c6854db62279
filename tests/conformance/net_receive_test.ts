/** What a network card gives to the driver (NET-27 to NET-41, HD-79, HD-82). */
import {
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_ECN,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_GUEST_TSO6,
  VIRTIO_NET_F_GUEST_USO4,
  VIRTIO_NET_F_GUEST_USO6,
  VIRTIO_NET_F_MRG_RXBUF,
} from "../../devices/net/abi.ts";
import { NET_COUNTERS } from "../../devices/net/counts.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import { concat, littleEndian } from "../support/guest_ram.ts";
import { MMIO } from "../support/mmio_driver.ts";
import { NetStand, type NetStandSetup } from "../support/net_stand.ts";
import { frameOf, type HeaderFields, netHeader } from "../support/packets.ts";

const GUEST_SEGMENTS = VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_GUEST_TSO6 | VIRTIO_NET_F_GUEST_ECN |
  VIRTIO_NET_F_GUEST_USO4 | VIRTIO_NET_F_GUEST_USO6;
const TSO: HeaderFields = {
  flags: 1,
  gsoType: 1,
  hdrLen: 54,
  gsoSize: 1448,
  csumStart: 34,
  csumOffset: 16,
};

function netTest(
  id: string,
  outcome: string,
  run: (stand: NetStand) => void,
  setup?: NetStandSetup,
) {
  Deno.test(`net: ${id} ${outcome}`, () => {
    const stand = new NetStand(MMIO, setup);
    run(stand);
    stand.checkInvariants();
  });
}

function packetOf(length: number, fields: HeaderFields = {}) {
  return concat(netHeader(fields), frameOf(length));
}

function sizes(count: number, size: number): number[] {
  return new Array<number>(count).fill(size);
}

netTest("NET-27, NET-28", "without MRG_RXBUF a packet is in one buffer, and says so", (stand) => {
  stand.offer(sizes(2, 2048));
  stand.network.arrive(packetOf(1514));
  assertEquals(stand.received(), [concat(netHeader({ numBuffers: 1 }), frameOf(1514))]);
}, { without: VIRTIO_NET_F_MRG_RXBUF });

netTest(
  "NET-27, HD-79",
  "without MRG_RXBUF what does not fit is lost, and the buffer is used for the next",
  (stand) => {
    stand.offer([500]);
    stand.network.arrive(packetOf(1514));
    assertEquals(stand.received(), []);
    assertEquals(stand.device.drops.received, 1);
    stand.network.arrive(packetOf(60));
    assertEquals(stand.received().map((bytes) => bytes.length), [72]);
  },
  { without: VIRTIO_NET_F_MRG_RXBUF },
);

netTest(
  "NET-29, NET-30",
  "with MRG_RXBUF a packet fills as many buffers as it needs, all seen at once",
  (stand) => {
    stand.offer(sizes(62, 128));
    const before = stand.line.edges;
    stand.network.arrive(packetOf(5000));
    assertEquals(stand.line.edges - before, 1, "one interrupt, one move of used.idx");
    const got = stand.received();
    const count = Math.ceil(5012 / 128);
    assertEquals(got.slice(0, -1).map((bytes) => bytes.length), sizes(count - 1, 128));
    assertEquals(concat(...got), concat(netHeader({ numBuffers: count }), frameOf(5000)));
    stand.offer(sizes(20, 128));
    stand.network.arrive(packetOf(60));
    assertEquals(concat(...stand.received()), concat(netHeader({ numBuffers: 1 }), frameOf(60)));
  },
  { without: GUEST_SEGMENTS, mtu: 9000 },
);

for (const size of [12, 13, 29, 30, 31, 42]) {
  netTest("NET-31", `with MRG_RXBUF buffers of ${size} bytes are used to the last`, (stand) => {
    for (let round = 0; round < 3; round++) {
      stand.offer(sizes(12, size));
      for (const length of [14, 18, 60]) {
        stand.network.arrive(packetOf(length));
        const got = stand.received();
        const count = Math.ceil((12 + length) / size);
        assertEquals(got.length, count);
        assertEquals(concat(...got), concat(netHeader({ numBuffers: count }), frameOf(length)));
      }
    }
  });
}

netTest("NET-29", "the longest packet goes through buffers of every size", (stand) => {
  stand.offer([...sizes(8, 4096), 70, 12, 12, 2000, ...sizes(20, 4096)]);
  stand.network.arrive(packetOf(65_550, TSO));
  const got = stand.received();
  assertEquals(
    concat(...got),
    concat(netHeader({ ...TSO, numBuffers: got.length }), frameOf(65_550)),
  );
});

for (const mergeable of [true, false]) {
  netTest(
    "HD-79",
    `buffers too small for anything come back unused, mergeable ${mergeable}`,
    (stand) => {
      stand.offer(mergeable ? [1, 5, 11] : [11, 12, 13, 25]);
      stand.network.arrive(packetOf(60));
      if (!mergeable) assertEquals(stand.received().map((b) => b.length), [0, 0, 0, 0]);
      stand.offer(sizes(4, 2048));
      assertEquals(concat(...stand.received()).length, 72);
    },
    mergeable ? {} : { without: VIRTIO_NET_F_MRG_RXBUF },
  );
}

netTest("HD-79, HD-23", "a buffer that is only readable comes back unused, and unread", (stand) => {
  const placed = stand.driver.prepare({ readable: new Uint8Array(2048), writable: 0 });
  stand.driver.submit(stand.queue(0), placed);
  stand.loop.settle();
  stand.network.arrive(packetOf(60));
  assertEquals(stand.queue(0).poll().map(({ length }) => length), [0]);
  stand.offer(sizes(2, 2048));
  assertEquals(stand.received().length, 1);
});

netTest(
  "NET-32",
  "without GUEST_CSUM flags are 0, and a packet without its checksum is lost",
  (stand) => {
    stand.offer(sizes(4, 2048));
    stand.network.arrive(packetOf(60, { flags: 2 }));
    assertEquals(stand.received()[0]?.slice(0, 12), netHeader({ numBuffers: 1 }));
    stand.network.arrive(packetOf(60, { flags: 1, csumStart: 34, csumOffset: 16 }));
    assertEquals(stand.received(), []);
  },
  { without: GUEST_SEGMENTS | VIRTIO_NET_F_GUEST_CSUM },
);

netTest(
  "NET-33",
  "without guest segmentation the backend is told so, and what comes long is lost",
  (stand) => {
    assertEquals(stand.network.offloads, 1);
    stand.offer(sizes(20, 4096));
    stand.network.arrive(packetOf(20_000, TSO));
    assertEquals(stand.received(), []);
  },
  { without: GUEST_SEGMENTS },
);

netTest("NET-34", "a segmented packet without size, or without checksum, is lost", (stand) => {
  stand.offer(sizes(20, 4096));
  stand.network.arrive(packetOf(20_000, { ...TSO, gsoSize: 0 }));
  stand.network.arrive(packetOf(20_000, { ...TSO, flags: 0 }));
  assertEquals(stand.received(), []);
});

netTest(
  "NET-35, NET-37, NET-39",
  "with all offloads headers arrive as the host made them",
  (stand) => {
    stand.offer(sizes(40, 4096));
    for (const fields of [TSO, { ...TSO, gsoType: 0x81 }, { ...TSO, gsoType: 4 }, { flags: 2 }]) {
      stand.network.arrive(packetOf(3000, fields));
      assertEquals(stand.received()[0]?.slice(0, 12), netHeader({ ...fields, numBuffers: 1 }));
    }
  },
);

netTest("NET-37", "without GUEST_ECN a segmented packet with ECN is lost", (stand) => {
  stand.offer(sizes(20, 4096));
  stand.network.arrive(packetOf(3000, { ...TSO, gsoType: 0x81 }));
  assertEquals(stand.received(), []);
}, { without: VIRTIO_NET_F_GUEST_ECN });

netTest(
  "NET-07",
  "with MTU negotiated nothing longer arrives, a VLAN tag and segments excepted",
  (stand) => {
    stand.offer(sizes(40, 4096));
    assert(stand.accepts(packetOf(1514)));
    assert(!stand.accepts(packetOf(1515)));
    stand.command(Uint8Array.of(2, 0, 7, 0)); // VLAN 7
    assert(stand.accepts(concat(netHeader(), frameOf(1518, { vlan: 7 }))));
    assert(!stand.accepts(concat(netHeader(), frameOf(1519, { vlan: 7 }))));
    assert(stand.accepts(packetOf(9000, TSO)));
  },
  { mtu: 1500 },
);

netTest(
  "NET-40, HD-82",
  "without buffers the device stops listening, and goes on with the next kick",
  (stand) => {
    assertEquals(stand.network.listening, [false]);
    for (let i = 0; i < 1000; i++) stand.network.arrive(packetOf(60));
    assertEquals(stand.network.waiting(), 1000, "left where they are");
    stand.offer(sizes(3, 128));
    assertEquals(stand.received().length, 3);
    assertEquals(stand.network.listening, [false]);
    stand.offer(sizes(2, 128));
    assertEquals(stand.received().length, 2);
    assertEquals(stand.network.waiting(), 995);
  },
  { without: VIRTIO_NET_F_MRG_RXBUF },
);

netTest(
  "NET-40",
  "a long packet waits for enough buffers once the driver has shown that it has them",
  (stand) => {
    stand.offer(sizes(20, 4096));
    for (let i = 0; i < 12; i++) stand.network.arrive(packetOf(60));
    stand.received(); // few buffers are left
    stand.network.arrive(packetOf(30_000, TSO));
    assertEquals(stand.received(), [], "not lost, though it does not fit");
    stand.offer(sizes(12, 4096));
    assertEquals(concat(...stand.received()).length, 30_012);
  },
);

netTest("NET-41", "nothing is delivered with the link down, or before DRIVER_OK", (stand) => {
  stand.offer(sizes(20, 4096));
  stand.device.setLink(false);
  stand.network.arrive(packetOf(60));
  assertEquals(stand.received(), []);
  stand.device.setLink(true);
  assertEquals(stand.received(), [], "what came while it was down is lost");
  stand.driver.reset();
  stand.network.arrive(packetOf(60));
  assertEquals(stand.network.waiting(), 1, "left in the backend");
});

netTest("MMIO-18", "a stopped queue gives its buffers back, and starts afresh", (stand) => {
  stand.offer(sizes(20, 4096));
  stand.network.arrive(packetOf(60));
  assertEquals(stand.received().length, 1);
  stand.driver.transport.disableQueue(0);
  stand.network.arrive(packetOf(60));
  assertEquals(stand.network.waiting(), 1);
  stand.queue(0).retire();
  stand.driver.setUpQueue(0);
  stand.offer(sizes(20, 4096));
  assertEquals(stand.received().length, 1);
});

netTest("rate limit", "what is received is limited, too", (stand) => {
  stand.offer(sizes(64, 128));
  for (let i = 0; i < 60; i++) stand.network.arrive(packetOf(60));
  stand.loop.settle();
  const first = stand.received().length;
  assert(first >= 10 && first <= 11, `${first}`);
  stand.loop.advance(100);
  const second = stand.received().length;
  assert(second >= 9 && second <= 11, `${second}`);
  for (let i = 0; i < 100; i++) stand.loop.advance(10);
  assertEquals(first + second + stand.received().length, 60);
}, { without: VIRTIO_NET_F_MRG_RXBUF, receiveRate: { packetsPerSecond: 100 } });

netTest(
  "NET-29",
  "a frame longer than its network said is lost once, and room is made for the next",
  (stand) => {
    stand.offer(sizes(40, 512));
    stand.network.arrive(packetOf(1514));
    assertEquals(concat(...stand.received()).length, 1526);
    stand.network.arrive(packetOf(9000));
    assertEquals(stand.received(), []);
    assertEquals(stand.device.drops.received, 1);
    stand.network.arrive(packetOf(9000));
    const got = stand.received();
    assertEquals(concat(...got), concat(netHeader({ numBuffers: got.length }), frameOf(9000)));
  },
  { without: GUEST_SEGMENTS, longestFrame: 1518 },
);

netTest(
  "NETC-20",
  "a segment on its way when the driver gives up segments is lost, and frames need no more room for it",
  (stand) => {
    stand.offer(sizes(60, 1536));
    stand.network.arrive(packetOf(65_550, TSO));
    assertEquals(concat(...stand.received()).length, 65_562);
    const command = concat(Uint8Array.of(5, 0), littleEndian(VIRTIO_NET_F_GUEST_CSUM, 8));
    assertEquals(stand.command(command), 0);
    stand.network.arrive(packetOf(65_550, TSO));
    assertEquals(stand.received(), []);
    assertEquals(stand.device.drops.received, 1);
    stand.network.arrive(packetOf(1514)); // 17 buffers are left, too few for segments
    assertEquals(stand.received().map((bytes) => bytes.length), [1526]);
  },
  { longestFrame: 1518 },
);

netTest(
  "MMIO-18",
  "while another queue is stopped, receive buffers taken ahead are not lost",
  (stand) => {
    stand.offer(sizes(4, 2048));
    stand.driver.transport.disableQueue(1);
    for (let i = 0; i < 4; i++) stand.network.arrive(packetOf(1514));
    assertEquals(stand.received().length, 4);
  },
  { without: VIRTIO_NET_F_MRG_RXBUF },
);

netTest("counts", "frames are counted both ways, and those that are dropped", (stand) => {
  stand.offer(sizes(60, 1536));
  stand.network.arrive(packetOf(1514));
  stand.network.arrive(packetOf(60));
  stand.received();
  stand.send(concat(netHeader({}), frameOf(100)));
  stand.device.setLink(false);
  stand.send(concat(netHeader({}), frameOf(100)));
  stand.network.arrive(packetOf(60));
  assertEquals(Object.fromEntries(NET_COUNTERS.map((name, i) => [name, stand.counts[i]])), {
    rxBytes: 1574,
    txBytes: 100,
    rxPackets: 2,
    txPackets: 1,
    rxDropped: 1,
    txDropped: 1,
  });
  stand.device.setLink(true);
});
