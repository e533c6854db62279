/** The machine as plain data: addresses, interrupts, words and windows, from the configuration alone. */
import { architecture, BootError } from "../../src/arch/mod.ts";
import type { ConsoleConfigMode, MachineConfig } from "../../src/machine/config.ts";
import { type MachinePlan, planMachine } from "../../src/machine/plan.ts";
import { windowsOf } from "../../src/machine/windows.ts";
import { assert, assertEquals, assertThrows } from "../../src/std/assert.ts";

const MIB = 2 ** 20;
const DISK = { kind: "block", path: "/disk", readOnly: true, direct: false } as const;
const DEVICE_WORDS = ["virtio_mmio.device=4K@0xd0001000:5", "virtio_mmio.device=4K@0xd0002000:6"];

function configOf(changes: Partial<MachineConfig> = {}): MachineConfig {
  return {
    kernel: { image: "/vmlinux" },
    memoryMib: 128,
    vcpus: 1,
    discovery: "auto",
    console: { mode: "serial" },
    devices: [],
    ...changes,
  };
}

function wordsOf(plan: MachinePlan): string[] {
  return plan.cmdline.split(" ");
}

Deno.test("devices stand in the order they were given, each with a page and a line of its own", () => {
  const { devices } = planMachine(configOf({ devices: [DISK, DISK], console: { mode: "auto" } }));
  assertEquals(
    devices.map(({ config, slot }) => [config.kind, slot.name, slot.base, slot.size, slot.gsi]),
    [
      ["block", "block0", 0xd000_1000, 0x1000, 5],
      ["block", "block1", 0xd000_2000, 0x1000, 6],
      ["console", "console2", 0xd000_3000, 0x1000, 10],
    ],
  );
});

Deno.test("the places of a PC are fixed", () => {
  const { fixed } = planMachine(configOf());
  assertEquals(fixed.map(({ kind, space, base, gsi }) => [kind, space, base, gsi]), [
    ["serial", "pio", 0x3f8, 4],
    ["pit", "pio", 0x40, 0],
    ["pit-gate", "pio", 0x61, undefined],
    ["keyboard", "pio", 0x64, 1],
    ["rtc", "pio", 0x70, 8],
    ["exit", "pio", 0xf4, undefined],
    ["platform", "mmio", 0xd000_0000, 9],
  ]);
});

Deno.test("memory is planned in bytes, around the hole below 4 GiB", () => {
  assertEquals(planMachine(configOf()).ram, [{ base: 0, size: 128 * MIB }]);
  assertEquals(planMachine(configOf({ memoryMib: 4096 })).ram, [
    { base: 0, size: 3072 * MIB },
    { base: 4096 * MIB, size: 1024 * MIB },
  ]);
});

interface ConsoleCase {
  readonly console: ConsoleConfigMode;
  readonly serial: MachinePlan["serial"];
  /** What Linux makes /dev/console. */
  readonly last: string | undefined;
  readonly hasVirtio: boolean;
}
const TERMINAL = { type: "terminal" } as const;
const CONSOLES: readonly ConsoleCase[] = [
  { console: { mode: "auto" }, serial: TERMINAL, last: "console=hvc0", hasVirtio: true },
  { console: { mode: "serial" }, serial: TERMINAL, last: "console=ttyS0", hasVirtio: false },
  { console: { mode: "virtio" }, serial: { type: "null" }, last: "console=hvc0", hasVirtio: true },
  {
    console: { mode: "file", path: "/log" },
    serial: { type: "file", path: "/log" },
    last: "console=ttyS0",
    hasVirtio: false,
  },
];
for (const { console, serial, last, hasVirtio } of CONSOLES) {
  Deno.test(`with --console ${console.mode} the last console word is ${last}`, () => {
    const plan = planMachine(configOf({ console }));
    assertEquals(plan.serial, serial);
    assertEquals(wordsOf(plan).findLast((word) => word.startsWith("console=")), last);
    assertEquals(plan.devices.map(({ config }) => config.kind), hasVirtio ? ["console"] : []);
    if (hasVirtio) {
      assertEquals(plan.devices[0]?.config, { kind: "console", ports: [{ channel: TERMINAL }] });
    }
  });
}

Deno.test("with --console off nothing is shown and no console device is there", () => {
  const plan = planMachine(configOf({ console: { mode: "off" } }));
  assertEquals([plan.serial, plan.devices], [{ type: "null" }, []]);
  assert(!wordsOf(plan).includes("console=hvc0"));
});

Deno.test("the command line is the default words, the user's, then the devices'", () => {
  const { defaultCmdline } = architecture();
  const kernel = { image: "/vmlinux", cmdline: "root=/dev/vda  ro " };
  const plan = planMachine(configOf({ kernel, devices: [DISK, DISK] }));
  const words = [defaultCmdline, "root=/dev/vda  ro", ...DEVICE_WORDS];
  assertEquals(plan.cmdline, words.join(" "));
});

Deno.test("the default words reboot by the keyboard controller and do not wait after a panic", () => {
  const words = wordsOf(planMachine(configOf()));
  assert(words.includes("reboot=k"));
  assert(words.includes("panic=-1"));
});

Deno.test("--cmdline-only replaces every word but the devices'", () => {
  const kernel = { image: "/vmlinux", cmdlineOnly: "quiet", cmdline: "not me" };
  const plan = planMachine(configOf({ kernel, devices: [DISK], console: { mode: "auto" } }));
  assertEquals(wordsOf(plan), ["quiet", ...DEVICE_WORDS]);
});

Deno.test("an empty --cmdline-only leaves only what announces the devices", () => {
  const kernel = { image: "/vmlinux", cmdlineOnly: "" };
  assertEquals(planMachine(configOf({ kernel, devices: [DISK] })).cmdline, DEVICE_WORDS[0]);
  assertEquals(planMachine(configOf({ kernel })).cmdline, "");
});

Deno.test("words for the guest's init after -- do not swallow the devices'", () => {
  // Linux start_kernel(): what follows "--" goes to init, unparsed.
  const kernel = { image: "/vmlinux", cmdline: "root=/dev/vda -- single" };
  const words = wordsOf(planMachine(configOf({ kernel, devices: [DISK] })));
  assert(words.includes("--") && words.includes("single"));
  const [device = ""] = DEVICE_WORDS;
  assert(words.indexOf(device) < words.indexOf("--"), words.join(" "));
});

for (const discovery of ["fdt", "acpi"] as const) {
  Deno.test(`with --discovery ${discovery} the command line names no device`, () => {
    const plan = planMachine(configOf({ discovery, devices: [DISK] }));
    assertEquals(plan.discovery, discovery);
    assert(!plan.cmdline.includes("virtio_mmio"));
  });
}

for (const discovery of ["auto", "cmdline"] as const) {
  Deno.test(`with --discovery ${discovery} the command line names the devices`, () => {
    const plan = planMachine(configOf({ discovery, devices: [DISK] }));
    assertEquals([plan.discovery, wordsOf(plan).at(-1)], ["cmdline", DEVICE_WORDS[0]]);
  });
}

Deno.test("a plan is plain data: it survives JSON and a structured clone", () => {
  const plan = planMachine(configOf({ devices: [DISK], console: { mode: "auto" } }));
  assertEquals(JSON.parse(JSON.stringify(plan)), plan);
  assertEquals(structuredClone(plan), plan);
});

Deno.test("more devices than places is an error with a code", () => {
  const devices = Array.from({ length: architecture().maxVirtioSlots }, () => DISK);
  assertEquals(planMachine(configOf({ devices })).devices.length, 32);
  const config = configOf({ devices, console: { mode: "auto" } });
  assertEquals(assertThrows(() => planMachine(config), BootError).code, "TOO_MANY_DEVICES");
});

Deno.test("windows number virtio devices as the plan does, and name no other", () => {
  const plan = planMachine(configOf({ devices: [DISK, DISK] }));
  const windows = windowsOf(plan);
  assertEquals(windows.filter((window) => window.device !== undefined), [
    { kind: "virtio-mmio", space: "mmio", base: 0xd000_1000, size: 0x1000, device: 0 },
    { kind: "virtio-mmio", space: "mmio", base: 0xd000_2000, size: 0x1000, device: 1 },
  ]);
  assertEquals(windows.length, plan.fixed.length + 2);
});

Deno.test("windows do not overlap each other or memory, even in the largest machine", () => {
  const devices = Array.from({ length: 32 }, () => DISK);
  const plan = planMachine(configOf({ devices, memoryMib: 8192 }));
  const taken = [
    ...windowsOf(plan),
    ...plan.ram.map((range) => ({ ...range, space: "mmio" as const, kind: "RAM" as const })),
  ];
  for (const space of ["mmio", "pio"] as const) {
    const sorted = taken.filter((range) => range.space === space).sort((a, b) => a.base - b.base);
    sorted.forEach(({ kind, base, size }, i) => {
      const next = sorted[i + 1]?.base ?? Infinity;
      assert(base + size <= next, `${kind} at 0x${base.toString(16)} reaches the next`);
    });
  }
});
