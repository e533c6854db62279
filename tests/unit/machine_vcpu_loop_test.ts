/** Exits served: string instructions item by item, wide memory accesses in parts, and which exit ends the run. */
import {
  KVM_EXIT_FAIL_ENTRY,
  KVM_EXIT_INTERNAL_ERROR,
  KVM_EXIT_INTR,
  KVM_EXIT_SYSTEM_EVENT,
  KVM_RUN_MMIO,
  KVM_SYSTEM_EVENT_CRASH,
  KVM_SYSTEM_EVENT_RESET,
  KVM_SYSTEM_EVENT_SHUTDOWN,
} from "../../src/abi/kvm.ts";
import {
  ControlBlock,
  VCPU_EXITS_MMIO,
  VCPU_EXITS_OTHER,
  VCPU_EXITS_PIO,
  VCPU_PARKED,
  VCPU_PAUSE,
  VCPU_REQUEST,
  VCPU_STOP,
} from "../../src/ipc/control_block.ts";
import type { VcpuExit } from "../../src/ipc/messages.ts";
import { MailboxCaller } from "../../src/ipc/mailbox.ts";
import { Bus, type BusParts } from "../../src/machine/bus.ts";
import { VcpuLoop } from "../../src/machine/vcpu_loop.ts";
import type { Window } from "../../src/machine/windows.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import { FakeRunPage, fakeVcpu, PIO_DATA } from "../support/fake_vcpu.ts";

const UNION = 32;
const PORT = 0x3f8;
const PAGE = 0xd000_0000;
const WINDOWS: readonly Window[] = [
  { kind: "serial", space: "pio", base: PORT, size: 8 },
  { kind: "platform", space: "mmio", base: PAGE, size: 0x1000 },
];

/** A vCPU between a list of exits and one device in each address space. */
class Bench {
  readonly run = new FakeRunPage();
  readonly block = ControlBlock.create({ vcpus: 2, devices: 0 });
  /** `offset=value` of each byte written. */
  readonly written: string[] = [];
  /** What the vCPU told, with its parked word. */
  readonly events: string[] = [];
  /** Called when the vCPU parks; on this one thread, whoever ends the pause must do so here. */
  parked: () => void = () => this.events.push(`parked ${this.word(VCPU_PARKED)}`);
  #next = 0x10;
  loop: VcpuLoop | undefined;

  /** Runs `exits`, then is asked to stop. */
  serve(...exits: (() => void)[]): VcpuExit {
    const write = (offset: number, value: number) => {
      this.written.push(`${offset}=${value}`);
    };
    const port = { read: () => this.#next++, write };
    const page = { read: (offset: number) => 0x20 + offset, write };
    const parts: BusParts = {
      legacy: new Map([["serial", port], ["platform", page]]),
      interrupts: [],
      mirrors: [],
      mailbox: new MailboxCaller(this.block, 1, () => {}),
    };
    const vcpu = fakeVcpu(this.run, [...exits, () => this.#askToStop()]);
    const [mmio, pio] = [new Bus("mmio", WINDOWS, parts), new Bus("pio", WINDOWS, parts)];
    this.loop = new VcpuLoop(vcpu, this.block, mmio, pio, {
      parked: () => this.parked(),
      unparked: () => this.events.push(`unparked ${this.word(VCPU_PARKED)}`),
    });
    return this.loop.run();
  }

  #askToStop(): void {
    this.run.reason(KVM_EXIT_INTR);
    this.ask(VCPU_STOP);
  }

  /** As control does it: the request, then the kick. */
  ask(request: number): void {
    Atomics.store(this.block.words, this.block.vcpu(1, VCPU_REQUEST), request);
    this.run.page.immediateExit = true;
  }

  word(word: number): number {
    return Atomics.load(this.block.words, this.block.vcpu(1, word));
  }

  counts(vcpu = 1): number[] {
    return [VCPU_EXITS_MMIO, VCPU_EXITS_PIO, VCPU_EXITS_OTHER].map((word) =>
      Atomics.load(this.block.words, this.block.vcpu(vcpu, word))
    );
  }
}

Deno.test("a byte written to a port reaches its register", () => {
  const bench = new Bench();
  bench.serve(() => bench.run.pio(PORT + 7, 1, 1, [0x5a]));
  assertEquals(bench.written, ["7=90"]);
});

Deno.test("a string written to a port is all written to that port, in order", () => {
  const bench = new Bench();
  bench.serve(() => bench.run.pio(PORT, 1, 4, [1, 2, 3, 4]));
  assertEquals(bench.written, ["0=1", "0=2", "0=3", "0=4"]);
  const wide = new Bench();
  wide.serve(() => wide.run.pio(PORT + 2, 2, 2, [1, 2, 3, 4]));
  assertEquals(wide.written, ["2=1", "3=2", "2=3", "3=4"]);
});

Deno.test("a string read from a port is read once for each item, into KVM's buffer", () => {
  const bench = new Bench();
  bench.serve(() => bench.run.pio(PORT, 1, 3));
  assertEquals(bench.run.bytes(PIO_DATA, 5), [0x10, 0x11, 0x12, 0, 0]);
});

Deno.test("a port nobody claims reads as ones and takes writes", () => {
  const bench = new Bench();
  bench.serve(() => bench.run.pio(0x80, 2, 2), () => bench.run.pio(0x80, 1, 1, [1]));
  assertEquals(bench.written, []);
  const reader = new Bench();
  reader.serve(() => reader.run.pio(0xcf8, 4, 1));
  assertEquals(reader.run.bytes(PIO_DATA, 5), [0xff, 0xff, 0xff, 0xff, 0]);
});

Deno.test("eight bytes written to memory reach eight addresses", () => {
  const bench = new Bench();
  bench.serve(() => bench.run.mmio(PAGE + 0x10, 8, [1, 2, 3, 4, 5, 6, 7, 8]));
  const expected = [1, 2, 3, 4, 5, 6, 7, 8].map((value) => `${15 + value}=${value}`);
  assertEquals(bench.written, expected);
});

for (const length of [1, 2, 3, 4, 5, 6, 7, 8]) {
  Deno.test(`a read of ${length} bytes fills ${length} bytes of the answer`, () => {
    const bench = new Bench();
    bench.serve(() => bench.run.mmio(PAGE + 5, length));
    const answer = bench.run.bytes(KVM_RUN_MMIO.data, 8);
    assertEquals(answer.slice(0, length), Array.from({ length }, (_, i) => 0x25 + i));
    assertEquals(answer.slice(length), Array.from({ length: 8 - length }, () => 0));
  });
}

Deno.test("a write across the end of a window stops there", () => {
  const bench = new Bench();
  bench.serve(() => bench.run.mmio(PAGE + 0xffc, 8, [1, 2, 3, 4, 5, 6, 7, 8]));
  assertEquals(bench.written, ["4092=1", "4093=2", "4094=3", "4095=4"]);
});

Deno.test("a request to stop is seen before the guest is entered again", () => {
  const bench = new Bench();
  assertEquals(bench.serve(), { kind: "asked" });
  Atomics.store(bench.block.words, bench.block.vcpu(1, VCPU_REQUEST), VCPU_STOP);
  assertEquals(bench.serve(() => assert(false, "the guest was entered")), { kind: "asked" });
});

Deno.test("a vCPU parks after the access it serves, and goes on when the request is taken back", () => {
  const bench = new Bench();
  bench.parked = () => {
    bench.events.push(`parked ${bench.word(VCPU_PARKED)} after ${bench.written}`);
    Atomics.store(bench.block.words, bench.block.vcpu(1, VCPU_REQUEST), 0);
  };
  bench.serve(
    () => {
      bench.ask(VCPU_PAUSE);
      bench.run.pio(PORT, 1, 1, [7]);
    },
    () => bench.run.pio(PORT, 1, 1, [8]),
  );
  assertEquals(bench.events, ["parked 1 after 0=7", "unparked 0"]);
  assertEquals(bench.written, ["0=7", "0=8"]);
  assertEquals(bench.word(VCPU_PARKED), 0);
});

Deno.test("a pause asked for before the start comes before the guest's first instruction", () => {
  const bench = new Bench();
  bench.parked = () => {
    bench.events.push("parked");
    bench.ask(VCPU_STOP);
  };
  bench.ask(VCPU_PAUSE);
  const exit = bench.serve(() => assert(false, "the guest was entered"));
  assertEquals(exit, { kind: "asked" });
  assertEquals(bench.events, ["parked", "unparked 0"]);
});

Deno.test("a pause taken back and asked for again while a vCPU leaves it parks it again", () => {
  const bench = new Bench();
  let parks = 0;
  bench.parked = () => {
    parks++;
    // What control does between two looks of the vCPU: PAUSE is set again when it looks for the second time.
    Atomics.store(bench.block.words, bench.block.vcpu(1, VCPU_REQUEST), parks < 3 ? 0 : VCPU_STOP);
  };
  const push = bench.events.push.bind(bench.events);
  bench.events.push = (event) => {
    if (event.startsWith("unparked") && parks < 3) bench.ask(VCPU_PAUSE);
    return push(event);
  };
  bench.ask(VCPU_PAUSE);
  const exit = bench.serve(() => assert(false, "the guest was entered"));
  assertEquals([exit.kind, parks], ["asked", 3]);
});

Deno.test("a kick without a request is forgotten", () => {
  const bench = new Bench();
  bench.run.page.immediateExit = true;
  bench.serve(() => bench.run.pio(PORT, 1, 1, [9]));
  assertEquals(bench.written, ["0=9"]);
  assertEquals(bench.events, []);
});

Deno.test("a device may end the run; the first to do so is believed", () => {
  const bench = new Bench();
  const exit = bench.serve(() => {
    bench.run.pio(PORT, 1, 1, [0]);
    bench.loop?.end({ kind: "exit-register", status: 3 });
    bench.loop?.end({ kind: "reset" });
  });
  assertEquals(exit, { kind: "exit-register", status: 3 });
});

Deno.test("exits are counted by kind, for the vCPU that took them", () => {
  const bench = new Bench();
  const pio = () => bench.run.pio(PORT, 1, 5, []);
  bench.serve(pio, () => bench.run.mmio(PAGE, 8), pio, () => bench.run.reason(KVM_EXIT_INTR));
  assertEquals([bench.counts(1), bench.counts(0)], [[1, 2, 2], [0, 0, 0]]);
});

const EVENTS: readonly (readonly [type: number, kind: VcpuExit["kind"]])[] = [
  [KVM_SYSTEM_EVENT_SHUTDOWN, "poweroff"],
  [KVM_SYSTEM_EVENT_RESET, "reset"],
  [KVM_SYSTEM_EVENT_CRASH, "kvm-error"],
];
for (const [type, kind] of EVENTS) {
  Deno.test(`system event ${type} ends the run as ${kind}`, () => {
    const bench = new Bench();
    const exit = bench.serve(() => {
      bench.run.reason(KVM_EXIT_SYSTEM_EVENT);
      bench.run.view.setUint32(UNION, type, true);
    });
    assertEquals(exit.kind, kind);
  });
}

const FAILURES: readonly (readonly [name: string, reason: number, word: number, part: string])[] = [
  ["a refused entry", KVM_EXIT_FAIL_ENTRY, 0x21, "0x21"],
  ["an internal error that is no emulation failure", KVM_EXIT_INTERNAL_ERROR, 3, "error 3"],
  ["an exit nobody expects", 4711, 0, "4711"],
];
for (const [name, reason, word, part] of FAILURES) {
  Deno.test(`${name} ends the run with its number in the message`, () => {
    const bench = new Bench();
    const exit = bench.serve(() => {
      bench.run.reason(reason);
      bench.run.view.setUint32(UNION, word, true);
    });
    assert(exit.kind === "kvm-error" && exit.detail.includes(part), JSON.stringify(exit));
    assertEquals(bench.counts(), [0, 0, 1]);
  });
}
