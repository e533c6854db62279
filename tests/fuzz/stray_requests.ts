/** Requests that a device type knows, in any order and with any arguments: structure without sense. */
import { concat, littleEndian, pattern } from "../support/guest_ram.ts";
import { blockHeader, blockRange } from "../support/block_requests.ts";
import type { RequestBytes } from "../support/mock_driver.ts";
import { frameOf, netHeader } from "../support/packets.ts";
import { packetBytes } from "../support/vsock_packets.ts";
import type { Random } from "./random.ts";

/** A request and the queue it belongs to. */
export interface StrayRequest extends RequestBytes {
  readonly queue: number;
}

/** undefined: the device knows no kinds of requests. */
export function strayRequest(device: string, random: Random): StrayRequest | undefined {
  if (device.startsWith("block")) return blockRequest(random);
  if (device.startsWith("console")) return controlMessage(random);
  if (device.startsWith("net")) return random.once(2) ? packet(random) : command(random, device);
  if (device === "vsock") return vsockPacket(random);
  return undefined;
}

const BLOCK_TYPES = [0, 1, 4, 8, 10, 11, 13, 14, 15] as const;

function blockRequest(random: Random): StrayRequest {
  const type = random.of(BLOCK_TYPES);
  const sector = random.once(3) ? random.odd() : random.below(64);
  const payload = type === 11 || type === 13
    ? concat(
      ...Array.from(
        { length: 1 + random.below(3) },
        () => blockRange(random.below(70), random.below(20), random.below(4)),
      ),
    )
    : type === 1
    ? pattern(512 * random.below(6) + (random.once(8) ? random.below(512) : 0), random.below(256))
    : new Uint8Array();
  return {
    queue: random.below(4),
    readable: concat(blockHeader(type, sector), payload),
    writable: type === 0 ? 512 * random.below(6) + 1 : random.of([0, 1, 20, 21]),
  };
}

/** struct virtio_console_control on the control transmit queue, or text for a port. */
function controlMessage(random: Random): StrayRequest {
  if (random.once(3)) {
    const queue = random.of([1, 5, 7]);
    return { queue, readable: pattern(random.below(300), random.below(256)), writable: 0 };
  }
  const id = random.once(4) ? random.odd() : random.below(3);
  const words = [littleEndian(random.below(9), 2), littleEndian(random.below(3), 2)];
  return { queue: 3, readable: concat(littleEndian(id, 4), ...words), writable: 0 };
}

/** A frame with anything in its offload fields. */
function packet(random: Random): StrayRequest {
  const header = netHeader();
  for (let i = random.below(4); i > 0; i--) header[random.below(header.length)] = random.below(256);
  const frame = frameOf(random.of([0, 13, 14, 60, 1514, 9000, 16_000]) || 1);
  return { queue: 1 + 2 * random.below(3), readable: concat(header, frame), writable: 0 };
}

/** Class, command and arguments of the control queue. */
function command(random: Random, device: string): StrayRequest {
  const queue = device === "net" ? 2 : 6;
  const bytes = random.of([0, 1, 2, 4, 6, 8, 10, 16, 100]);
  const data = random.once(3) ? pattern(bytes, random.below(256)) : new Uint8Array(bytes);
  if (data.length > 0) data[0] = random.below(4);
  return {
    queue,
    readable: concat(Uint8Array.of(random.below(9), random.below(6)), data),
    writable: random.of([0, 1, 1, 1, 2]),
  };
}

/** Few ports, so that packets meet connections. */
function vsockPacket(random: Random): StrayRequest {
  const op = random.once(12) ? random.below(300) : random.below(8);
  const payload = op === 5 ? pattern(random.of([0, 1, 44, 700, 4096]), 1) : new Uint8Array();
  const fields = random.once(6)
    ? { length: random.odd(), type: random.below(4), destinationCid: random.below(5) }
    : {};
  return {
    queue: 1,
    readable: packetBytes({
      op,
      from: 5000 + random.below(2),
      to: random.below(3),
      flags: random.below(4),
      bufAlloc: random.once(4) ? random.odd() : 4096,
      type: random.of([1, 1, 2]),
      fwdCnt: random.once(8) ? random.odd() : 0,
      payload,
      ...fields,
    }),
    writable: 0,
  };
}
