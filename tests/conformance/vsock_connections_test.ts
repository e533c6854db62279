/** The life of vsock connections (VSOCK-12, -13, -16, -24 to -29, -36). */
import { assert, assertEquals } from "../../src/std/assert.ts";
import { pattern } from "../support/guest_ram.ts";
import { MMIO } from "../support/mmio_driver.ts";
import { OP, RCV, SEND } from "../support/vsock_packets.ts";
import { VsockStand } from "../support/vsock_stand.ts";

const BOTH = RCV | SEND;
const ANSWER_MS = 2000;

function vsock(name: string, run: (stand: VsockStand) => void): void {
  Deno.test(`vsock over mmio: ${name}`, () => {
    const stand = new VsockStand(MMIO);
    run(stand);
    stand.checkInvariants();
  });
}

vsock("VSOCK-12 REQUEST to a port nobody listens on gets RST", (stand) => {
  stand.backend.listens = (port) => port === 81;
  stand.offer();
  stand.send({ op: OP.REQUEST, to: 80 });
  stand.send({ op: OP.REQUEST, to: 81 });
  assertEquals(stand.ops(), [OP.RST, OP.RESPONSE]);
});

vsock("VSOCK-13 a caller of the host is told its port, and data flows both ways", (stand) => {
  const flow = stand.hostCalls();
  assertEquals(flow.to, 2 ** 30);
  assertEquals(flow.stream.hostPort, flow.to);
  flow.stream.say(pattern(10));
  assertEquals(stand.heard().map(({ op, payload }) => [op, payload]), [[OP.RW, pattern(10)]]);
  stand.on(flow, { op: OP.RW, payload: pattern(20) });
  assertEquals(flow.stream.received, pattern(20));
});

vsock("VSOCK-13 host ports count up, also past those in use", (stand) => {
  assertEquals([1, 2, 3].map(() => stand.hostCalls().to), [2 ** 30, 2 ** 30 + 1, 2 ** 30 + 2]);
});

vsock("VSOCK-13 what a caller writes before the guest has answered waits", (stand) => {
  stand.offer();
  const stream = stand.backend.call(22);
  stream?.say(pattern(10));
  const [request] = stand.heard();
  assertEquals(request?.op, OP.REQUEST);
  assertEquals(stream?.waiting, 10);
  stand.send({ op: OP.RESPONSE, from: 22, to: request?.from ?? 0 });
  assertEquals(stand.ops(), [OP.RW]);
});

vsock("VSOCK-13 a guest that answers with RST closes the caller's stream", (stand) => {
  stand.offer();
  const stream = stand.backend.call(22);
  const [request] = stand.heard();
  stand.send({ op: OP.RST, from: 22, to: request?.from ?? 0 });
  assert(stream?.isClosed);
  assertEquals(stream.hostPort, undefined);
  assertEquals(stand.ops(), []);
});

vsock(
  "VSOCK-13 a guest that does not answer in two seconds is sent RST, and the caller away",
  (stand) => {
    stand.offer();
    const stream = stand.backend.call(22);
    stand.loop.advance(ANSWER_MS - 1);
    assertEquals(stand.ops(), [OP.REQUEST]);
    assertEquals(stream?.isClosed, false);
    stand.loop.advance(1);
    assert(stream?.isClosed);
    assertEquals(stand.ops(), [OP.RST]);
    assertEquals(stand.device.connections, 0);
  },
);

vsock("VSOCK-13 a caller that hangs up before the answer is gone, with an RST", (stand) => {
  stand.offer();
  const stream = stand.backend.call(22);
  stand.heard();
  stream?.hangUp();
  assertEquals(stand.ops(), [OP.RST]);
  assert(stream?.isClosed);
});

vsock("VSOCK-13 an answered connection does not end after two seconds", (stand) => {
  const flow = stand.hostCalls();
  stand.loop.advance(10 * ANSWER_MS);
  assertEquals(stand.ops(), []);
  assertEquals(flow.stream.isClosed, false);
});

vsock("VSOCK-16 RESPONSE before REQUEST was heard is no answer", (stand) => {
  const stream = stand.backend.call(22);
  stand.send({ op: OP.RESPONSE, from: 22, to: 2 ** 30 });
  assertEquals(stream?.hostPort, undefined);
  stand.offer();
  assertEquals(stand.ops(), [OP.REQUEST]);
});

/** What a guest may not say, in each state, and what comes of it: "nothing" or "reset". */
const MATRIX: readonly (readonly [state: "requesting" | "open", op: number, outcome: string])[] = [
  ["requesting", OP.INVALID, "nothing"],
  ["requesting", OP.REQUEST, "nothing"],
  ["requesting", OP.RW, "reset"],
  ["requesting", OP.SHUTDOWN, "reset"],
  ["requesting", OP.CREDIT_UPDATE, "nothing"],
  ["requesting", 8, "nothing"],
  ["open", OP.INVALID, "nothing"],
  ["open", OP.REQUEST, "nothing"],
  ["open", OP.RESPONSE, "nothing"],
  ["open", OP.CREDIT_UPDATE, "nothing"],
  ["open", 8, "nothing"],
  ["open", 0xffff, "nothing"],
];
for (const [state, op, outcome] of MATRIX) {
  vsock(`VSOCK-16 op ${op} on a flow that is ${state}: ${outcome}`, (stand) => {
    stand.offer();
    if (state === "requesting") {
      const stream = stand.backend.call(22);
      const [request] = stand.heard();
      const flow = { from: 22, to: request?.from ?? 0 };
      stand.send({ op, ...flow });
      assertEquals(stand.ops(), outcome === "reset" ? [OP.RST] : []);
      assertEquals(stream?.isClosed, outcome === "reset");
      if (outcome === "reset") return;
      stand.send({ op: OP.RESPONSE, ...flow });
      assertEquals(stream?.hostPort, flow.to);
    } else {
      const flow = stand.guestCalls();
      stand.on(flow, { op, payload: pattern(5) });
      assertEquals(stand.ops(), []);
      stand.on(flow, { op: OP.RW, payload: pattern(5) });
      assertEquals(flow.stream.received, pattern(5));
    }
  });
}

vsock("VSOCK-16 data before our RESPONSE was heard is a violation", (stand) => {
  stand.send({ op: OP.REQUEST });
  stand.send({ op: OP.RW, payload: pattern(5) });
  const stream = stand.backend.called[0]?.stream;
  assert(stream?.isClosed);
  stand.offer();
  assertEquals(stand.ops(), [OP.RST]);
});

vsock("VSOCK-16, VSOCK-29 a second REQUEST does not call the host again", (stand) => {
  const flow = stand.guestCalls();
  stand.on(flow, { op: OP.REQUEST });
  assertEquals(stand.backend.called.length, 1);
});

vsock("VSOCK-36 a packet of another type on a flow leaves the flow alone", (stand) => {
  const flow = stand.guestCalls();
  stand.on(flow, { op: OP.RW, type: 2, payload: pattern(5) });
  assertEquals(stand.heard().map(({ op, type }) => [op, type]), [[OP.RST, 2]]);
  assertEquals(flow.stream.received.length, 0);
  stand.on(flow, { op: OP.RW, payload: pattern(5) });
  assertEquals(flow.stream.received, pattern(5));
});

vsock("VSOCK-28 RST of the guest closes the stream at once, and is not answered", (stand) => {
  const flow = stand.guestCalls();
  flow.stream.say(pattern(9));
  stand.heard();
  stand.on(flow, { op: OP.RST });
  assert(flow.stream.isClosed);
  assertEquals(stand.ops(), []);
  assertEquals(stand.device.connections, 0);
});

vsock("VSOCK-27 half close: the host reads the end behind the data, and still writes", (stand) => {
  const flow = stand.guestCalls();
  stand.on(flow, { op: OP.RW, payload: pattern(5) });
  stand.on(flow, { op: OP.SHUTDOWN, flags: SEND });
  assert(flow.stream.outputEnded);
  assertEquals(flow.stream.isClosed, false);
  flow.stream.say(pattern(7));
  assertEquals(stand.heard().map(({ payload }) => payload), [pattern(7)]);
});

vsock("VSOCK-27 the end follows data that the host had no room for", (stand) => {
  const flow = stand.guestCalls();
  flow.stream.room = 3;
  stand.on(flow, { op: OP.RW, payload: pattern(5) });
  stand.on(flow, { op: OP.SHUTDOWN, flags: SEND });
  assertEquals(flow.stream.outputEnded, false);
  flow.stream.makeRoom(100);
  assertEquals(flow.stream.received, pattern(5));
  assert(flow.stream.outputEnded);
});

vsock(
  "VSOCK-24 a guest that receives no more gets nothing more, and the writer is told",
  (stand) => {
    const flow = stand.guestCalls();
    stand.on(flow, { op: OP.SHUTDOWN, flags: RCV });
    assert(flow.stream.inputEnded);
    flow.stream.say(pattern(7));
    assertEquals(stand.ops(), []);
    stand.on(flow, { op: OP.RW, payload: pattern(5) });
    assertEquals(flow.stream.received, pattern(5));
  },
);

vsock("VSOCK-24 hints are sticky: one bit each is both, and no bits are nothing", (stand) => {
  const flow = stand.guestCalls();
  stand.on(flow, { op: OP.SHUTDOWN, flags: 0 });
  stand.on(flow, { op: OP.SHUTDOWN, flags: SEND });
  stand.on(flow, { op: OP.SHUTDOWN, flags: SEND });
  stand.on(flow, { op: OP.SHUTDOWN, flags: 0xffff_fffc });
  assertEquals(stand.ops(), []);
  stand.on(flow, { op: OP.SHUTDOWN, flags: RCV });
  assertEquals(stand.ops(), [OP.RST]);
  assert(flow.stream.isClosed);
});

vsock("VSOCK-24 data behind the guest's own end is a violation", (stand) => {
  const flow = stand.guestCalls();
  stand.on(flow, { op: OP.SHUTDOWN, flags: SEND });
  stand.on(flow, { op: OP.RW, payload: pattern(5) });
  assertEquals(stand.ops(), [OP.RST]);
  assert(flow.stream.isClosed);
});

vsock("VSOCK-26 SHUTDOWN of both: what waits is passed on, then RST is said", (stand) => {
  const flow = stand.guestCalls();
  flow.stream.room = 0;
  stand.on(flow, { op: OP.RW, payload: pattern(500) });
  stand.on(flow, { op: OP.SHUTDOWN, flags: BOTH });
  assertEquals(stand.ops(), []);
  flow.stream.makeRoom(400);
  assertEquals(stand.ops(), []);
  flow.stream.makeRoom(400);
  assertEquals(stand.ops(), [OP.RST]);
  assertEquals(flow.stream.received, pattern(500));
  assert(flow.stream.isClosed);
});

vsock(
  "VSOCK-26 a guest that has said all and is tired of waiting loses nothing either",
  (stand) => {
    const flow = stand.guestCalls();
    flow.stream.room = 0;
    stand.on(flow, { op: OP.RW, payload: pattern(500) });
    stand.on(flow, { op: OP.SHUTDOWN, flags: BOTH });
    stand.on(flow, { op: OP.RST });
    assertEquals(stand.device.connections, 1);
    stand.on(flow, { op: OP.RW, payload: pattern(5) }); // the flow is gone
    assertEquals(stand.ops(), [OP.RST]);
    flow.stream.makeRoom(1000);
    assertEquals(flow.stream.received, pattern(500));
    assert(flow.stream.isClosed);
    assertEquals(stand.device.connections, 0);
    assertEquals(stand.ops(), []);
  },
);

vsock(
  "VSOCK-26 the addresses of such a connection may be used again before it is gone",
  (stand) => {
    const flow = stand.guestCalls();
    flow.stream.room = 0;
    stand.on(flow, { op: OP.RW, payload: pattern(500) });
    stand.on(flow, { op: OP.SHUTDOWN, flags: BOTH });
    stand.on(flow, { op: OP.RST });
    stand.on(flow, { op: OP.REQUEST });
    assertEquals(stand.ops(), [OP.RESPONSE]);
    flow.stream.makeRoom(1000);
    const again = stand.backend.called.at(-1)?.stream;
    stand.on(flow, { op: OP.RW, payload: pattern(5, 9) });
    assertEquals(again?.received, pattern(5, 9));
  },
);

vsock(
  "VSOCK-25 the host closes: what it wrote, SHUTDOWN of both, and after the guest's RST nothing",
  (stand) => {
    const flow = stand.guestCalls();
    flow.stream.say(pattern(12));
    flow.stream.hangUp();
    assertEquals(stand.heard().map(({ op, flags }) => [op, flags]), [[OP.RW, 0], [
      OP.SHUTDOWN,
      BOTH,
    ]]);
    stand.on(flow, { op: OP.RST });
    assert(flow.stream.isClosed);
    stand.loop.advance(10 * ANSWER_MS);
    assertEquals(stand.ops(), []);
    stand.on(flow, { op: OP.REQUEST });
    assertEquals(stand.ops(), [OP.RESPONSE]);
  },
);

vsock("VSOCK-25 a guest that does not answer that with RST gets one after two seconds", (stand) => {
  const flow = stand.guestCalls();
  flow.stream.hangUp();
  assertEquals(stand.ops(), [OP.SHUTDOWN]);
  stand.loop.advance(ANSWER_MS);
  assertEquals(stand.ops(), [OP.RST]);
  assertEquals(stand.device.connections, 0);
});

vsock("VSOCK-25 the two seconds begin when the guest has heard it", (stand) => {
  const flow = stand.guestCalls();
  const buffers = 15; // what is left of those offered: all of them are used up now
  for (let i = 0; i < buffers; i++) stand.send({ op: OP.RW, from: 1 });
  stand.heard();
  flow.stream.hangUp();
  stand.loop.advance(5 * ANSWER_MS);
  stand.offer();
  assertEquals(stand.ops(), [OP.SHUTDOWN]);
  stand.loop.advance(ANSWER_MS - 1);
  assertEquals(stand.ops(), []);
});

vsock("VSOCK-25 a guest that answers SHUTDOWN of both by the same gets RST", (stand) => {
  const flow = stand.guestCalls();
  flow.stream.hangUp();
  assertEquals(stand.ops(), [OP.SHUTDOWN]);
  stand.on(flow, { op: OP.SHUTDOWN, flags: BOTH });
  assertEquals(stand.ops(), [OP.RST]);
});

vsock("VSOCK-25 half close of the host: the guest hears of it once, and still sends", (stand) => {
  const flow = stand.guestCalls();
  flow.stream.say(pattern(4));
  flow.stream.end();
  assertEquals(stand.heard().map(({ op, flags }) => [op, flags]), [[OP.RW, 0], [
    OP.SHUTDOWN,
    SEND,
  ]]);
  stand.loop.advance(10 * ANSWER_MS);
  stand.on(flow, { op: OP.RW, payload: pattern(5) });
  assertEquals(flow.stream.received, pattern(5));
  flow.stream.hangUp();
  assertEquals(stand.heard().map(({ op, flags }) => [op, flags]), [[OP.SHUTDOWN, BOTH]]);
});

vsock("VSOCK-28 a stream that breaks while it is read ends in RST", (stand) => {
  const flow = stand.guestCalls();
  flow.stream.broken.read = true;
  flow.stream.say(pattern(1));
  assertEquals(stand.ops(), [OP.RST]);
  assert(flow.stream.isClosed);
});

vsock("VSOCK-24 a host that reads no more is a SHUTDOWN; what it still writes arrives", (stand) => {
  const flow = stand.guestCalls();
  flow.stream.broken.write = true;
  stand.on(flow, { op: OP.RW, payload: pattern(5) });
  assertEquals(stand.heard().map(({ op, flags }) => [op, flags]), [[OP.SHUTDOWN, RCV]]);
  stand.on(flow, { op: OP.RW, payload: pattern(5) }); // it was on its way
  flow.stream.say(pattern(8));
  assertEquals(stand.heard().map(({ payload }) => payload), [pattern(8)]);
  flow.stream.end();
  assertEquals(stand.heard().map(({ op, flags }) => [op, flags]), [[OP.SHUTDOWN, BOTH]]);
});

vsock(
  "VSOCK-26 a host that closes without having read is told by RST when the guest is done",
  (stand) => {
    const flow = stand.guestCalls();
    flow.stream.room = 0;
    stand.on(flow, { op: OP.RW, payload: pattern(500) });
    stand.on(flow, { op: OP.SHUTDOWN, flags: BOTH });
    flow.stream.hangUp();
    assertEquals(stand.ops(), [OP.RST]);
    assert(flow.stream.isClosed);
  },
);

vsock("VSOCK-25 a host that closes while the guest does not receive is over at once", (stand) => {
  const flow = stand.guestCalls();
  stand.on(flow, { op: OP.SHUTDOWN, flags: RCV });
  flow.stream.hangUp();
  assertEquals(stand.heard().map(({ op, flags }) => [op, flags]), [[OP.SHUTDOWN, BOTH]]);
});

vsock("VSOCK-39 10 000 connections, each closed another way, leave nothing", (stand) => {
  for (let i = 0; i < 10_000; i++) {
    const flow = i % 2 === 0 ? stand.guestCalls() : stand.hostCalls();
    if (i % 6 < 2) stand.on(flow, { op: OP.RST });
    else if (i % 6 < 4) stand.on(flow, { op: OP.SHUTDOWN, flags: BOTH });
    else {
      flow.stream.hangUp();
      stand.on(flow, { op: OP.RST });
    }
    stand.heard();
    assert(flow.stream.isClosed);
  }
  assertEquals(stand.device.connections, 0);
});
