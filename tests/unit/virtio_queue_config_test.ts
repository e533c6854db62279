/** Queue registers before the queue runs (HD-38 to HD-40, VQ-SPLIT-04). */
import { assertEquals, assertThrows } from "../../src/std/assert.ts";
import { DriverFault } from "../../src/virtio/faults.ts";
import { AddressRegister, QueueConfig } from "../../src/virtio/queue_config.ts";
import { GuestRam, HIGH_BASE } from "../support/guest_ram.ts";
import { InterruptRecord } from "../support/interrupt_sink.ts";
import { FLAGS_ONLY } from "../support/queue_bench.ts";

const PARTS = ["desc", "avail", "used"] as const;
/** For N = 8: bytes and alignment of each part (spec 2.7). */
const BYTES = { desc: 128, avail: 22, used: 70 } as const;
const ALIGN = { desc: 16, avail: 2, used: 4 } as const;

function configAt(addresses: Partial<Record<(typeof PARTS)[number], number>> = {}): QueueConfig {
  const config = new QueueConfig(0, 8);
  for (const part of PARTS) {
    const at = addresses[part] ?? 0x1000 * (1 + PARTS.indexOf(part));
    config.setAddress(part, "low", at % HIGH_BASE);
    config.setAddress(part, "high", Math.floor(at / HIGH_BASE));
  }
  return config;
}

function activate(config: QueueConfig): void {
  config.activate(new GuestRam().memory, new InterruptRecord(), FLAGS_ONLY);
}

Deno.test("MMIO-15 the size is the maximum until written", () => {
  assertEquals(new QueueConfig(0, 256).size, 256);
});

for (const size of [0, 3, 7, 512, 0x1_0008, 0x8000_0000, 0xffff_ffff]) {
  Deno.test(`HD-38 size ${size} of at most 256 is ignored`, () => {
    const config = new QueueConfig(0, 256);
    config.size = 16;
    config.size = size;
    assertEquals(config.size, 16);
  });
}

for (const size of [1, 2, 128, 256]) {
  Deno.test(`MMIO-13 size ${size} of at most 256 is taken`, () => {
    const config = new QueueConfig(0, 256);
    config.size = size;
    assertEquals(config.size, size);
  });
}

Deno.test("an address register holds all 64 bits, and has no value where doubles lie", () => {
  const register = new AddressRegister();
  register.low = 0xffff_ffff;
  register.high = 0x1f_ffff;
  assertEquals(register.value, 2 ** 53 - 1);
  register.high = 0x20_0000;
  assertEquals(register.value, undefined);
});

for (const part of PARTS) {
  Deno.test(`HD-39 ${part} may end with the last byte of a region, and not one later`, () => {
    const { lowEnd, highEnd } = new GuestRam();
    for (const end of [lowEnd, highEnd]) {
      const last = Math.floor((end - BYTES[part]) / ALIGN[part]) * ALIGN[part];
      const config = configAt({ [part]: last });
      activate(config);
      assertEquals(config.ready, true);
      const late = configAt({ [part]: last + ALIGN[part] });
      assertThrows(() => activate(late), DriverFault, `${part} ring`);
      assertEquals(late.ready, false);
    }
  });

  Deno.test(`HD-39, VQ-SPLIT-04 ${part} off its alignment of ${ALIGN[part]} is refused`, () => {
    for (let skew = 1; skew < ALIGN[part]; skew++) {
      assertThrows(() => activate(configAt({ [part]: 0x1000 + skew })), DriverFault, "aligned");
    }
  });

  Deno.test(`HD-39 ${part} above 2**53 is refused`, () => {
    const config = configAt();
    config.setAddress(part, "high", 0xffff_ffff);
    assertThrows(() => activate(config), DriverFault, "above 2**53");
  });

  Deno.test(`HD-40, MMIO-19 ${part} and size cannot be changed while ready`, () => {
    const config = configAt();
    activate(config);
    config.setAddress(part, "low", 0x10);
    config.setAddress(part, "high", 0x10);
    config.size = 2;
    assertEquals([config[part].value, config.size], [0x1000 * (1 + PARTS.indexOf(part)), 8]);
    config.stop();
    config.setAddress(part, "low", 0x10);
    assertEquals(config[part].value, 0x10);
  });
}
