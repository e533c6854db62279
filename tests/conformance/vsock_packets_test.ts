/** vsock packets, addresses, queues and features (VSOCK-01 to -11, -30 to -33, -37 to -40, HD-83 to -85, HD-88). */
import { MAX_CONNECTIONS } from "../../devices/vsock/connection_table.ts";
import { MAX_REPLIES } from "../../devices/vsock/reset_replies.ts";
import { VIRTIO_F_VERSION_1 } from "../../src/abi/virtio.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import { pattern } from "../support/guest_ram.ts";
import { MMIO } from "../support/mmio_driver.ts";
import { GUEST_CID, OP, packetBytes } from "../support/vsock_packets.ts";
import { VsockStand } from "../support/vsock_stand.ts";

const STREAM = 1n << 0n;
const SEQPACKET = 1n << 1n;
const NO_IMPLIED_STREAM = 1n << 2n;
const TRANSMIT = 1;

function vsock(name: string, run: (stand: VsockStand) => void): void {
  Deno.test(`vsock over mmio: ${name}`, () => {
    const stand = new VsockStand(MMIO);
    run(stand);
    stand.checkInvariants();
  });
}

vsock(
  "VSOCK-01 the configuration is the guest's CID in 64 bits; there are three queues",
  (stand) => {
    const { transport } = stand.driver;
    assertEquals([transport.readConfig(0, 4), transport.readConfig(4, 4)], [GUEST_CID, 0]);
    assertEquals(stand.driver.existingQueues(), [0, 1, 2]);
  },
);

vsock("VSOCK-03 STREAM, SEQPACKET and NO_IMPLIED_STREAM are offered", (stand) => {
  const wanted = STREAM | SEQPACKET | NO_IMPLIED_STREAM;
  assertEquals(stand.driver.offered() & wanted, wanted);
});

for (const features of [0n, STREAM, STREAM | NO_IMPLIED_STREAM, SEQPACKET]) {
  vsock(`VSOCK-04, VSOCK-05 with the features ${features} there are streams`, (stand) => {
    stand.bringUp(VIRTIO_F_VERSION_1 | features);
    stand.guestCalls();
  });
}

vsock("VSOCK-05 with NO_IMPLIED_STREAM and no STREAM there are none", (stand) => {
  stand.bringUp(VIRTIO_F_VERSION_1 | NO_IMPLIED_STREAM);
  stand.offer();
  stand.send({ op: OP.REQUEST });
  assertEquals(stand.ops(), [OP.RST]);
  assertEquals(stand.backend.call(22), undefined);
});

vsock(
  "VSOCK-06, VSOCK-07, VSOCK-18 a packet has its addresses, type, and the device's credit",
  (stand) => {
    stand.offer();
    stand.send({ op: OP.REQUEST, from: 0xffff_fff0, to: 0x8000_0001 });
    const [packet] = stand.heard();
    assertEquals(packet, {
      sourceCid: 2n,
      destinationCid: BigInt(GUEST_CID),
      from: 0x8000_0001,
      to: 0xffff_fff0,
      length: 0,
      type: 1,
      op: OP.RESPONSE,
      flags: 0,
      bufAlloc: 262144,
      fwdCnt: 0,
      payload: new Uint8Array(),
    });
  },
);

for (const type of [0, 3, 0xffff]) {
  vsock(`VSOCK-09 the type ${type} is answered by an RST with swapped addresses`, (stand) => {
    stand.offer();
    for (const op of [OP.REQUEST, OP.RW, OP.SHUTDOWN, OP.CREDIT_REQUEST]) {
      stand.send({ op, type, from: 1234, to: 80 });
      const [rst, ...more] = stand.heard();
      assertEquals(more, []);
      assertEquals({ op: rst?.op, from: rst?.from, to: rst?.to }, { op: 3, from: 80, to: 1234 });
    }
    assertEquals(stand.backend.called, []);
  });
}

vsock("VSOCK-10, HD-85 an RST is never answered, of no flow and of no type either", (stand) => {
  stand.offer();
  for (const type of [0, 1, 2, 9]) stand.send({ op: OP.RST, type });
  assertEquals(stand.ops(), []);
});

vsock("VSOCK-11, HD-84 packets for others, or from others, are dropped", (stand) => {
  stand.offer();
  const high = BigInt(GUEST_CID) + (1n << 32n);
  for (const sourceCid of [0, 1, 2, 3, 8, 0xffff_ffff, high]) {
    stand.send({ op: OP.REQUEST, sourceCid });
  }
  for (const destinationCid of [0, 1, 3, GUEST_CID, 0xffff_ffff, 2n + (1n << 32n)]) {
    stand.send({ op: OP.REQUEST, destinationCid });
  }
  assertEquals(stand.ops(), []);
  assertEquals(stand.backend.called, []);
});

vsock("VSOCK-15, HD-85 what is said on no flow is answered by one RST", (stand) => {
  stand.offer();
  const ops = [OP.INVALID, OP.RESPONSE, OP.SHUTDOWN, OP.RW, OP.CREDIT_UPDATE, OP.CREDIT_REQUEST];
  for (const op of [...ops, 8, 0xffff]) {
    stand.send({ op });
    assertEquals(stand.ops(), [OP.RST], `op ${op}`);
  }
});

vsock("HD-83 headers cut short, and lengths beyond the chain or 64 KiB, are dropped", (stand) => {
  const flow = stand.guestCalls();
  const on = { op: OP.RW, from: flow.from, to: flow.to };
  for (let bytes = 1; bytes < 44; bytes += 6) stand.sendBytes(packetBytes(on).slice(0, bytes));
  for (const length of [5, 0x1_0001, 0x7fff_ffff, 0xffff_ffff]) {
    stand.send({ ...on, payload: pattern(4), length });
  }
  stand.send({ ...on, payload: new Uint8Array(65537) });
  assertEquals(stand.ops(), []);
  assertEquals(flow.stream.received.length, 0);
  stand.send({ ...on, payload: pattern(4) });
  assertEquals(flow.stream.received, pattern(4));
});

vsock("VSOCK-14, HD-83 what lies behind `len` in the chain is ignored", (stand) => {
  const flow = stand.guestCalls();
  stand.on(flow, { op: OP.RW, payload: pattern(100), length: 10 });
  assertEquals(flow.stream.received, pattern(10));
});

for (const length of [0, 1, 4095, 4096, 65536]) {
  vsock(`VSOCK-14 RW with ${length} bytes arrives`, (stand) => {
    const flow = stand.guestCalls();
    stand.on(flow, { op: OP.RW, payload: pattern(length, 3) });
    assertEquals(flow.stream.received, pattern(length, 3));
  });
}

vsock("VSOCK-30 each receive buffer has one packet, of what fits into it", (stand) => {
  const flow = stand.guestCalls();
  const bytes = pattern(100_000, 1);
  flow.stream.say(bytes);
  const got = stand.heard().map(({ payload }) => payload);
  for (const size of [45, 44, 60, 4096, 65536, 70_000, 44]) {
    stand.offer(1, size);
    got.push(...stand.heard().map(({ payload }) => payload));
  }
  const all = got.flatMap((part) => [...part]);
  assertEquals(Uint8Array.from(all), bytes.slice(0, all.length));
  assertEquals(all.length, bytes.length);
});

vsock("VSOCK-30 a buffer with room for a header alone carries packets without payload", (stand) => {
  stand.offer(1, 44);
  stand.send({ op: OP.REQUEST });
  assertEquals(stand.ops(), [OP.RESPONSE]);
});

vsock(
  "VSOCK-31 buffers below 44 bytes come back with length 0, and the packet in the next",
  (stand) => {
    for (const size of [1, 43]) stand.offer(1, size);
    stand.offer(1, 44);
    stand.send({ op: OP.REQUEST });
    assertEquals(stand.returned().map((bytes) => bytes.length), [0, 0, 44]);
  },
);

vsock("VSOCK-32 without receive buffers transmit goes on, and the answers come later", (stand) => {
  for (let from = 1; from <= 100; from++) stand.send({ op: OP.REQUEST, from, to: from });
  assertEquals(stand.backend.called.length, 100);
  stand.offer(100, 64);
  const heard = stand.heard();
  assertEquals(heard.map(({ to }) => to), Array.from({ length: 100 }, (_, i) => i + 1));
  assert(heard.every(({ op }) => op === OP.RESPONSE));
});

vsock(
  "VSOCK-33, HD-88 when replies are full transmit stops, and goes on when they have gone out",
  (stand) => {
    stand.backend.listens = () => false;
    for (let from = 0; from < MAX_REPLIES; from++) stand.send({ op: OP.REQUEST, from });
    for (let from = 0; from < 10; from++) stand.post({ op: OP.REQUEST, from: 1000 + from });
    stand.loop.settle();
    assertEquals(stand.driver.queue(TRANSMIT).poll(), []);
    const answered: number[] = [];
    while (answered.length < MAX_REPLIES + 10) {
      stand.offer(100, 44);
      const heard = stand.heard();
      assert(heard.length > 0, "transmit went on");
      assert(heard.every(({ op }) => op === OP.RST));
      answered.push(...heard.map(({ to }) => to));
    }
    assertEquals(answered.slice(-10), Array.from({ length: 10 }, (_, i) => 1000 + i));
    assertEquals(stand.driver.queue(TRANSMIT).poll().length, 10);
  },
);

vsock("HD-88 10^5 REQUESTs, answered or not, leave at most the limit of connections", (stand) => {
  for (let i = 0; i < 100_000; i++) {
    stand.send({ op: OP.REQUEST, from: i });
    if (i % 64 === 63) {
      stand.offer(64, 44);
      stand.heard();
    }
  }
  assertEquals(stand.device.connections, MAX_CONNECTIONS);
  assertEquals(stand.backend.called.length, MAX_CONNECTIONS);
  stand.offer(64, 44);
  stand.heard();
  stand.send({ op: OP.RST, from: 5 });
  stand.send({ op: OP.REQUEST, from: 200_000 });
  assertEquals(stand.ops(), [OP.RESPONSE]);
});

vsock(
  "VSOCK-39 a reset closes every stream, and its callers are kept out until the next driver",
  (stand) => {
    const flows = [stand.guestCalls(), stand.hostCalls(), stand.guestCalls(81)];
    stand.driver.reset();
    assert(flows.every(({ stream }) => stream.isClosed));
    assertEquals(stand.device.connections, 0);
    assertEquals(stand.backend.call(22), undefined);
    assertEquals(stand.backend.presence, [true, false]);
    stand.bringUp();
    stand.offer();
    assertEquals(stand.ops(), []);
  },
);

vsock("VSOCK-39, HD-47 what was to be said before a reset is not said after it", (stand) => {
  const { stream } = stand.guestCalls();
  for (let from = 1; from < 50; from++) stand.send({ op: OP.RW, from });
  stream.say(pattern(1000)); // into the line for a buffer
  stand.driver.reset();
  stand.bringUp();
  stand.offer();
  assertEquals(stand.ops(), []);
});

vsock("VSOCK-37 a transport reset drops connections and is told in four bytes", (stand) => {
  const { stream } = stand.guestCalls();
  stand.offerEvents(8);
  stand.device.transportReset();
  assertEquals(stand.events(), [new Uint8Array(4)]);
  assert(stream.isClosed);
  assertEquals(stand.ops(), []);
  stand.guestCalls();
});

vsock("VSOCK-38 a transport reset waits for a buffer, and is told once", (stand) => {
  stand.device.transportReset();
  stand.loop.settle();
  stand.offerEvents(3); // too short: given back
  stand.offerEvents(4);
  stand.offerEvents(4);
  assertEquals(stand.events().map((event) => event.length), [0, 4]);
});

vsock("HD-04, INV-4 a broken event queue breaks the device, and not its host", (stand) => {
  stand.driver.queue(2).writeAvailIdx(0x8000);
  stand.device.transportReset();
  stand.loop.settle();
  assertEquals(stand.driver.transport.status() & 0x40, 0x40);
});
