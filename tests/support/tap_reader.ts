/**
 * Run inside a network namespace: sends itself datagrams by a tap, and prints what the tap's backend says of each.
 *
 *   tap_reader.ts TAP ADDRESS ROOM LENGTH...    lengths with the virtio header, with ROOM bytes behind the prefix
 */
import { createSocket } from "node:dgram";
import { PREFIX_BYTES } from "../../devices/net/backend.ts";
import { TapBackend } from "../../devices/net/tap_backend.ts";
import { addressOf } from "../../src/sys/libc.ts";
import { IovecList } from "../../src/virtio/iovec_list.ts";
import { ManualLoop } from "./manual_loop.ts";

const HEADER_BYTES = 12;
const LOOK_MS = 5;

/** The next IPv4 packet's length; what else an interface says of its own accord does not count. */
async function nextLength(backend: TapBackend, into: IovecList): Promise<number> {
  for (;;) {
    const length = backend.receive(0, into);
    const [high, low] = backend.prefix.subarray(HEADER_BYTES + 12);
    if (length > PREFIX_BYTES && high === 8 && low === 0) return length;
    if (length === 0) await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

async function main([name = "", address = "", ...numbers]: string[]): Promise<void> {
  const [room = 0, ...lengths] = numbers.map(Number);
  const backend = new TapBackend({ name, queues: 1 }, new ManualLoop(), () => {});
  const buffer = new Uint8Array(room);
  const into = new IovecList();
  into.add(addressOf(buffer), room);
  const socket = createSocket("udp4");
  const said: number[] = [];
  for (const length of lengths) {
    socket.send(new Uint8Array(length), 9, address);
    said.push(await nextLength(backend, into));
  }
  console.log(said.join(" "));
  socket.close();
  backend.close();
}

await main([...Deno.args]);
