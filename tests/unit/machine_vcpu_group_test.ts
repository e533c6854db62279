/** The vCPUs of a machine whose threads start at once, or when the guest has run for a moment. */
import {
  ControlBlock,
  VCPU_PARKED,
  VCPU_PAUSE,
  VCPU_REQUEST,
  VCPU_STOP,
} from "../../src/ipc/control_block.ts";
import type { PlainError } from "../../src/ipc/messages.ts";
import type { OwnedVcpu } from "../../src/kvm/vcpu.ts";
import type { StartOfThread } from "../../src/machine/placement.ts";
import type { VcpuEvents, VcpuHandle, VcpuSetup } from "../../src/machine/vcpu_handle.ts";
import { VcpuGroup } from "../../src/machine/vcpu_group.ts";
import { assertEquals } from "../../src/std/assert.ts";

const COUNT = 3;
const SHAPE = { vcpus: COUNT, devices: 0 };

/** A thread that writes down what it is told. */
class FakeVcpu implements VcpuHandle {
  readonly received = 0;
  readonly told: string[] = [];
  isIdle = true;
  failure: PlainError | undefined;
  /** What `init` waits for. */
  answer: Promise<void> = Promise.resolve();

  constructor(readonly id: number) {}

  load(): void {
    this.told.push("load");
  }

  async init({ place }: OwnedVcpu): Promise<void> {
    this.told.push(`init ${place.id}`);
    this.isIdle = false;
    await this.answer;
    if (this.failure === undefined) return;
    this.isIdle = true;
    throw this.failure;
  }

  start(): void {
    this.told.push("start");
  }

  kick(): void {
    this.told.push("kick");
  }

  terminate(): void {
    this.told.push("terminate");
  }
}

function newGroup(others: StartOfThread) {
  const block = ControlBlock.create(SHAPE);
  const vcpus = Array.from({ length: COUNT }, (_, id) => new FakeVcpu(id));
  const group = new VcpuGroup(block, vcpus, others);
  // SAFETY of the casts: the fakes look at the place's id, and at nothing of the set-up.
  const owned = vcpus.map(({ id }) => ({ place: { id } }) as OwnedVcpu);
  const setUp = () => Promise.all(group.init(owned, {} as VcpuSetup));
  const word = (word: number) =>
    vcpus.map(({ id }) => Atomics.load(block.words, block.vcpu(id, word)));
  const park = (id: number) => Atomics.store(block.words, block.vcpu(id, VCPU_PARKED), 1);
  return { group, vcpus, setUp, word, park };
}

function newEvents(): { events: VcpuEvents; deaths: PlainError[] } {
  const deaths: PlainError[] = [];
  return { events: { exited() {}, died: (error) => deaths.push(error) }, deaths };
}

/** Lets promises that are resolved be heard of. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 0));
}

function toldAll(vcpus: readonly FakeVcpu[]): string[] {
  return vcpus.map(({ told }) => told.join(", "));
}

Deno.test("threads that start at once are loaded, get their vCPUs and run them", async () => {
  const { group, vcpus, setUp } = newGroup("at once");
  await setUp();
  group.start(newEvents().events);
  group.startLate(newEvents().events);
  await settle();
  assertEquals(toldAll(vcpus), [0, 1, 2].map((id) => `load, init ${id}, start`));
});

Deno.test("the others, left for later, hear of nothing before, and of it once", async () => {
  const { group, vcpus, setUp } = newGroup("when needed");
  const { events } = newEvents();
  await setUp();
  group.start(events);
  await settle();
  assertEquals(toldAll(vcpus), ["load, init 0, start", "", ""]);
  assertEquals(vcpus.map(({ isIdle }) => isIdle), [false, true, true]);
  group.startLate(events);
  group.startLate(events);
  await settle();
  assertEquals(toldAll(vcpus), ["load, init 0, start", "init 1, start", "init 2, start"]);
});

Deno.test("what is asked while a thread is missing waits for it, and a machine that ends waits as well", async () => {
  const { group, vcpus, setUp, word } = newGroup("when needed");
  const answer = Promise.withResolvers<void>();
  const [first, second, third] = vcpus as [FakeVcpu, FakeVcpu, FakeVcpu];
  second.answer = answer.promise;
  await setUp();
  group.start(newEvents().events);
  group.startLate(newEvents().events);
  await settle();
  group.request(VCPU_STOP);
  assertEquals(word(VCPU_REQUEST), [VCPU_STOP, VCPU_STOP, VCPU_STOP]);
  first.isIdle = third.isIdle = true;
  assertEquals(group.isIdle, false); // the second is about to take its vCPU
  answer.resolve();
  await settle();
  assertEquals(second.told.at(-1), "start"); // and finds the request
  second.isIdle = true;
  assertEquals(group.isIdle, true);
});

Deno.test("a pause does not wait for threads that have not started, but for those that are starting", async () => {
  const { group, setUp, park } = newGroup("when needed");
  await setUp();
  group.start(newEvents().events);
  group.request(VCPU_PAUSE);
  assertEquals(group.parked, false);
  park(0);
  assertEquals(group.parked, true);
  group.startLate(newEvents().events);
  assertEquals(group.parked, false);
  park(1);
  park(2);
  assertEquals(group.parked, true);
});

Deno.test("a thread that cannot take its vCPU late has died; one that is there at once refuses the machine", async () => {
  const failure = { name: "WorkerError", message: "no room" };
  const late = newGroup("when needed");
  const { events, deaths } = newEvents();
  (late.vcpus[2] as FakeVcpu).failure = failure;
  await late.setUp();
  late.group.start(events);
  late.group.startLate(events);
  await settle();
  assertEquals(deaths, [failure]);
  assertEquals(late.vcpus[2]?.told, ["init 2"]);

  const prompt = newGroup("at once");
  (prompt.vcpus[2] as FakeVcpu).failure = failure;
  assertEquals(await prompt.setUp().catch((error) => error), failure);
});
