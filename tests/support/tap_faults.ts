/**
 * Run inside a network namespace: what a tap's backend makes of an interface that goes down, up, and away. Prints one JSON
 * object.
 *
 *   tap_faults.ts TAP QUEUES
 */
import { OFFLOAD_CSUM, OFFLOAD_USO4 } from "../../devices/net/backend.ts";
import { TapBackend } from "../../devices/net/tap_backend.ts";
import { addressOf } from "../../src/sys/libc.ts";
import { IovecList } from "../../src/virtio/iovec_list.ts";
import { ManualLoop } from "./manual_loop.ts";

const FRAME_BYTES = 60;

function ip(...words: string[]): void {
  const { success } = new Deno.Command("ip", { args: words }).outputSync();
  if (!success) throw new Error(`ip ${words.join(" ")}`);
}

function received(name: string): number {
  return Number(Deno.readTextFileSync(`/sys/class/net/${name}/statistics/rx_packets`));
}

function main([name = "", queues = "1"]: string[]): void {
  const failures: string[] = [];
  const loop = new ManualLoop();
  const backend = new TapBackend(
    { name, queues: Number(queues) },
    loop,
    (message) => failures.push(message),
  );
  const events: string[] = [];
  backend.attach({
    readable: (pair) => events.push(`readable ${pair}`),
    writable: (pair) => events.push(`writable ${pair}`),
    carrierChanged: (up) => events.push(`carrier ${up}`),
  });
  const frame = new IovecList();
  const bytes = new Uint8Array(FRAME_BYTES).fill(0xff);
  frame.add(addressOf(bytes), FRAME_BYTES);
  const room = new IovecList();
  const buffer = new Uint8Array(2048);
  room.add(addressOf(buffer), buffer.length);

  backend.setOffloads(OFFLOAD_CSUM | OFFLOAD_USO4); // one of a pair that the kernel takes together only
  backend.setQueuePairs(Number(queues));
  backend.listen(0, true);
  ip("link", "set", name, "down");
  const before = received(name);
  while (backend.receive(0, room) > 0); // what the host said of its own accord before
  const down = [backend.send(0, frame), backend.receive(0, room), backend.carrier];
  const lost = received(name) - before;
  ip("link", "set", name, "up");
  const up = [backend.send(0, frame), received(name) - before];

  ip("link", "delete", name);
  // What a driver does that comes up, changes its mind and goes, whether anybody has looked at the interface or not.
  backend.setOffloads(0);
  backend.setQueuePairs(1);
  const gone = [backend.send(0, frame), backend.receive(0, room), backend.carrier];
  loop.settle();
  backend.close();
  console.log(JSON.stringify({ down, lost, up, gone, events, failures }));
}

main([...Deno.args]);
