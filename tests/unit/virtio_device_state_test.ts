/** Status, features and activation (BF-STAT, BF-FEAT, HD-45 to HD-52), without a transport. */
import { assert, assertEquals, assertThrows } from "../../src/std/assert.ts";
import { DriverFault, InvariantError } from "../../src/virtio/faults.ts";
import { GuestFault } from "../../src/memory/guest_memory.ts";
import { StateBench } from "../support/state_bench.ts";

/** Every state a driver can be in, and how it got there. */
const STATES: readonly { readonly status: number; readonly enter: (bench: StateBench) => void }[] =
  [
    { status: 0x00, enter: () => {} },
    { status: 0x01, enter: (bench) => bench.write(0x01) },
    { status: 0x03, enter: (bench) => bench.write(0x03) },
    { status: 0x0b, enter: (bench) => bench.negotiate() },
    { status: 0x0f, enter: (bench) => bench.bringUp() },
    { status: 0x80, enter: (bench) => bench.write(0x80) },
    {
      status: 0x4f,
      enter: (bench) => {
        bench.bringUp();
        bench.device.context?.needsReset(new Error("test"));
      },
    },
  ];

/**
 * What status reads after writing `value` in state `from`, by the rules of spec 2.1 and 3.1 alone. `agrees`:
 * whether the features written so far are acceptable.
 */
function expectedStatus(from: number, value: number, agrees: boolean): number {
  if (value === 0) return 0;
  if ((from & 0xc0) !== 0) return from | (value & 0x80); // only a reset helps; FAILED is remembered
  const isFailing = (value & 0x80) !== 0;
  if (!isFailing && (from & ~value & 0x0f) !== 0) return from; // would clear bits
  let status = from;
  if ((value & 0x01) !== 0) status |= 0x01;
  if ((value & 0x02) !== 0 && (status & 0x01) !== 0) status |= 0x02;
  if ((value & 0x08) !== 0 && (status & 0x02) !== 0 && agrees) status |= 0x08;
  if ((value & 0x04) !== 0 && (status & 0x08) !== 0 && !isFailing) status |= 0x04;
  return isFailing ? status | 0x80 : status;
}

for (const { status, enter } of STATES) {
  Deno.test(`HD-45, HD-46 each of 256 values written in state ${status} gives a legal status`, () => {
    for (let value = 0; value < 256; value++) {
      const bench = new StateBench();
      enter(bench);
      assertEquals(bench.state.status, status);
      assert(bench.write(value).done);
      const agrees = (status & 0x08) !== 0;
      assertEquals(bench.state.status, expectedStatus(status, value, agrees), `wrote ${value}`);
    }
  });

  Deno.test(`HD-45 no value written in state ${status} activates the device twice or too early`, () => {
    for (let value = 0; value < 256; value++) {
      const bench = new StateBench();
      enter(bench);
      bench.write(value);
      const isUp = (bench.state.status & 0x04) !== 0;
      assert(bench.device.activations <= 1, `wrote ${value}`);
      if (isUp) assertEquals(bench.device.activations, 1, `wrote ${value}`);
    }
  });
}

Deno.test("BF-STAT-12 with features written, 0x0f in one write brings the device up", () => {
  const bench = new StateBench();
  bench.write(0x03);
  bench.state.writeDriverWord(1, 1);
  bench.write(0x0f);
  assertEquals([bench.state.status, bench.device.activations], [0x0f, 1]);
});

Deno.test("MMIO-09, BF-FEAT-08 driver features count in DRIVER state alone", () => {
  const bench = new StateBench();
  bench.state.writeDriverWord(0, 1);
  assertEquals(bench.state.negotiated, 0n);
  bench.write(0x01);
  bench.state.writeDriverWord(0, 1);
  assertEquals(bench.state.negotiated, 0n);
  bench.negotiate(1);
  bench.state.writeDriverWord(0, 3);
  assertEquals(bench.state.negotiated, (1n << 32n) | 1n);
});

Deno.test("BF-FEAT-07, HD-48 all ones in every word leave what was offered", () => {
  const bench = new StateBench();
  bench.write(0x03);
  for (const word of [0, 1, 2, 3, 4, 0xffff_ffff]) bench.state.writeDriverWord(word, 0xffff_ffff);
  assertEquals(bench.state.negotiated, (1n << 32n) | (3n << 28n) | 3n);
});

Deno.test("BF-FEAT-06 a set the device refuses leaves FEATURES_OK clear until it is mended", () => {
  const bench = new StateBench();
  bench.negotiate(0b10); // LOUD without INVERT
  assertEquals(bench.state.status, 0x03);
  bench.state.writeDriverWord(0, 0b11);
  bench.write(0x0b);
  assertEquals(bench.state.status, 0x0b);
});

Deno.test("BF-FEAT-10 offered words are the device's and the ring's, 0 beyond", () => {
  const { state } = new StateBench();
  assertEquals(state.offeredWord(0), 0x3000_0003);
  assertEquals(state.offeredWord(1), 1);
  for (const word of [2, 3, 4, 32, 0xffff_ffff]) assertEquals(state.offeredWord(word), 0);
});

Deno.test("BF-STAT-05 every ready queue is notified at DRIVER_OK, once and in order", () => {
  const bench = new StateBench();
  bench.bringUp();
  assertEquals(bench.device.notified, [0, 1]);
});

Deno.test("HD-44 queues that are not ready are neither handed over nor notified", () => {
  const bench = new StateBench();
  bench.negotiate();
  bench.startQueue(1);
  bench.write(0x0f);
  assertEquals(bench.device.notified, [1]);
  assertEquals(bench.device.context?.queues[0], undefined);
  bench.state.kick(0);
  assertEquals(bench.device.notified, [1]);
});

Deno.test("BF-INIT-03 a queue made ready at run time appears in the context and is notified", () => {
  const bench = new StateBench();
  bench.negotiate();
  bench.write(0x0f);
  assertEquals(bench.device.context?.queues[1], undefined);
  bench.startQueue(1);
  assertEquals(bench.device.context?.queues[1]?.index, 1);
  assertEquals(bench.device.notified, [1]);
});

Deno.test("queues made ready before FEATURES_OK stay unready", () => {
  const bench = new StateBench();
  bench.write(0x03);
  bench.startQueue(0);
  assertEquals(bench.state.queues[0]?.ready, false);
});

for (const [name, status] of [["FAILED", 0x8f], ["NEEDS_RESET", 0x4f]] as const) {
  Deno.test(`HD-51 after ${name} no queue can be made ready and no kick counts`, () => {
    const bench = new StateBench();
    bench.negotiate();
    bench.startQueue(0);
    bench.write(0x0f);
    if (name === "FAILED") bench.write(0x8f);
    else bench.device.context?.needsReset(new Error("test"));
    const kicks = bench.device.notified.length;
    bench.startQueue(1);
    bench.state.kick(0);
    assertEquals(bench.state.status, status);
    assertEquals(bench.state.queues[1]?.ready, false);
    assertEquals(bench.device.notified.length, kicks);
  });
}

for (const fault of [new DriverFault("driver"), new GuestFault(0x1000, 4)]) {
  Deno.test(`BF-STAT-06, INV-1 a ${fault.name} thrown by the device breaks it and goes no further`, () => {
    const bench = new StateBench();
    bench.bringUp();
    bench.device.notify = () => {
      throw fault;
    };
    bench.state.kick(0);
    assertEquals(bench.state.status, 0x4f);
    assertEquals([bench.interrupt.configs, bench.faults], [1, [fault]]);
  });
}

Deno.test("our own bugs are not hidden as the driver's", () => {
  const bench = new StateBench();
  bench.bringUp();
  bench.device.notify = () => {
    throw new InvariantError("ours");
  };
  assertThrows(() => bench.state.kick(0), InvariantError);
});

Deno.test("INV-4 a device that fails again and again is reported once a life", () => {
  const bench = new StateBench();
  for (let life = 1; life <= 2; life++) {
    bench.bringUp();
    for (let i = 0; i < 5; i++) bench.device.context?.needsReset(new Error("test"));
    assertEquals([bench.faults.length, bench.interrupt.configs], [life, life]);
  }
});

Deno.test("BF-STAT-07 a bad ring before DRIVER_OK sets NEEDS_RESET without an interrupt", () => {
  const bench = new StateBench();
  bench.negotiate();
  bench.program(0);
  bench.state.queues[0]?.setAddress("desc", "high", 0xffff_ffff);
  bench.state.startQueue(0);
  assertEquals([bench.state.status, bench.interrupt.configs], [0x4b, 0]);
  bench.write(0x0f);
  assertEquals([bench.state.status, bench.device.activations], [0x4b, 0]);
});

Deno.test("a device that fails while it is activated is not notified", () => {
  const bench = new StateBench();
  const activate = bench.device.activate.bind(bench.device);
  bench.device.activate = (context) => {
    activate(context);
    context.needsReset(new Error("test"));
  };
  bench.bringUp();
  assertEquals([bench.state.status, bench.device.notified], [0x4f, []]);
});
