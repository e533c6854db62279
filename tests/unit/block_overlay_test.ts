/** The overlay against a model: an array of bytes, changed at random by many requests at once, on slow and short disks. */
import type { BlockBackend } from "../../devices/block/backend.ts";
import { ClusterMap, MAX_OVERLAY_BYTES } from "../../devices/block/cluster_map.ts";
import { COPIES } from "../../devices/block/copy_memory.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import { gpa } from "../../src/memory/guest_memory.ts";
import { IovecList } from "../../src/virtio/iovec_list.ts";
import { Random } from "../fuzz/random.ts";
import { firstDifference } from "../support/disk_image.ts";
import { fakeOverlay } from "../support/fake_overlay.ts";
import { GuestRam } from "../support/guest_ram.ts";

const SECTOR = 512;
const ENOSPC = 28;
const KINDS = ["read", "write", "write", "discard", "zero", "flush"] as const;

interface Asked {
  readonly kind: typeof KINDS[number];
  readonly offset: number;
  readonly length: number;
  /** Where its data lies: bytes `from` to `to` of it at `at`. */
  readonly places: readonly { readonly at: number; readonly from: number; readonly to: number }[];
  readonly iovecs: IovecList;
  /** Of the data moved. */
  done: number;
  result: number | undefined;
}

/** Uses an overlay as the device does: goes on after short transfers, and never twice at once with a tag. */
class Driver {
  readonly ram: GuestRam;
  readonly fake;
  readonly backend: BlockBackend;
  readonly model: Uint8Array<ArrayBuffer>;
  readonly asked: Asked[] = [];
  readonly #buffers: number[];
  #next = 0;
  #inCall = false;

  constructor(sectors: number, clusterBytes: number, bufferBytes = 9 * SECTOR) {
    this.ram = new GuestRam(0x8_0000 + 2 * bufferBytes);
    this.fake = fakeOverlay(this.ram, sectors, clusterBytes);
    this.backend = this.fake.overlay;
    this.model = this.fake.base.bytes.slice();
    this.#buffers = Array.from(
      { length: bufferBytes > 9 * SECTOR ? 1 : 40 },
      () => this.ram.allocate(bufferBytes),
    );
    this.backend.attach({
      completed: (tag, result) => this.#completed(tag, result),
      batchEnd: () => {},
    });
  }

  /** `pieces`: the data lies in so many places, as drivers have it. */
  ask(kind: Asked["kind"], offset: number, length: number, data?: Uint8Array, pieces = 1): Asked {
    const buffer = this.#buffers[this.#next++ % this.#buffers.length] ?? 0;
    const places: Asked["places"][number][] = [];
    const iovecs = new IovecList(1);
    for (let i = 0, from = 0; i < pieces && kind !== "flush"; i++) {
      const to = Math.floor(length * (i + 1) / pieces);
      const at = buffer + from + i * 16; // the gap keeps them apart
      places.push({ at, from, to });
      iovecs.add(this.ram.memory.hostAddress(gpa(at), to - from), to - from);
      if (data !== undefined) this.ram.write(at, data.subarray(from, to));
      from = to;
    }
    const asked = { kind, offset, length, places, iovecs, done: 0, result: undefined };
    const tag = this.asked.push(asked) - 1;
    this.#call(tag, asked);
    return asked;
  }

  /** What a read has brought. */
  dataOf({ places, length }: Asked): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    for (const { at, from, to } of places) bytes.set(this.ram.read(at, to - from), from);
    return bytes;
  }

  #call(tag: number, { kind, offset, length, iovecs, done }: Asked): void {
    this.#inCall = true;
    if (kind === "read") this.backend.read(tag, iovecs, offset + done);
    else if (kind === "write") this.backend.write(tag, iovecs, offset + done, tag % 2 === 0);
    else if (kind === "flush") this.backend.flush(tag);
    else if (kind === "discard") this.backend.discard(tag, offset, length);
    else this.backend.writeZeroes(tag, offset, length, tag % 2 === 0);
    this.#inCall = false;
  }

  #completed(tag: number, result: number): void {
    assert(!this.#inCall, "completed from inside a call");
    const asked = this.asked[tag];
    assert(asked !== undefined && asked.result === undefined, "completed twice");
    if (result > 0 && result < asked.iovecs.bytes) {
      asked.iovecs.advance(result);
      asked.done += result;
      return this.#call(tag, asked);
    }
    if (asked.kind === "read" || asked.kind === "write") assert(result !== 0, "nothing moved");
    asked.result = Math.min(result, 0);
  }

  /** Everything to its end, in an order that `pick` chooses: which of so many. */
  settle(pick: (count: number) => number): void {
    const { base, scratch } = this.fake;
    this.backend.submit();
    while (base.inFlight + scratch.inFlight > 0) {
      const disk = scratch.inFlight === 0 || (base.inFlight > 0 && pick(2) === 0) ? base : scratch;
      disk.releaseAt(pick(disk.inFlight));
    }
    assert(this.asked.every(({ result }) => result !== undefined), "a request was forgotten");
    this.asked.length = 0;
  }

  /** What a read of [offset, offset + length) gives. */
  contents(offset: number, length: number): Uint8Array {
    const { base, scratch } = this.fake;
    const [slow, trouble] = [base.holding, scratch.trouble];
    base.holding = scratch.holding = false;
    scratch.trouble = undefined;
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const part = Math.min(8 * SECTOR, length - done);
      const asked = this.ask("read", offset + done, part);
      this.backend.submit();
      bytes.set(this.dataOf(asked), done);
      done += part;
    }
    this.asked.length = 0;
    base.holding = scratch.holding = slow;
    scratch.trouble = trouble;
    return bytes;
  }
}

/** Takes over what is there in the range: each byte as it was or as in `now`, for disks may fail anywhere. */
function adopt(driver: Driver, { offset, length }: Asked, now: Uint8Array): void {
  const found = driver.contents(offset, length);
  for (const [i, byte] of found.entries()) {
    const old = driver.model[offset + i];
    assert(byte === old || byte === now[i], `neither old nor new at ${offset + i}`);
  }
  driver.model.set(found, offset);
}

/** One batch of requests that do not touch each other's sectors, though each other's clusters. */
function batch(driver: Driver, random: Random, failing: boolean): void {
  const { model, fake } = driver;
  const sectors = model.length / SECTOR;
  const taken = new Set<number>();
  const checks: (() => void)[] = [];
  const checksLater: (() => void)[] = [];
  fake.scratch.trouble = (name) => {
    if (failing && /^(write|discard|zeroes)/.test(name) && random.below(4) === 0) return -ENOSPC;
    return random.below(3) === 0
      ? SECTOR * (1 + random.below(3)) - random.below(2) * 100
      : Infinity;
  };
  fake.base.trouble = () => random.below(3) === 0 ? 100 + random.below(900) : Infinity;
  fake.base.holding = fake.scratch.holding = true;
  for (let i = random.below(30); i >= 0; i--) {
    const first = random.below(sectors);
    const count = Math.min(1 + random.below(8), sectors - first);
    const range = Array.from({ length: count }, (_, n) => first + n);
    if (range.some((sector) => taken.has(sector))) continue;
    range.forEach((sector) => taken.add(sector));
    const [offset, length] = [first * SECTOR, count * SECTOR];
    const kind = KINDS[random.below(KINDS.length)] ?? "read";
    const data = kind === "write"
      ? Uint8Array.from({ length }, () => random.below(256))
      : undefined;
    const asked = driver.ask(kind, offset, length, data, 1 + random.below(4));
    if (random.below(4) === 0) driver.backend.submit();
    const expected = model.slice(offset, offset + length);
    if (kind === "read") {
      checks.push(() => assertEquals(driver.dataOf(asked), expected));
    } else if (kind === "flush") {
      checks.push(() => assertEquals(asked.result, 0));
    } else if (kind === "write" || kind === "zero") {
      const now = data ?? new Uint8Array(length);
      checksLater.push(() => {
        if (asked.result === 0) model.set(now, offset);
        else adopt(driver, asked, now);
      });
    } else {
      checksLater.push(() => adopt(driver, asked, new Uint8Array(length)));
    }
  }
  driver.settle((count) => random.below(count));
  for (const check of [...checks, ...checksLater]) check();
  assertEquals(driver.contents(0, model.length), model);
}

for (const [sectors, clusterBytes] of [[64, 2048], [61, 4096], [200, 1024], [7, 4096]] as const) {
  for (const failing of [false, true]) {
    const trouble = failing ? ", on a scratch that is often full" : "";
    Deno.test(`${sectors} sectors in clusters of ${clusterBytes} are what the model says${trouble}`, () => {
      for (let seed = 1; seed <= 12; seed++) {
        const random = new Random(seed);
        const driver = new Driver(sectors, clusterBytes);
        const before = driver.fake.base.bytes.slice();
        for (let round = 0; round < 12; round++) batch(driver, random, failing);
        assertEquals(driver.fake.base.bytes, before, "the base");
        driver.backend.close();
        assertEquals(driver.fake.released, [false], "all copy memory came back");
      }
    });
  }
}

function zeroes(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(length);
}

Deno.test("what is zeroed or given back before it was ever written does not let the base show", () => {
  const driver = new Driver(64, 2048);
  driver.ask("zero", 512, 3072);
  driver.ask("discard", 8192, 4096);
  driver.settle(() => 0);
  const { model } = driver;
  model.fill(0, 512, 512 + 3072);
  model.fill(0, 8192, 8192 + 4096);
  assertEquals(driver.contents(0, model.length), model);
});

Deno.test("what a failed write left in the scratch does not show when the cluster is given back", () => {
  const driver = new Driver(64, 2048);
  const { scratch } = driver.fake;
  let calls = 0;
  scratch.trouble = () => ++calls === 1 ? 1024 : -ENOSPC; // half of it, then no more
  const { result } = driver.ask("write", 0, 2048, zeroes(2048).fill(7));
  driver.settle(() => 0);
  assertEquals(result, undefined);
  scratch.trouble = undefined;
  assertEquals(driver.contents(0, 2048), driver.model.subarray(0, 2048));
  driver.ask("discard", 0, 2048);
  driver.settle(() => 0);
  assertEquals(driver.contents(0, 2048), zeroes(2048));
});

Deno.test("giving back a part of what was never written copies nothing", () => {
  const driver = new Driver(64, 2048);
  driver.ask("discard", 512, 1024);
  driver.settle(() => 0);
  assertEquals([driver.fake.base.log, driver.fake.scratch.log], [[], []]);
});

Deno.test("a write of whole clusters reads nothing, a small one its cluster once", () => {
  const driver = new Driver(64, 2048);
  driver.ask("write", 4096, 4096, zeroes(4096));
  driver.ask("write", 512, 512, zeroes(512));
  driver.settle(() => 0);
  driver.ask("write", 1024, 512, zeroes(512));
  driver.settle(() => 0);
  assertEquals(driver.fake.base.log, ["read 0+2048"]);
  assertEquals(driver.fake.scratch.log, ["write 4096+4096", "write 0+2048", "write 1024+512"]);
});

Deno.test("more copies than there is memory for wait their turn; a slow base holds up nobody else", () => {
  const driver = new Driver(256, 2048);
  const { base, scratch } = driver.fake;
  base.holding = true;
  for (let i = 0; i < COPIES + 5; i++) driver.ask("write", i * 2048, 512, zeroes(512));
  const whole = driver.ask("write", 60 * 2048, 2048, zeroes(2048));
  const flush = driver.ask("flush", 0, 0);
  driver.backend.submit();
  assertEquals([base.inFlight, scratch.inFlight], [COPIES, 0]);
  assertEquals([whole.result, flush.result], [0, 0]);
  driver.settle(() => 0);
});

Deno.test("memory of a copy under way is not given back to the host", () => {
  const driver = new Driver(64, 2048);
  driver.fake.base.holding = true;
  driver.ask("write", 0, 512, zeroes(512));
  driver.backend.submit();
  driver.backend.close();
  assertEquals(driver.fake.released, [true]);
});

Deno.test("one read that changes disks thousands of times needs no deep stack", () => {
  const sectors = 3000;
  const driver = new Driver(sectors, SECTOR, sectors * SECTOR);
  for (let sector = 0; sector < sectors; sector += 2) {
    driver.ask("write", sector * SECTOR, SECTOR, zeroes(SECTOR));
    driver.settle(() => 0);
    driver.model.fill(0, sector * SECTOR, (sector + 1) * SECTOR);
  }
  const read = driver.ask("read", 0, sectors * SECTOR);
  driver.settle(() => 0);
  assertEquals(read.result, 0);
  assertEquals(firstDifference(driver.dataOf(read), driver.model), -1);
  assertEquals([driver.fake.base.log.length, driver.fake.scratch.log.length], [1500, 3000]);
});

Deno.test("large disks have larger clusters, and the largest a bounded map", () => {
  const sizes = [2 ** 30, 4 * 2 ** 40, 4 * 2 ** 40 + 512, MAX_OVERLAY_BYTES];
  const maps = sizes.map((bytes) => new ClusterMap(bytes));
  assertEquals(maps.map(({ clusterBytes }) => clusterBytes), [2 ** 16, 2 ** 16, 2 ** 17, 2 ** 20]);
  const map = maps[3];
  assert(map !== undefined);
  const last = map.at(MAX_OVERLAY_BYTES - 1);
  map.setCopied(last, last);
  assertEquals([map.isCopied(last), map.isCopied(last - 1)], [true, false]);
});
