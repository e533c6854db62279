/** Messages as they lie in a stream of the host (devices/vsock/frame.ts). */
import { FrameHeader, writeFrameHeader } from "../../devices/vsock/frame.ts";
import { assertEquals } from "../../src/std/assert.ts";
import { concat } from "./guest_ram.ts";

export const EOM = 1;
export const EOR = 2;

/** A piece of a message, and the flags of the packet that has it. */
export interface Frame {
  readonly payload: Uint8Array;
  readonly flags: number;
}

export function frameBytes(payload: Uint8Array, flags = EOM): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(5);
  return concat(header.slice(0, writeFrameHeader(header, payload.length, flags)), payload);
}

/** All frames of `bytes`, which end with one. */
export function parseFrames(bytes: Uint8Array): Frame[] {
  const frames: Frame[] = [];
  const header = new FrameHeader();
  for (let at = 0; at < bytes.length;) {
    const found = header.push(bytes[at++] ?? 0);
    if (found === "partial") continue;
    assertEquals(found, "whole");
    const payload = bytes.slice(at, at + header.length);
    assertEquals(payload.length, header.length);
    frames.push({ payload, flags: header.flags });
    at += header.length;
  }
  assertEquals(header.isPartial, false);
  return frames;
}

/** The messages that pieces are. */
export function messagesOf(frames: readonly Frame[]): Uint8Array[] {
  const messages: Uint8Array[] = [];
  let parts: Uint8Array[] = [];
  for (const { payload, flags } of frames) {
    parts.push(payload);
    if ((flags & EOM) === 0) continue;
    messages.push(concat(...parts));
    parts = [];
  }
  assertEquals(parts, []);
  return messages;
}
