/** SOCK_SEQPACKET: messages, records and their bounds (VSOCK-34, VSOCK-35, and what streams have too). */
import { VIRTIO_VSOCK_TYPE_SEQPACKET, VIRTIO_VSOCK_TYPE_STREAM } from "../../devices/vsock/abi.ts";
import { BUFFER_BYTES } from "../../devices/vsock/backlog.ts";
import { UPDATE_BYTES } from "../../devices/vsock/credit.ts";
import { MAX_MESSAGE_BYTES } from "../../devices/vsock/frame.ts";
import { VIRTIO_F_VERSION_1 } from "../../src/abi/virtio.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import { EOM, EOR, type Frame, frameBytes, messagesOf, parseFrames } from "../support/frames.ts";
import { concat, pattern } from "../support/guest_ram.ts";
import { MMIO } from "../support/mmio_driver.ts";
import { type GuestPacket, type HostPacket, OP, RCV, SEND } from "../support/vsock_packets.ts";
import { type Flow, VsockStand } from "../support/vsock_stand.ts";

const KIB = 1024;
const BOTH = RCV | SEND;
const STREAM_F = 1n << 0n;
const SEQPACKET_F = 1n << 1n;
const NO_IMPLIED_STREAM_F = 1n << 2n;
const SEQPACKET = VIRTIO_VSOCK_TYPE_SEQPACKET;
const OTHER_FEATURES = [0n, STREAM_F, STREAM_F | NO_IMPLIED_STREAM_F];

function vsock(name: string, run: (stand: VsockStand) => void): void {
  Deno.test(`vsock over mmio: ${name}`, () => {
    const stand = new VsockStand(MMIO);
    run(stand);
    stand.checkInvariants();
  });
}

function guestCalls(stand: VsockStand, packet: Partial<GuestPacket> = {}): Flow {
  return stand.guestCalls(80, packet, SEQPACKET);
}

/** The guest sends a packet of a message. */
function say(stand: VsockStand, flow: Flow, payload: Uint8Array, flags = EOM): void {
  stand.on(flow, { op: OP.RW, payload, flags });
}

/** What the device has said of data, with flags. */
function framesOf(packets: readonly HostPacket[]): Frame[] {
  return packets.filter(({ op }) => op === OP.RW);
}

/** Offers `count` receive buffers of `bytes` until the device has nothing more to say. */
function drain(stand: VsockStand, bytes: number): HostPacket[] {
  const packets: HostPacket[] = [];
  for (;;) {
    stand.offer(16, bytes);
    const heard = stand.heard();
    if (heard.length === 0) return packets;
    packets.push(...heard);
  }
}

for (const features of OTHER_FEATURES) {
  vsock(`VSOCK-09 with the features ${features} there is no SEQPACKET, either way`, (stand) => {
    stand.bringUp(VIRTIO_F_VERSION_1 | features);
    stand.offer();
    stand.send({ op: OP.REQUEST, type: SEQPACKET });
    const heard = stand.heard().map(({ op, type, from, to }) => ({ op, type, from, to }));
    assertEquals(heard, [{ op: OP.RST, type: SEQPACKET, from: 80, to: 5000 }]);
    assertEquals(stand.backend.called, []);
    assertEquals(stand.backend.call(22, SEQPACKET), undefined);
  });
}

vsock("VSOCK-05 with SEQPACKET and NO_IMPLIED_STREAM there are messages, no streams", (stand) => {
  stand.bringUp(VIRTIO_F_VERSION_1 | SEQPACKET_F | NO_IMPLIED_STREAM_F);
  stand.offer();
  stand.send({ op: OP.REQUEST });
  assertEquals(stand.ops(), [OP.RST]);
  guestCalls(stand);
});

vsock("VSOCK-12 REQUEST to a port where streams alone are listened for gets RST", (stand) => {
  stand.backend.listens = (_, type) => type === VIRTIO_VSOCK_TYPE_STREAM;
  stand.offer();
  stand.send({ op: OP.REQUEST, type: SEQPACKET });
  assertEquals(stand.heard().map(({ op, type }) => [op, type]), [[OP.RST, SEQPACKET]]);
  stand.guestCalls();
});

vsock("VSOCK-34 a message of three packets is one", (stand) => {
  const flow = guestCalls(stand);
  say(stand, flow, pattern(100, 1), 0);
  say(stand, flow, pattern(64 * KIB, 2), 0);
  say(stand, flow, pattern(7, 3), EOM);
  say(stand, flow, pattern(1, 4), EOM);
  assertEquals(messagesOf(parseFrames(flow.stream.received)), [
    concat(pattern(100, 1), pattern(64 * KIB, 2), pattern(7, 3)),
    pattern(1, 4),
  ]);
});

vsock("VSOCK-34, HD-89 EOR is kept, and other flags are not", (stand) => {
  const flow = guestCalls(stand);
  for (const flags of [EOM, EOM | EOR, 0xffff_fffd, 0xffff_ffff]) {
    say(stand, flow, pattern(2), flags);
  }
  const flags = parseFrames(flow.stream.received).map(({ flags }) => flags);
  assertEquals(flags, [EOM, EOM | EOR, EOM, EOM | EOR]);
});

vsock("VSOCK-34 an empty packet ends a message, and is no message of its own", (stand) => {
  const flow = guestCalls(stand);
  say(stand, flow, pattern(0), EOM);
  say(stand, flow, pattern(0), 0);
  assertEquals(flow.stream.received.length, 0);
  say(stand, flow, pattern(5), 0);
  say(stand, flow, pattern(0), 0);
  say(stand, flow, pattern(0), EOM);
  say(stand, flow, pattern(0), EOM);
  const frames = parseFrames(flow.stream.received);
  assertEquals(frames.map(({ flags }) => flags), [0, EOM]);
  assertEquals(messagesOf(frames), [pattern(5)]);
});

vsock("VSOCK-34 boundaries survive a reader that is slow", (stand) => {
  const flow = guestCalls(stand);
  flow.stream.room = 0;
  const messages = Array.from({ length: 200 }, (_, i) => pattern(1 + i * 11, i));
  for (const message of messages) say(stand, flow, message);
  const total = concat(...messages.map((message) => frameBytes(message))).length;
  for (let room = 0; room < total; room += 997) flow.stream.makeRoom(997);
  assertEquals(messagesOf(parseFrames(flow.stream.received)), messages);
});

for (const buffer of [45, 60, 4096, 70_000]) {
  vsock(`VSOCK-34, VSOCK-30 EOM is on the last packet, in buffers of ${buffer} bytes`, (stand) => {
    const flow = guestCalls(stand);
    stand.offer(); // those of 4096 bytes are used up first
    stand.heard();
    const messages = [pattern(1, 1), pattern(60, 2), pattern(5000, 3), pattern(16, 4)];
    for (const [i, message] of messages.entries()) {
      flow.stream.say(frameBytes(message, i === 2 ? EOM | EOR : EOM));
    }
    const packets = drain(stand, buffer);
    assert(packets.every(({ type }) => type === SEQPACKET));
    assertEquals(messagesOf(framesOf(packets)), messages);
    const ends = framesOf(packets).filter(({ flags }) => flags !== 0).map(({ flags }) => flags);
    assertEquals(ends, [EOM, EOM, EOM | EOR, EOM]);
  });
}

vsock("VSOCK-34 what the host writes in pieces is one message", (stand) => {
  const flow = stand.hostCalls(22, {}, SEQPACKET);
  const message = pattern(300, 6);
  const bytes = frameBytes(message);
  for (const byte of bytes.subarray(0, 10)) flow.stream.say(Uint8Array.of(byte));
  flow.stream.say(concat(bytes.slice(10), frameBytes(pattern(9))));
  assertEquals(messagesOf(framesOf(drain(stand, 4096))), [message, pattern(9)]);
});

vsock("VSOCK-34 a message of several frames is one, and ends where its last one does", (stand) => {
  const flow = guestCalls(stand);
  flow.stream.say(concat(frameBytes(pattern(3, 1), 0), frameBytes(pattern(4, 2), EOM)));
  assertEquals(messagesOf(framesOf(stand.heard())), [concat(pattern(3, 1), pattern(4, 2))]);
});

vsock("VSOCK-17, VSOCK-34 a message goes on as credit comes, EOM last", (stand) => {
  const flow = guestCalls(stand, { bufAlloc: 500 });
  flow.stream.say(concat(frameBytes(pattern(400, 1)), frameBytes(pattern(300, 2))));
  const first = stand.heard();
  assertEquals(framesOf(first).map(({ payload, flags }) => [payload.length, flags]), [
    [400, EOM],
    [100, 0],
  ]);
  assertEquals(first.at(-1)?.op, OP.CREDIT_REQUEST);
  stand.on(flow, { op: OP.CREDIT_UPDATE, bufAlloc: 500, fwdCnt: 400 });
  const frames = [...framesOf(first), ...framesOf(stand.heard())];
  assertEquals(messagesOf(frames), [pattern(400, 1), pattern(300, 2)]);
});

vsock("VSOCK-17 a message the guest never has room for resets the flow", (stand) => {
  const flow = guestCalls(stand, { bufAlloc: 1000 });
  flow.stream.say(frameBytes(pattern(1000)));
  assertEquals(stand.ops(), [OP.RW, OP.CREDIT_REQUEST]);
  stand.on(flow, { op: OP.CREDIT_UPDATE, bufAlloc: 1000, fwdCnt: 1000 });
  flow.stream.say(frameBytes(pattern(1001)));
  assertEquals(stand.ops(), [OP.RST]);
  assert(flow.stream.isClosed);
});

vsock("VSOCK-18, VSOCK-19 headers of frames are no credit", (stand) => {
  const flow = guestCalls(stand);
  flow.stream.room = 150; // 100 frames of two bytes
  for (let i = 0; i < 100; i++) say(stand, flow, pattern(1, i));
  stand.on(flow, { op: OP.CREDIT_REQUEST });
  assertEquals(stand.heard().map(({ op, fwdCnt }) => [op, fwdCnt]), [[OP.CREDIT_UPDATE, 75]]);
  flow.stream.makeRoom(1000);
  stand.on(flow, { op: OP.CREDIT_REQUEST });
  assertEquals(stand.heard().map(({ fwdCnt }) => fwdCnt), [100]);
});

vsock("VSOCK-21 free space is told inside a message, too", (stand) => {
  const flow = guestCalls(stand);
  say(stand, flow, pattern(60 * KIB), 0);
  assertEquals(stand.ops(), []);
  say(stand, flow, pattern(UPDATE_BYTES - 60 * KIB), 0);
  assertEquals(stand.heard().map(({ op, fwdCnt }) => [op, fwdCnt]), [
    [OP.CREDIT_UPDATE, UPDATE_BYTES],
  ]);
});

vsock("VSOCK-35 the longest message arrives; one byte more resets the flow", (stand) => {
  for (const surplus of [0, 1]) {
    const flow = guestCalls(stand);
    for (let at = 0; at < MAX_MESSAGE_BYTES; at += 64 * KIB) {
      const isLast = surplus === 0 && at + 64 * KIB === MAX_MESSAGE_BYTES;
      say(stand, flow, pattern(64 * KIB, at), isLast ? EOM : 0);
    }
    stand.offer();
    stand.heard();
    if (surplus > 0) {
      say(stand, flow, pattern(1));
      assertEquals(stand.ops(), [OP.RST]);
      assert(flow.stream.isClosed);
      assertEquals(stand.device.connections, 1);
    } else {
      const [message] = messagesOf(parseFrames(flow.stream.received));
      assertEquals(message?.length, MAX_MESSAGE_BYTES);
    }
  }
});

vsock("VSOCK-35, HD-89 a message without an end does not go on for ever", (stand) => {
  const flow = guestCalls(stand);
  stand.backend.listens = () => false;
  for (let i = 0; i < 160; i++) {
    say(stand, flow, pattern(64 * KIB), 0);
    stand.offer();
    stand.heard();
  }
  assert(flow.stream.isClosed);
  assert(flow.stream.received.length <= MAX_MESSAGE_BYTES + 64);
  assertEquals(stand.device.connections, 0);
});

vsock("VSOCK-23, HD-86 one byte beyond its credit resets the flow", (stand) => {
  const flow = guestCalls(stand);
  flow.stream.room = 0;
  for (let i = 0; i < BUFFER_BYTES; i += 64 * KIB) say(stand, flow, pattern(64 * KIB));
  assertEquals(stand.ops(), []);
  say(stand, flow, pattern(1));
  assertEquals(stand.ops(), [OP.RST]);
  assert(flow.stream.isClosed);
});

vsock("VSOCK-36 a packet of another type on a flow of messages leaves it alone", (stand) => {
  const flow = guestCalls(stand);
  for (const op of [OP.RW, OP.REQUEST, OP.SHUTDOWN]) {
    stand.on(flow, { op, type: 1, flags: BOTH, payload: pattern(5) });
    assertEquals(stand.heard().map(({ op, type }) => [op, type]), [[OP.RST, 1]]);
  }
  stand.on(flow, { op: OP.RST, type: 1 });
  assertEquals(stand.ops(), []);
  assertEquals(stand.backend.called.length, 1);
  say(stand, flow, pattern(5));
  assertEquals(messagesOf(parseFrames(flow.stream.received)), [pattern(5)]);
});

vsock("VSOCK-25 the host closes behind a message: it arrives, then SHUTDOWN", (stand) => {
  const flow = guestCalls(stand);
  flow.stream.say(frameBytes(pattern(12)));
  flow.stream.hangUp();
  assertEquals(stand.heard().map(({ op, flags }) => [op, flags]), [
    [OP.RW, EOM],
    [OP.SHUTDOWN, BOTH],
  ]);
});

for (const cut of [1, 2, 50]) {
  vsock(`VSOCK-34 a host that ends ${cut} bytes into a message is broken: RST`, (stand) => {
    const flow = guestCalls(stand);
    flow.stream.say(frameBytes(pattern(100)).slice(0, cut));
    flow.stream.end();
    assertEquals(stand.ops().at(-1), OP.RST);
    assert(flow.stream.isClosed);
  });
}

vsock("VSOCK-27, VSOCK-26 half close and close pass on the messages that wait", (stand) => {
  const flow = guestCalls(stand);
  flow.stream.room = 0;
  for (let i = 0; i < 5; i++) say(stand, flow, pattern(500, i));
  stand.on(flow, { op: OP.SHUTDOWN, flags: SEND });
  assertEquals(flow.stream.outputEnded, false);
  flow.stream.makeRoom(2000);
  assertEquals(flow.stream.outputEnded, false);
  flow.stream.makeRoom(2000);
  assert(flow.stream.outputEnded);
  assertEquals(messagesOf(parseFrames(flow.stream.received)).length, 5);
  stand.on(flow, { op: OP.SHUTDOWN, flags: RCV });
  assertEquals(stand.ops(), [OP.RST]);
});

vsock("VSOCK-24 a host that reads no more is a SHUTDOWN, and costs no credit", (stand) => {
  const flow = guestCalls(stand);
  flow.stream.room = 10;
  for (const length of [50, 20, 30]) say(stand, flow, pattern(length));
  flow.stream.broken.write = true;
  flow.stream.makeRoom(10);
  assertEquals(stand.heard().map(({ op, flags, fwdCnt }) => [op, flags, fwdCnt]), [
    [OP.SHUTDOWN, RCV, 100],
  ]);
});
