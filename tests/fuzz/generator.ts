/** Makes cases: mostly drivers that nearly do it right, since plain noise never gets past negotiation. */
import {
  VRING_DESC_F_INDIRECT,
  VRING_DESC_F_NEXT,
  VRING_DESC_F_WRITE,
} from "../../src/abi/virtio.ts";
import type { Random } from "./random.ts";
import type { Area, FuzzCase, Part, Step } from "./steps.ts";

/** Registers of virtio-mmio that hold ring addresses (spec 4.2.2): the device writes where they point. */
const ADDRESSES = { from: 0x80, to: 0xa8 };
const CONFIG = 0x100;
const LONGEST_CHAIN = 6;

/** `length` steps for one device. */
export function makeCase(random: Random, device: string, length: number): FuzzCase {
  const strict = !random.once(3);
  const steps: Step[] = [up(random)];
  while (steps.length < length) steps.push(...someSteps(random, strict));
  return { device, strict, steps };
}

function up(random: Random): Step {
  return {
    do: "up",
    mask: random.once(2) ? 0xffff_ffff : random.u32(),
    size: random.of([1, 2, 4, 8, 16, 16, 16, 64, 256]),
    high: random.once(4),
  };
}

function someSteps(random: Random, strict: boolean): Step[] {
  const queue = random.below(8);
  switch (random.below(20)) {
    case 0:
      return [up(random)]; // often: most drivers break their device soon, and nothing else comes of what follows
    case 1:
      return [registerWrite(random, strict)];
    case 2:
      return [{ do: "read", offset: registerOffset(random), size: random.of([1, 2, 4, 4]) }];
    case 3:
      return random.once(6)
        ? [{ do: "status", value: random.of([0, 1, 3, 0xb, 0xf, 0x80, random.below(256)]) }]
        : [];
    case 4:
    case 5:
      return [request(random, queue), ...kick(random, queue)];
    case 6:
    case 7:
      return [stray(random), ...kick(random, queue)];
    case 8:
    case 9:
    case 10:
      return [chain(random, queue), ...kick(random, queue)];
    case 11:
      return [{ do: "table", at: random.below(4), parts: parts(random) }];
    case 12:
      return strict ? [] : [{
        do: "byte",
        queue,
        ring: random.of(["desc", "desc", "avail", "tables"]),
        offset: random.below(random.of([16, 64, 4096])),
        value: random.below(256),
      }];
    case 13:
      return random.once(8) ? [{ do: "avail", queue, delta: random.odd() & 0xffff }] : [];
    case 14:
      return [{ do: "event", queue, value: random.odd() & 0xffff }];
    case 15:
      return [{ do: "kick", queue: random.once(8) ? random.odd() : queue }];
    case 16:
      return [random.of<Step>([{ do: "turn" }, { do: "settle" }])];
    case 17:
      return [
        random.of<Step>([
          { do: "advance", ms: random.of([1, 10, 1000, 100_000]) },
          { do: "stall" },
          { do: "release" },
          { do: "config" },
        ]),
      ];
    default:
      return [{ do: "meddle", value: random.u32() }];
  }
}

function kick(random: Random, queue: number): Step[] {
  if (random.once(4)) return [];
  return random.once(2) ? [{ do: "kick", queue }, { do: "turn" }] : [{ do: "kick", queue }];
}

function registerOffset(random: Random): number {
  return random.once(3)
    ? CONFIG + random.below(72)
    : random.below(0x40) * 4 + (random.once(8) ? 1 : 0);
}

function registerWrite(random: Random, strict: boolean): Step {
  let offset = registerOffset(random);
  if (strict && offset >= ADDRESSES.from && offset < ADDRESSES.to) offset = CONFIG;
  return { do: "write", offset, size: random.of([1, 2, 4, 4, 4]), value: random.odd() };
}

function request(random: Random, queue: number): Step {
  const changes = random.once(2)
    ? []
    : Array.from({ length: 1 + random.below(3) }, () =>
      [random.below(64), random.below(256)] as const);
  return {
    do: "request",
    queue: random.once(4) ? queue : -1,
    seed: random.below(1000),
    pieces: 1 + random.below(4),
    indirect: random.once(3),
    changes,
    room: random.once(4) ? random.of([0, 1, 8, 500, 4096, 65_536]) : -1,
  };
}

function stray(random: Random): Step {
  const pieces = 1 + random.below(4);
  return { do: "stray", value: random.u32(), pieces, indirect: random.once(3) };
}

function chain(random: Random, queue: number): Step {
  return {
    do: "chain",
    queue,
    at: random.below(16),
    parts: parts(random),
    times: random.once(6) ? random.below(4) : 1,
  };
}

function parts(random: Random): Part[] {
  const count = 1 + random.below(LONGEST_CHAIN);
  return Array.from({ length: count }, (_, i) => part(random, i + 1 === count));
}

function part(random: Random, isLast: boolean): Part {
  const isWrite = random.once(2);
  const isTable = random.once(6);
  const area: Area = random.once(12)
    ? "wild"
    : isTable
    ? "tables"
    : isWrite
    ? "writable"
    : "readable";
  let flags = (isLast ? 0 : VRING_DESC_F_NEXT) | (isTable ? VRING_DESC_F_INDIRECT : 0) |
    (isWrite && !(isTable && random.once(2)) ? VRING_DESC_F_WRITE : 0);
  if (random.once(16)) flags ^= 1 << random.below(16);
  const length = isTable
    ? 16 * (1 + random.below(LONGEST_CHAIN)) + (random.once(8) ? random.below(16) : 0)
    : random.of([0, 1, 12, 16, 44, 64, 512, 4096, random.odd()]);
  return { area, offset: random.u32(), length, flags, next: random.once(10) ? random.u32() : -1 };
}
