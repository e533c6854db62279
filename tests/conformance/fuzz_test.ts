/** A short run of the fuzzer, and every case that it has ever found (`deno task fuzz` runs for longer). */
import { assert, assertEquals } from "../../src/std/assert.ts";
import { CORPUS } from "../fuzz/corpus.ts";
import { runCase } from "../fuzz/fuzz_run.ts";
import { makeCase } from "../fuzz/generator.ts";
import { Random } from "../fuzz/random.ts";
import { shrink } from "../fuzz/shrink.ts";
import type { FuzzCase, Step } from "../fuzz/steps.ts";
import { makeVolley } from "../fuzz/volley.ts";
import { EchoDevice } from "../support/echo_device.ts";
import type { GuestRam } from "../support/guest_ram.ts";
import type { DeviceRow } from "../support/test_stand.ts";
import { DEVICES } from "./devices.ts";

const CASES = 40;
const STEPS = 100;

for (const { name } of DEVICES) {
  for (const seed of [1, crypto.getRandomValues(new Uint32Array(1))[0] ?? 2]) {
    Deno.test(`fuzz: ${name} withstands drivers from seed ${seed === 1 ? "1" : "of today"}`, () => {
      const random = new Random(seed);
      for (let i = 0; i < CASES; i++) {
        const found = makeCase(random, name, STEPS);
        const finding = runCase(found);
        if (finding === undefined) continue;
        const smaller = shrink(found, (fewer) => runCase(fewer)?.message === finding.message);
        throw new Error(`seed ${seed}: ${finding.stack}\n${JSON.stringify(smaller)}`);
      }
    });
  }
}

for (const { why, found } of CORPUS) {
  Deno.test(`fuzz: ${found.device}: ${why}`, () => assertEquals(runCase(found), undefined));
}

Deno.test("fuzz: the same seed gives the same cases", () => {
  const cases = () => Array.from({ length: 3 }, () => makeCase(new Random(42), "echo", 50));
  assertEquals(cases(), cases());
  assert(JSON.stringify(makeCase(new Random(43), "echo", 50)) !== JSON.stringify(cases()[0]));
});

Deno.test("fuzz: the same seed fires the same volley from inside a VM", () => {
  const volley = (seed: number) =>
    makeVolley({
      seed,
      processors: 2,
      devices: [{ index: 0, row: "block" }, { index: 1, row: "vsock" }],
      scenes: 6,
      steps: 50,
      lowEnd: 0xc000_0000,
      highEnd: 0x1_0400_0000,
    });
  const [one, again, other] = [volley(1), volley(1), volley(2)];
  assert(one.every((byte, i) => byte === again[i]) && one.length === again.length);
  assert(one.length !== other.length || one.some((byte, i) => byte !== other[i]));
});

Deno.test("fuzz: a failing case is made as small as it goes", () => {
  const steps: Step[] = Array.from({ length: 37 }, (_, i) => ({ do: "kick", queue: i }));
  const needed = (tested: FuzzCase) =>
    [5, 20].every((queue) =>
      tested.steps.some((step) => step.do === "kick" && step.queue === queue)
    );
  const smaller = shrink({ device: "echo", strict: true, steps }, needed);
  assertEquals(smaller.steps, [{ do: "kick", queue: 5 }, { do: "kick", queue: 20 }]);
});

Deno.test("fuzz: what a step throws is a finding, with the step", () => {
  const up: Step = { do: "up", mask: 0, size: 4, high: false };
  const part = { area: "wild", offset: 0, flags: 0, next: -1, length: NaN } as const;
  const broken: Step = { do: "chain", queue: 0, at: 0, parts: [part], times: 1 };
  assertEquals(runCase({ device: "echo", strict: true, steps: [up] }), undefined);
  assertEquals(runCase({ device: "echo", strict: true, steps: [up, broken] })?.step, 1);
});

/** Faults of a device, each put into one that has none; what the fuzzer says of it. */
const FAULTS: readonly [string, (device: EchoDevice, ram: GuestRam) => void, RegExp][] = [
  ["throws", () => {
    throw new Error("out of order");
  }, /out of order/],
  ["writes where it may not", (_, ram) => {
    const [low] = ram.memory.regions;
    if (low !== undefined) low.u8[0x10] = 0;
  }, /INV-2/],
  ["gives a chain back twice", ({ context }) => {
    const used = context?.queues[0];
    const chain = used?.pop();
    if (used === undefined || chain === undefined) return;
    used.complete(chain);
    used.complete(chain);
    used.flush();
  }, /came back/],
  ["takes its time", () => {
    for (const until = performance.now() + 120; performance.now() < until;);
  }, /a hang/],
];

for (const [fault, work, message] of FAULTS) {
  Deno.test(`fuzz: a device that ${fault} is found out`, () => {
    class Faulty extends EchoDevice {
      constructor(readonly ram: GuestRam) {
        super();
      }
      override notify(index: number): void {
        if (index === 0) work(this, this.ram);
        super.notify(index);
      }
    }
    const rows = DEVICES.filter(({ name }) => name === "echo").map((row): DeviceRow => ({
      ...row,
      make: (ram) => ({ ...row.make(ram), device: new Faulty(ram) }),
    }));
    const random = new Random(1);
    for (let i = 0; i < CASES; i++) {
      const finding = runCase({ ...makeCase(random, "echo", STEPS), strict: true }, rows);
      if (finding !== undefined && message.test(finding.message)) return;
    }
    throw new Error(`nothing was found in ${CASES} cases`);
  });
}
