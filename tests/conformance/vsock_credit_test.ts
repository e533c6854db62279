/** vsock flow control and fairness (VSOCK-17 to -23, HD-86, HD-05). */
import { BUFFER_BYTES } from "../../devices/vsock/backlog.ts";
import { UPDATE_BYTES } from "../../devices/vsock/credit.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import { concat, pattern } from "../support/guest_ram.ts";
import { MMIO } from "../support/mmio_driver.ts";
import { type HostPacket, OP } from "../support/vsock_packets.ts";
import { type Flow, VsockStand } from "../support/vsock_stand.ts";

const KIB = 1024;

function vsock(name: string, run: (stand: VsockStand) => void): void {
  Deno.test(`vsock over mmio: ${name}`, () => {
    const stand = new VsockStand(MMIO);
    run(stand);
    stand.checkInvariants();
  });
}

function payloadOf(packets: readonly HostPacket[]): Uint8Array {
  return concat(...packets.map(({ payload }) => payload));
}

vsock(
  "VSOCK-17, VSOCK-19 a guest with room for 100 bytes gets 100, headers not counted",
  (stand) => {
    const flow = stand.guestCalls(80, { bufAlloc: 100 });
    flow.stream.say(pattern(500));
    const packets = stand.heard();
    assertEquals(payloadOf(packets), pattern(500).slice(0, 100));
    assertEquals(packets.at(-1)?.op, OP.CREDIT_REQUEST);
    assertEquals(flow.stream.waiting, 400);
  },
);

vsock("VSOCK-22 credit that comes lets it go on, whatever packet brings it", (stand) => {
  const flow = stand.guestCalls(80, { bufAlloc: 100 });
  flow.stream.say(pattern(500));
  let got = payloadOf(stand.heard());
  for (const op of [OP.CREDIT_UPDATE, OP.CREDIT_REQUEST, OP.RW, OP.REQUEST]) {
    stand.on(flow, { op, bufAlloc: 100, fwdCnt: got.length });
    got = concat(got, payloadOf(stand.heard()));
  }
  assertEquals(got, pattern(500));
});

vsock("VSOCK-22 credit is asked for once a drought", (stand) => {
  const flow = stand.guestCalls(80, { bufAlloc: 10 });
  flow.stream.say(pattern(15));
  assertEquals(stand.ops(), [OP.RW, OP.CREDIT_REQUEST]);
  for (let i = 0; i < 5; i++) {
    stand.on(flow, { op: OP.CREDIT_UPDATE, bufAlloc: 10, fwdCnt: 0 });
    flow.stream.say(pattern(1));
  }
  assertEquals(stand.ops(), []);
  stand.on(flow, { op: OP.CREDIT_UPDATE, bufAlloc: 10, fwdCnt: 10 });
  assertEquals(stand.ops(), [OP.RW, OP.CREDIT_REQUEST]);
});

vsock("VSOCK-22 a buffer that shrinks below what is on its way, or lies, is no credit", (stand) => {
  const flow = stand.guestCalls(80, { bufAlloc: 1000 });
  flow.stream.say(pattern(1500));
  stand.heard();
  for (const [bufAlloc, fwdCnt] of [[10, 0], [0, 0], [999, 0], [0xffff_ffff, 1001]] as const) {
    stand.on(flow, { op: OP.CREDIT_UPDATE, bufAlloc, fwdCnt });
    assertEquals(payloadOf(stand.heard()).length, 0, `${bufAlloc} ${fwdCnt}`);
  }
  stand.on(flow, { op: OP.CREDIT_UPDATE, bufAlloc: 1000, fwdCnt: 1000 });
  assertEquals(payloadOf(stand.heard()).length, 500);
});

vsock("VSOCK-20 CREDIT_REQUEST is answered by CREDIT_UPDATE with what was passed on", (stand) => {
  const flow = stand.guestCalls();
  stand.on(flow, { op: OP.RW, payload: pattern(77) });
  stand.on(flow, { op: OP.CREDIT_REQUEST });
  const [update] = stand.heard();
  assertEquals({ op: update?.op, fwdCnt: update?.fwdCnt, bufAlloc: update?.bufAlloc }, {
    op: OP.CREDIT_UPDATE,
    fwdCnt: 77,
    bufAlloc: BUFFER_BYTES,
  });
});

vsock("HD-88 a thousand CREDIT_REQUESTs without buffers are one answer", (stand) => {
  const flow = stand.guestCalls();
  for (let i = 0; i < 15; i++) stand.send({ op: OP.RW, from: 1 }); // uses the buffers up
  stand.heard();
  for (let i = 0; i < 1000; i++) stand.on(flow, { op: OP.CREDIT_REQUEST });
  stand.offer(10, 64);
  assertEquals(stand.ops(), [OP.CREDIT_UPDATE]);
});

vsock("VSOCK-21 free space is told when a quarter of the buffer has been passed on", (stand) => {
  const flow = stand.guestCalls();
  for (let sent = 0; sent < UPDATE_BYTES - 4 * KIB; sent += 4 * KIB) {
    stand.on(flow, { op: OP.RW, payload: pattern(4 * KIB) });
  }
  assertEquals(stand.ops(), []);
  stand.on(flow, { op: OP.RW, payload: pattern(4 * KIB) });
  assertEquals(stand.heard().map(({ op, fwdCnt }) => [op, fwdCnt]), [
    [OP.CREDIT_UPDATE, UPDATE_BYTES],
  ]);
});

vsock("VSOCK-18, VSOCK-21 data of the host tells it as well, and saves the update", (stand) => {
  const flow = stand.guestCalls();
  stand.on(flow, { op: OP.RW, payload: pattern(60 * KIB) });
  flow.stream.say(pattern(3));
  assertEquals(stand.heard().map(({ op, fwdCnt }) => [op, fwdCnt]), [[OP.RW, 60 * KIB]]);
  stand.on(flow, { op: OP.RW, payload: pattern(60 * KIB) });
  assertEquals(stand.ops(), []);
});

vsock(
  "VSOCK-21, VSOCK-23 a slow reader holds the guest to its credit, and loses nothing",
  (stand) => {
    const flow = stand.guestCalls();
    flow.stream.room = 0;
    const bytes = pattern(BUFFER_BYTES, 5);
    for (let at = 0; at < bytes.length; at += 64 * KIB) {
      stand.on(flow, { op: OP.RW, payload: bytes.slice(at, at + 64 * KIB) });
    }
    assertEquals(stand.ops(), []);
    while (flow.stream.received.length < bytes.length) flow.stream.makeRoom(10_000);
    assertEquals(flow.stream.received, bytes);
    const updates = stand.heard();
    assertEquals(updates.at(-1)?.op, OP.CREDIT_UPDATE);
    assert((updates.at(-1)?.fwdCnt ?? 0) > BUFFER_BYTES - UPDATE_BYTES);
  },
);

vsock(
  "VSOCK-23, HD-86 one byte beyond its credit resets the flow, and nothing of it arrives",
  (stand) => {
    const flow = stand.guestCalls();
    flow.stream.room = 0;
    for (let i = 0; i < 4; i++) stand.on(flow, { op: OP.RW, payload: pattern(64 * KIB) });
    stand.on(flow, { op: OP.RW, payload: pattern(1) });
    assertEquals(stand.ops(), [OP.RST]);
    assert(flow.stream.isClosed);
    for (let i = 0; i < 160; i++) stand.on(flow, { op: OP.RW, payload: pattern(64 * KIB) });
    assertEquals(new Set(stand.ops()), new Set([OP.RST]));
    assertEquals(stand.device.connections, 0);
  },
);

vsock("VSOCK-22 a guest that offers no buffers holds the host up, and loses nothing", (stand) => {
  const flow = stand.guestCalls();
  for (let i = 0; i < 15; i++) stand.send({ op: OP.RW, from: 1 });
  stand.heard();
  const bytes = pattern(50_000, 2);
  flow.stream.say(bytes);
  stand.loop.settle();
  assertEquals(flow.stream.waiting, bytes.length);
  stand.offer(20);
  assertEquals(payloadOf(stand.heard()), bytes);
});

vsock("HD-05 connections have turns: one that floods does not keep another waiting", (stand) => {
  const loud = stand.guestCalls();
  const quiet = stand.guestCalls();
  loud.stream.say(pattern(100_000));
  quiet.stream.say(pattern(10));
  stand.offer(4);
  const heard = stand.heard().filter(({ op }) => op === OP.RW);
  const first = heard.findIndex(({ to }) => to === quiet.from);
  assert(first === 0 || first === 1, `the quiet one came as packet ${first}`);
});

vsock("VSOCK-22 a hundred connections at once get everything, in order each", (stand) => {
  const flows: Flow[] = Array.from({ length: 100 }, (_, i) => stand.guestCalls(i));
  flows.forEach(({ stream }, i) => stream.say(pattern(3000, i)));
  const got = new Map<number, Uint8Array>();
  for (let round = 0; round < 100; round++) {
    stand.offer(16, 1000);
    for (const { to, payload } of stand.heard()) {
      got.set(to, concat(got.get(to) ?? new Uint8Array(), payload));
    }
  }
  flows.forEach(({ from }, i) => assertEquals(got.get(from), pattern(3000, i)));
});
