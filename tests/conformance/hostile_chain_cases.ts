/** Chains that cannot be used: returned with length 0, and the queue goes on (class C of hostile-driver.md). */
import { assert, assertEquals } from "../../src/std/assert.ts";
import { VRING_DESC_F_NEXT as NEXT, VRING_DESC_F_WRITE as WRITE } from "../../src/abi/virtio.ts";
import type { RawDescriptor } from "../support/driver_queue.ts";
import { HIGH_BASE } from "../support/guest_ram.ts";
import type { TestStand } from "../support/test_stand.ts";
import { type Case, needsAnswers } from "./case.ts";

const UNUSABLE: readonly {
  readonly id: string;
  readonly what: string;
  readonly chain: (stand: TestStand) => readonly RawDescriptor[];
}[] = [
  { id: "HD-14", what: "a buffer in the hole", chain: ({ ram }) => [at(ram.lowEnd, 16)] },
  { id: "HD-14", what: "a buffer behind all RAM", chain: ({ ram }) => [at(ram.highEnd, 1)] },
  {
    id: "HD-14",
    what: "a buffer that starts in RAM and ends outside",
    chain: ({ ram }) => [at(ram.lowEnd - 8, 9)],
  },
  {
    id: "HD-14",
    what: "a writable buffer that ends outside RAM",
    chain: ({ ram }) => [at(0x1000, 16), at(ram.highEnd - 511, 512, WRITE)],
  },
  {
    id: "HD-14",
    what: "a buffer that spans the hole",
    chain: ({ ram }) => [at(ram.lowEnd - 16, HIGH_BASE - ram.lowEnd + 32)],
  },
  {
    id: "HD-15",
    what: "an address plus length beyond 2**64",
    chain: () => [at(0xffff_ffff_ffff_f000n, 0x2000)],
  },
  { id: "HD-15", what: "an address of 2**53", chain: () => [at(2n ** 53n, 16)] },
  { id: "HD-15", what: "an address of 2**53 + 1", chain: () => [at(2n ** 53n + 1n, 16, WRITE)] },
  {
    id: "HD-16",
    what: "nothing but empty descriptors",
    chain: () => [at(0x1000, 0), at(0x2000, 0, WRITE)],
  },
  { id: "HD-25", what: "W, R", chain: () => [at(0x1000, 64, WRITE), at(0x2000, 16)] },
  {
    id: "HD-25",
    what: "R, W, R",
    chain: () => [at(0x1000, 16), at(0x2000, 64, WRITE), at(0x3000, 16)],
  },
  {
    id: "HD-27",
    what: "two descriptors of 4 GiB each",
    chain: () => [at(0x1000, 0xffff_ffff), at(0x1000, 0xffff_ffff)],
  },
];

export const HOSTILE_CHAIN_CASES: readonly Case[] = [
  ...UNUSABLE.map(({ id, what, chain }): Case => ({
    id,
    outcome: `${what}: returned with length 0, and the next request is served`,
    run: (stand) => {
      stand.bringUp();
      const descriptors = chain(stand);
      assertReturnedEmpty(stand, descriptors);
      stand.roundTrip();
    },
  })),
  {
    id: "HD-16",
    outcome: "empty descriptors between real ones are skipped",
    run: (stand) => {
      stand.bringUp();
      const request = stand.nextRequest();
      const placed = stand.driver.prepare(request);
      const padded = placed.segments.flatMap((segment) => [
        { ...segment, length: 0 },
        segment,
        { ...segment, length: 0 },
      ]);
      request.check(stand.driver.callAgain(stand.queue, { ...placed, segments: padded }));
    },
  },
  {
    id: "HD-16, HD-25",
    outcome: "an empty descriptor at an address outside RAM, or of the wrong kind, carries nothing",
    run: (stand) => {
      stand.bringUp();
      const request = stand.nextRequest();
      const placed = stand.driver.prepare(request);
      const nowhere = { at: stand.ram.lowEnd + 0x1000, length: 0, writable: false };
      const segments = [...placed.segments, nowhere];
      // `add` allows what is writable only, so the address is never looked at by the test either.
      request.check(stand.driver.callAgain(stand.queue, { ...placed, segments }));
    },
  },
  {
    id: "HD-23, VQ-SPLIT-07",
    outcome: "a request whose buffers are all readable is returned, and nothing is written",
    notApplicable: needsAnswers,
    run: (stand) => {
      stand.bringUp();
      const placed = stand.driver.prepare(stand.nextRequest());
      const segments = placed.segments.map((segment) => ({ ...segment, writable: false }));
      const head = stand.queue.add(segments);
      stand.queue.publish(head);
      stand.kick();
      assertEquals(stand.queue.poll(), [{ head, length: 0 }]);
      assertEquals(stand.ram.firstForeignChange(), undefined);
    },
  },
  {
    id: "HD-24, CON-11",
    outcome: "a request whose buffers are all writable is returned",
    run: (stand) => {
      stand.bringUp();
      const placed = stand.driver.prepare(stand.nextRequest());
      const segments = placed.segments.map((segment) => ({ ...segment, writable: true }));
      const head = stand.queue.add(segments);
      stand.queue.publish(head);
      stand.kick();
      assertEquals(stand.queue.poll().map((used) => used.head), [head]);
      stand.roundTrip();
    },
  },
  {
    id: "HD-05, HD-14",
    outcome: "a ring full of unusable chains is given back",
    run: (stand) => {
      stand.bringUp({ size: 8 });
      for (let i = 0; i < 8; i++) stand.queue.writeDescriptor(i, at(stand.ram.lowEnd, 16));
      stand.queue.publish(0, 1, 2, 3, 4, 5, 6, 7);
      stand.kick();
      const used = stand.queue.poll();
      assertEquals(used.length, 8);
      assert(used.every(({ length }) => length === 0));
    },
  },
];

function at(address: number | bigint, length: number, flags = 0): RawDescriptor {
  return { at: address, length, flags };
}

function assertReturnedEmpty(stand: TestStand, chain: readonly RawDescriptor[]): void {
  chain.forEach((descriptor, i) => {
    const link = i < chain.length - 1 ? NEXT : 0;
    stand.queue.writeDescriptor(i, {
      ...descriptor,
      flags: (descriptor.flags ?? 0) | link,
      next: i + 1,
    });
  });
  stand.queue.publish(0);
  stand.kick();
  assertEquals(stand.queue.poll(), [{ head: 0, length: 0 }]);
  assert(!stand.isBroken);
}
