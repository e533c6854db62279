/** What is wrong with a configuration, as far as it can be told without reading a file. */
import { checkConfig } from "../../src/machine/check.ts";
import { LIMITS, type MachineConfig } from "../../src/machine/config.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";

const SOUND: MachineConfig = {
  kernel: { image: "/vmlinux" },
  memoryMib: 128,
  vcpus: 1,
  discovery: "auto",
  console: { mode: "serial" },
  devices: [],
};

/** Codes other than those about files, which this tier may not open. */
function codesOf(changes: Partial<MachineConfig>): string[] {
  return checkConfig({ ...SOUND, ...changes }).map((problem) => problem.code)
    .filter((code) => !/^(?:KERNEL|INITRD|DISK)_(?:ACCESS|NOT_FOUND)$/.test(code));
}

Deno.test("a sound machine has no problem but that its kernel may not be read here", () => {
  assertEquals(codesOf({}), []);
  assertEquals(checkConfig(SOUND).map((problem) => problem.field), ["--kernel"]);
});

for (const vcpus of [0, -1, 1.5, NaN, Infinity, LIMITS.vcpus.max + 1]) {
  Deno.test(`${vcpus} vCPUs are refused`, () => assertEquals(codesOf({ vcpus }), ["CPUS_RANGE"]));
}

for (const memoryMib of [0, 1, -128, 64.5, NaN, LIMITS.memoryMib.max + 1]) {
  Deno.test(`${memoryMib} MiB of memory are refused`, () => {
    assertEquals(codesOf({ memoryMib }), ["MEMORY_RANGE"]);
  });
}

Deno.test("the limits themselves are allowed", () => {
  for (const end of ["min", "max"] as const) {
    const changes = { vcpus: LIMITS.vcpus[end], memoryMib: LIMITS.memoryMib[end] };
    assertEquals(codesOf(changes), []);
  }
});

Deno.test("every way to tell the guest of its devices is allowed", () => {
  for (const discovery of ["auto", "cmdline", "fdt", "acpi"] as const) {
    assertEquals(codesOf({ discovery }), [], discovery);
  }
});

Deno.test("the console counts among the devices a machine has room for", () => {
  const port = { channel: { type: "null" } } as const;
  const devices = Array.from({ length: 32 }, () => ({ kind: "console", ports: [port] }) as const);
  assertEquals(codesOf({ devices }), []);
  assertEquals(codesOf({ devices, console: { mode: "auto" } }), ["TOO_MANY_DEVICES"]);
});

Deno.test("console ports need names of their own", () => {
  const port = { name: "agent", channel: { type: "null" } } as const;
  const devices = [{ kind: "console", ports: [port, port] }] as const;
  assertEquals(codesOf({ devices }), ["CONSOLE_PORT_NAME"]);
  assertEquals(codesOf({ devices: [{ kind: "console", ports: [] }] }), ["CONSOLE_PORTS"]);
});

Deno.test("every problem is listed at once, each with a field, and no message ends in a full stop", () => {
  const problems = checkConfig({
    ...SOUND,
    vcpus: 0,
    memoryMib: 0,
    console: { mode: "file", path: "/no/directory/log" },
    kernel: { image: "/no/kernel", initrd: "/no/initrd" },
  });
  const fields = problems.map((problem) => problem.field);
  assertEquals(fields, ["--cpus", "--mem", "--kernel", "--initrd", "--console"]);
  for (const { message } of problems) {
    assert(/^[A-Z]/.test(message) && !message.endsWith("."), message);
  }
});

Deno.test("VSOCK-02 context ids that mean something, or nothing, are refused", () => {
  const ofCid = (cid: number) => codesOf({ devices: [{ kind: "vsock", cid }] });
  for (const cid of [0, 1, 2, 0xffff_ffff, 2 ** 33, 2 ** 64, -3, 3.5, NaN]) {
    assertEquals(ofCid(cid), ["VSOCK_CID"], `${cid}`);
  }
  for (const cid of [3, 0xffff_fffe]) assertEquals(ofCid(cid), []);
});
