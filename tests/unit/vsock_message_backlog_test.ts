/** What waits of a guest's messages is bounded (VSOCK-35), and its credit is the guest's bytes alone (VSOCK-19). */
import { BUFFER_BYTES } from "../../devices/vsock/backlog.ts";
import { MAX_MESSAGE_BYTES } from "../../devices/vsock/frame.ts";
import { MessageBacklog } from "../../devices/vsock/message_backlog.ts";
import { gpa } from "../../src/memory/guest_memory.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import { ChainReader } from "../../src/virtio/chain.ts";
import { FakeStream } from "../support/fake_vsock.ts";
import { EOM, messagesOf, parseFrames } from "../support/frames.ts";
import { GuestRam, pattern } from "../support/guest_ram.ts";

const AT = gpa(0x1000);
const MOST = 64 * 1024;

/** A backlog, a guest that fills it, and a host that takes what it has room for. */
class Stand {
  readonly backlog = new MessageBacklog();
  readonly stream: FakeStream;
  readonly #ram = new GuestRam();
  readonly #reader = new ChainReader();

  constructor() {
    this.stream = new FakeStream(this.#ram, () => {});
    this.stream.room = 0;
    this.#ram.write(AT, pattern(MOST));
  }

  append(length: number, flags: number): boolean {
    const region = this.#ram.memory.region(AT, MOST);
    this.#reader.clear();
    if (length > 0) this.#reader.addSpan(region, AT - region.base, length);
    return this.backlog.appendFragment(this.#reader, length, flags);
  }

  /** The host takes `bytes`; returns how many of them were the guest's. */
  take(bytes: number): number {
    this.stream.room = bytes;
    return this.backlog.drainInto(this.stream);
  }
}

for (const length of [1, 31, 32, 33, 4095, 4096, 65_535]) {
  Deno.test(`messages of ${length} bytes wait, as many as the credit allows`, () => {
    const stand = new Stand();
    const count = Math.floor(BUFFER_BYTES / length);
    for (let i = 0; i < count; i++) assert(stand.append(length, EOM));
    assertEquals(stand.backlog.payload, count * length);
    assertEquals(stand.take(Infinity), count * length);
    assertEquals([stand.backlog.payload, stand.backlog.length], [0, 0]);
    assertEquals(messagesOf(parseFrames(stand.stream.received)).length, count);
  });
}

Deno.test("ends that cost no credit are refused when the room is used up", () => {
  const stand = new Stand();
  let sent = 0;
  while (stand.append(1, 0) && stand.append(0, EOM)) sent++;
  assert(sent > BUFFER_BYTES / 2 && sent < BUFFER_BYTES, `${sent}`);
  assert(stand.backlog.length <= 2 * BUFFER_BYTES);
});

Deno.test("a message may be as long as the longest, in pieces, and taken away meanwhile", () => {
  const stand = new Stand();
  for (let at = 0; at < MAX_MESSAGE_BYTES; at += MOST) {
    assert(stand.append(MOST, 0));
    assertEquals(stand.take(Infinity), MOST);
  }
  assert(stand.append(0, EOM));
  assert(stand.append(1, 0), "the next one begins anew");
  for (let at = 1; at < MAX_MESSAGE_BYTES; at += MOST - 1) stand.append(MOST - 1, 0);
  assert(!stand.append(MOST, 0));
});

Deno.test("bytes of headers are not the guest's, wherever the host stops", () => {
  const stand = new Stand();
  const lengths = [1, 5000, 40, 2, 1];
  for (const length of lengths) assert(stand.append(length, EOM));
  const total = stand.backlog.length;
  let payload = 0;
  for (let i = 0; i < total; i++) payload += stand.take(1);
  assertEquals(payload, 5044);
  const messages = messagesOf(parseFrames(stand.stream.received));
  assertEquals(messages.map(({ length }) => length), lengths);
});

Deno.test("what is dropped is forgotten, in the middle of a header too", () => {
  const stand = new Stand();
  stand.append(5000, EOM);
  stand.take(1);
  stand.backlog.drop();
  assertEquals([stand.backlog.payload, stand.backlog.length], [0, 0]);
  for (let i = 0; i < 3; i++) stand.append(7, EOM);
  assertEquals(stand.take(Infinity), 21);
});
