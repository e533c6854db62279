import { parseConnect } from "../../devices/vsock/connect_line.ts";
import { assertEquals } from "../../src/std/assert.ts";

const LINES: readonly (readonly [line: string, port: number | undefined])[] = [
  ["CONNECT 52", 52],
  ["connect 0", 0],
  ["CoNnEcT 4294967295", 4294967295],
  ["  CONNECT \t 7  ", 7],
  ["CONNECT 80\r", 80],
  ["CONNECT 80 more", 80],
  ["CONNECT 007", 7],
  ["CONNECT 4294967296", undefined],
  ["CONNECT -1", undefined],
  ["CONNECT 0x50", undefined],
  ["CONNECT 1e3", undefined],
  ["CONNECT 8.5", undefined],
  ["CONNECT", undefined],
  ["CONNECT ", undefined],
  ["CONNECT80", undefined],
  ["LISTEN 80", undefined],
  ["", undefined],
  ["80", undefined],
];
const STREAM = 1;
const SEQPACKET = 2;

for (const [line, port] of LINES) {
  Deno.test(`"${line.replace("\r", "\\r")}" is a call to ${port ?? "nobody"}`, () => {
    const call = parseConnect(new TextEncoder().encode(line));
    assertEquals(call, port === undefined ? undefined : { port, type: STREAM });
  });
}

Deno.test("SEQPACKET instead of CONNECT asks for messages", () => {
  const call = parseConnect(new TextEncoder().encode("SEQPACKET 52"));
  assertEquals(call, { port: 52, type: SEQPACKET });
  assertEquals(parseConnect(new TextEncoder().encode("SEQPACKET")), undefined);
});
