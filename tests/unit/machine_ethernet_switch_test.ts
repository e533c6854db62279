/** Frames between ports: learned ways, floods, frames that must not pass, streams that are cut, and what is no frame. */
import { MAX_FRAME_BYTES } from "../../devices/net/backend.ts";
import { EthernetSwitch, frameLength, type SwitchPort } from "../../src/machine/ethernet_switch.ts";
import { assertEquals } from "../../src/std/assert.ts";

const BROADCAST = "ff:ff:ff:ff:ff:ff";
const A = "02:00:00:00:00:0a", B = "02:00:00:00:00:0b", C = "02:00:00:00:00:0c";

/** Keeps what it is given, each delivery as the marks of its frames. */
class FakePort implements SwitchPort {
  readonly deliveries: string[] = [];

  deliver(bytes: Uint8Array<ArrayBuffer>, start: number, end: number): void {
    let marks = "";
    for (let at = start; at < end;) {
      const length = frameLength(bytes, at, end);
      marks += String.fromCharCode(bytes[at + 4 + length - 1] as number);
      at += 4 + length;
    }
    this.deliveries.push(marks);
  }
}

/** A frame in the stream's format that ends with `mark`. */
function frame(to: string, from: string, mark: string, bytes = 60): number[] {
  const address = (text: string) => text.split(":").map((byte) => Number.parseInt(byte, 16));
  const body = [...address(to), ...address(from), 0x88, 0xb5];
  while (body.length < bytes - 1) body.push(body.length & 0xff);
  const length = [0, body.length + 1 >> 16, (body.length + 1) >> 8 & 0xff, body.length + 1 & 0xff];
  return [...length, ...body, mark.charCodeAt(0)];
}

class Bench {
  readonly network = new EthernetSwitch();
  readonly ports = [new FakePort(), new FakePort(), new FakePort()];
  readonly numbers = this.ports.map((port) => this.network.add(port));

  /** What each port got for these frames from `from`. */
  send(from: number, ...frames: number[][]): string[] {
    const bytes = Uint8Array.from(frames.flat());
    assertEquals(this.network.forward(from, bytes, 0, bytes.length, 0), bytes.length);
    return this.ports.map(({ deliveries }) => deliveries.splice(0).join(" "));
  }
}

Deno.test("frames for all and for strangers go everywhere but back, answers go one way", () => {
  const bench = new Bench();
  assertEquals(bench.numbers, [0, 1, 2]);
  assertEquals(bench.send(0, frame(BROADCAST, A, "1")), ["", "1", "1"]);
  assertEquals(bench.send(0, frame(C, A, "2")), ["", "2", "2"]);
  assertEquals(bench.send(2, frame(A, C, "3")), ["3", "", ""]);
  assertEquals(bench.send(0, frame(C, A, "4")), ["", "", "4"]);
  assertEquals(bench.send(2, frame("33:33:00:00:00:01", C, "5")), ["5", "5", ""]);
});

Deno.test("runs of frames with one way are passed on in one piece, in their order", () => {
  const bench = new Bench();
  bench.send(1, frame(BROADCAST, B, "x"));
  bench.send(2, frame(BROADCAST, C, "x"));
  const frames = [..."1234567"].map((mark, i) =>
    frame([B, B, B, C, C, BROADCAST, B][i] ?? B, A, mark)
  );
  assertEquals(bench.send(0, ...frames), ["", "123 6 7", "45 6"]);
});

Deno.test("what must not pass a switch does not: groups as senders, reserved groups, one's own", () => {
  const bench = new Bench();
  assertEquals(bench.send(0, frame(B, BROADCAST, "1")), ["", "", ""]);
  assertEquals(bench.send(0, frame("01:80:c2:00:00:00", A, "2")), ["", "", ""]);
  assertEquals(bench.send(0, frame("01:80:c2:00:00:0f", A, "3")), ["", "", ""]);
  assertEquals(bench.send(0, frame("01:80:c2:00:00:10", A, "4")), ["", "4", "4"]);
  assertEquals(bench.send(0, frame(A, B, "5")), ["", "", ""], "both are behind port 0");
  assertEquals(bench.send(1, frame(BROADCAST, B, "6")), ["6", "", "6"], "it has moved");
  assertEquals(bench.send(0, frame(B, A, "7")), ["", "7", ""]);
});

Deno.test("a port that is gone gets nothing, its addresses are flooded, its number is used again", () => {
  const bench = new Bench();
  bench.send(1, frame(BROADCAST, B, "x"));
  bench.network.remove(1);
  assertEquals(bench.send(0, frame(B, A, "1")), ["", "", "1"]);
  const late = new FakePort();
  assertEquals(bench.network.add(late), 1);
  assertEquals(bench.send(2, frame(B, C, "2")), ["2", "", ""]);
  assertEquals(late.deliveries, ["2"]);
});

Deno.test("a frame that is not all there stays, wherever the stream is cut", () => {
  const bytes = Uint8Array.from([frame(BROADCAST, A, "1"), frame(BROADCAST, A, "2")].flat());
  for (let cut = 0; cut <= bytes.length; cut++) {
    const bench = new Bench();
    const rest = bench.network.forward(0, bytes, 0, cut, 0);
    assertEquals(rest, cut < 64 ? 0 : cut < 128 ? 64 : 128, `cut at ${cut}`);
    assertEquals(bench.network.forward(0, bytes, rest, bytes.length, 0), 128);
    assertEquals(bench.ports[1]?.deliveries.join(""), "12");
  }
});

Deno.test("lengths that no frame has end the stream; the frames before are passed on", () => {
  for (const length of [0, 13, MAX_FRAME_BYTES + 1, 0xffff_ffff]) {
    const bench = new Bench();
    const bad = [length >>> 24, length >>> 16 & 0xff, length >>> 8 & 0xff, length & 0xff];
    const bytes = Uint8Array.from([...frame(BROADCAST, A, "1"), ...bad]);
    assertEquals(bench.network.forward(0, bytes, 0, bytes.length, 0), -1);
    assertEquals(bench.ports[1]?.deliveries, ["1"]);
  }
  const bench = new Bench();
  assertEquals(bench.send(0, frame(BROADCAST, A, "1", MAX_FRAME_BYTES), frame(B, A, "2", 14)), [
    "",
    "12",
    "12",
  ]);
});
