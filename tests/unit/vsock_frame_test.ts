/** Frames around the messages of SOCK_SEQPACKET, between the device and the owner. */
import { BUFFER_BYTES } from "../../devices/vsock/backlog.ts";
import {
  FrameHeader,
  MAX_FRAME_HEADER_BYTES,
  MAX_MESSAGE_BYTES,
  writeFrameHeader,
} from "../../devices/vsock/frame.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";

const LENGTHS = [0, 1, 31, 32, 33, 4095, 4096, 65_536, MAX_MESSAGE_BYTES];

Deno.test("a header says what was written, whatever the length and the flags", () => {
  for (const length of LENGTHS) {
    for (const flags of [0, 1, 2, 3]) {
      const bytes = new Uint8Array(MAX_FRAME_HEADER_BYTES);
      const count = writeFrameHeader(bytes, length, flags);
      const header = new FrameHeader();
      for (let i = 0; i < count - 1; i++) {
        assertEquals(header.push(bytes[i] ?? 0), "partial");
        assert(header.isPartial);
      }
      assertEquals(header.push(bytes[count - 1] ?? 0), "whole");
      assertEquals({ length: header.length, flags: header.flags }, { length, flags });
      assert(!header.isPartial);
    }
  }
});

Deno.test("a header is never longer than what is behind it, if that is anything", () => {
  const bytes = new Uint8Array(MAX_FRAME_HEADER_BYTES);
  for (let length = 1; length <= MAX_MESSAGE_BYTES; length++) {
    assert(writeFrameHeader(bytes, length, 3) <= Math.min(length, MAX_FRAME_HEADER_BYTES));
  }
});

Deno.test("flags that mean nothing do not get through", () => {
  const bytes = new Uint8Array(MAX_FRAME_HEADER_BYTES);
  assertEquals(writeFrameHeader(bytes, 2, 0xffff_fffd), 1);
  assertEquals(bytes[0], 0b10_01);
});

Deno.test("a length beyond the longest message, or a header without an end, is none", () => {
  const bytes = new Uint8Array(4);
  assertEquals(writeFrameHeader(bytes, MAX_MESSAGE_BYTES + 1, 1), 3);
  const verdicts = (parts: Iterable<number>) => {
    const header = new FrameHeader();
    return Array.from(parts, (byte) => header.push(byte));
  };
  assertEquals(verdicts(bytes.subarray(0, 3)), ["partial", "partial", "malformed"]);
  assertEquals(verdicts([0xff, 0xff, 0xff]), ["partial", "partial", "malformed"]);
});

Deno.test("the longest message is what the credit lets a guest send", () => {
  assertEquals(MAX_MESSAGE_BYTES, BUFFER_BYTES);
});
