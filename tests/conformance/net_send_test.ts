/** What a network card does with what the driver sends (NET-13 to NET-26, HD-77). */
import {
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_HOST_ECN,
  VIRTIO_NET_F_HOST_TSO4,
  VIRTIO_NET_F_HOST_TSO6,
  VIRTIO_NET_F_HOST_USO,
  VIRTIO_NET_F_MRG_RXBUF,
} from "../../devices/net/abi.ts";
import { MAX_FRAME_BYTES } from "../../devices/net/backend.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import { concat } from "../support/guest_ram.ts";
import { MMIO } from "../support/mmio_driver.ts";
import { NetStand, type NetStandSetup } from "../support/net_stand.ts";
import { frameOf, type HeaderFields, netHeader } from "../support/packets.ts";

const NEEDS_CSUM = 1;
const [TCPV4, UDP, TCPV6, UDP_L4, ECN] = [1, 3, 4, 5, 0x80];
/** A TCP segment over IPv4 without options, to be cut. */
const TSO: HeaderFields = {
  flags: NEEDS_CSUM,
  gsoType: TCPV4,
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

function send(stand: NetStand, fields: HeaderFields, frame = frameOf(3000)) {
  return stand.send(concat(netHeader(fields), frame));
}

for (const without of [0n, VIRTIO_NET_F_MRG_RXBUF]) {
  netTest(
    "NET-13, NET-23",
    `the frame begins behind 12 bytes, without ${without} as with`,
    (stand) => {
      const frame = frameOf(100);
      assertEquals(send(stand, {}, frame)?.frame, frame);
    },
    { without },
  );
}

netTest("NET-13", "a header split over descriptors is the same header", (stand) => {
  const packet = concat(netHeader(TSO), frameOf(3000));
  for (const at of [1, 5, 11, 12, 13]) {
    const cut = {
      name: `split after ${at}`,
      pieces: (s: { at: number; length: number; writable: boolean }) => [
        { ...s, length: at },
        { ...s, at: s.at + at, length: s.length - at },
      ],
    };
    const before = stand.network.sent.length;
    stand.driver.call(stand.queue(1), { readable: packet, writable: 0 }, { cut });
    assertEquals(stand.network.sent[before]?.frame, packet.slice(12));
    assertEquals(stand.network.sent[before]?.header, netHeader(TSO));
  }
});

netTest(
  "NET-14, NET-15, NET-22",
  "what counts for nothing reaches the host as nothing",
  (stand) => {
    const junk = { hdrLen: 9, gsoSize: 8, csumStart: 0xffff, csumOffset: 7, numBuffers: 0xffff };
    const sent = send(stand, { flags: 0xf0 | 2, ...junk });
    assertEquals(sent?.header, netHeader());
    assertEquals(sent?.frame, frameOf(3000));
  },
);

netTest("NET-16", "a wanted checksum reaches the host with its place", (stand) => {
  const fields = { flags: NEEDS_CSUM, csumStart: 34, csumOffset: 16 };
  assertEquals(send(stand, fields)?.header, netHeader(fields));
});

netTest("NET-18", "each segmentation reaches the host as the driver asked", (stand) => {
  for (const type of [TCPV4, TCPV6, TCPV4 | ECN, TCPV6 | ECN]) {
    const fields = { ...TSO, gsoType: type };
    assertEquals(send(stand, fields)?.header, netHeader(fields));
  }
  const datagrams = { ...TSO, gsoType: UDP_L4, csumOffset: 6, hdrLen: 42 };
  assertEquals(send(stand, datagrams)?.header, netHeader(datagrams));
});

netTest("NET-19", "a wrong hdr_len is put right", (stand) => {
  for (const hdrLen of [0, 1, 53, 3001, 0xffff]) {
    assertEquals(send(stand, { ...TSO, hdrLen })?.header, netHeader({ ...TSO, hdrLen: 54 }));
  }
});

/** Headers that must not reach the host, whatever was negotiated. */
const BAD: readonly (readonly [string, HeaderFields, number?])[] = [
  ["a checksum at the frame's very end", { flags: 1, csumStart: 34, csumOffset: 16 }, 51],
  ["a checksum behind the frame", { flags: 1, csumStart: 0xffff, csumOffset: 0xffff }],
  ["a sum that begins in the Ethernet header", { flags: 1, csumStart: 13, csumOffset: 4 }],
  ["segmentation without a checksum", { ...TSO, flags: 0 }],
  ["gso_size 0", { ...TSO, gsoSize: 0 }],
  ["a TCP header that ends behind the frame", { ...TSO, csumStart: 2981 }],
  ["a TCP header where IP's should be", { ...TSO, csumStart: 33 }],
  ["TCP with UDP's checksum place", { ...TSO, csumOffset: 6 }],
  ["UDP with TCP's checksum place", { ...TSO, gsoType: UDP_L4 }],
  ["UFO", { ...TSO, gsoType: UDP, csumOffset: 6 }],
  ["a UDP tunnel", { ...TSO, gsoType: TCPV4 | 0x20 }],
  ["both UDP tunnels", { ...TSO, gsoType: TCPV4 | 0x60 }],
  ["ECN without TCP", { ...TSO, gsoType: ECN }],
  ["ECN with UDP", { ...TSO, gsoType: UDP_L4 | ECN, csumOffset: 6 }],
  ["an unknown type", { ...TSO, gsoType: 2 }],
];

for (const [what, fields, length] of BAD) {
  netTest("NET-20, NET-24", `${what} does not reach the host, and the queue goes on`, (stand) => {
    assertEquals(send(stand, fields, frameOf(length ?? 3000)), undefined);
    assertEquals(stand.device.drops.sent, 1);
    assert(send(stand, {}) !== undefined);
  });
}

const NOT_NEGOTIATED: readonly (readonly [string, bigint, HeaderFields])[] = [
  [
    "a checksum",
    VIRTIO_NET_F_CSUM | VIRTIO_NET_F_HOST_TSO4 | VIRTIO_NET_F_HOST_TSO6 |
    VIRTIO_NET_F_HOST_ECN | VIRTIO_NET_F_HOST_USO,
    { flags: 1, csumStart: 34, csumOffset: 16 },
  ],
  ["TSO over IPv4", VIRTIO_NET_F_HOST_TSO4, TSO],
  ["TSO over IPv6", VIRTIO_NET_F_HOST_TSO6, { ...TSO, gsoType: TCPV6 }],
  ["ECN", VIRTIO_NET_F_HOST_ECN, { ...TSO, gsoType: TCPV4 | ECN }],
  ["USO", VIRTIO_NET_F_HOST_USO, { ...TSO, gsoType: UDP_L4, csumOffset: 6 }],
];

for (const [what, without, fields] of NOT_NEGOTIATED) {
  netTest("NET-24", `${what} that was not negotiated does not reach the host`, (stand) => {
    assertEquals(send(stand, fields), undefined);
  }, { without });
}

netTest("NET-25, HD-77", "a frame shorter than an Ethernet header is dropped", (stand) => {
  const packet = concat(netHeader(), frameOf(14));
  for (let length = 1; length < 26; length++) {
    assertEquals(stand.send(packet.slice(0, length)), undefined, `${length} bytes`);
  }
  assertEquals(stand.send(packet)?.frame.length, 14);
});

netTest("NET-26, HD-77", "the longest frame is sent, a longer one is dropped", (stand) => {
  assertEquals(send(stand, TSO, frameOf(MAX_FRAME_BYTES))?.frame, frameOf(MAX_FRAME_BYTES));
  assertEquals(send(stand, TSO, frameOf(MAX_FRAME_BYTES + 1)), undefined);
  assertEquals(send(stand, TSO, frameOf(200_000)), undefined);
});

netTest("NET-08", "with MTU negotiated a packet of that length is sent whole", (stand) => {
  assertEquals(send(stand, {}, frameOf(1514))?.frame.length, 1514);
}, { mtu: 1500 });

netTest("NET-41", "with the link down packets are lost and buffers come back", (stand) => {
  stand.device.setLink(false);
  assertEquals(send(stand, {}), undefined);
  stand.device.setLink(true);
  assert(send(stand, {}) !== undefined);
});

netTest(
  "VQ-BUF",
  "a network without room leaves packets in the ring, in order, until it has some",
  (stand) => {
    stand.network.room = 2;
    const packets = [1, 2, 3, 4, 5].map((seed) => concat(netHeader(), frameOf(60, { seed })));
    for (const readable of packets) {
      stand.driver.submit(stand.queue(1), stand.driver.prepare({ readable, writable: 0 }));
    }
    stand.loop.settle();
    assertEquals(stand.queue(1).poll().length, 2);
    stand.network.makeRoom(2);
    stand.loop.settle();
    assertEquals(stand.queue(1).poll().length, 2);
    stand.network.makeRoom(Infinity);
    stand.loop.settle();
    assertEquals(stand.queue(1).poll().length, 1);
    assertEquals(stand.network.sent.map(({ frame }) => frame), packets.map((p) => p.slice(12)));
  },
);

netTest("rate limit", "bytes and packets beyond a burst wait for their time", (stand) => {
  const packet = concat(netHeader(), frameOf(1000));
  for (let i = 0; i < 40; i++) {
    stand.driver.submit(stand.queue(1), stand.driver.prepare({ readable: packet, writable: 0 }));
  }
  stand.loop.settle();
  assertEquals(stand.network.sent.length, 10, "a burst is 100 ms worth");
  stand.loop.advance(50);
  assertEquals(stand.network.sent.length, 15);
  stand.loop.advance(10_000);
  assert(stand.network.sent.length >= 25 && stand.network.sent.length <= 26, "no saving up");
  for (let i = 0; i < 100; i++) stand.loop.advance(10);
  assertEquals(stand.network.sent.length, 40);
  assertEquals(stand.queue(1).poll().length, 40);
}, { sendRate: { bytesPerSecond: 100_000, packetsPerSecond: 1000 } });
