/** From the options of `Vm.boot` to a machine. */
import { ConfigError } from "../../src/sandbox/errors.ts";
import {
  carriedKindOf,
  configErrorOf,
  machineConfigOf,
  type NetInit,
  type VmOptions,
} from "../../src/sandbox/vm_options.ts";
import { assertEquals, assertThrows } from "../../src/std/assert.ts";
import { sizeOf } from "../../src/sandbox/size.ts";

const GUEST = { kernel: "/c/vmlinux", root: "/c/root.ext2" };

Deno.test("the default guest has its root, a vsock device and an agent", () => {
  assertEquals(machineConfigOf({}, GUEST), {
    kernel: { image: "/c/vmlinux", cmdline: "root=/dev/vda ro dinovisor.agent" },
    memoryMib: 128,
    vcpus: 1,
    discovery: "auto",
    console: { mode: "auto", input: "virtio" },
    devices: [
      { kind: "block", path: "/c/root.ext2", readOnly: true, direct: false, id: "root" },
      { kind: "vsock", cid: 3 },
    ],
  });
});

Deno.test("a kernel of one's own gets nothing unasked but the vsock device", () => {
  const options: VmOptions = {
    kernel: new URL("file:///a%20b/k"),
    initrd: "/i",
    cmdline: ["a", "b=c"],
    memory: "1GiB",
    cpus: 2,
    disks: [{ path: "/d", readonly: true, id: "x" }, { path: "/o", overlay: true }],
    net: { mode: "user", mac: "02:00:00:00:00:01" },
    ports: { 8080: 80 },
    vsock: { cid: 5, path: "/v" },
  };
  assertEquals(machineConfigOf(options, undefined), {
    kernel: { image: "/a b/k", initrd: "/i", cmdline: "a b=c" },
    memoryMib: 1024,
    vcpus: 2,
    discovery: "auto",
    console: { mode: "auto" },
    devices: [
      { kind: "block", path: "/d", readOnly: true, direct: false, id: "x" },
      { kind: "block", path: "/o", readOnly: false, direct: false, overlay: true },
      {
        kind: "net",
        backend: { type: "user", forwards: [{ hostPort: 8080, guestPort: 80 }] },
        mac: "02:00:00:00:00:01",
      },
      { kind: "vsock", cid: 5, uds: "/v" },
    ],
  });
});

Deno.test("the default guest asks for its address where passt is there to answer", () => {
  const cmdlineOf = (options: VmOptions) => machineConfigOf(options, GUEST).kernel.cmdline;
  assertEquals(cmdlineOf({ net: {} }), "root=/dev/vda ro dinovisor.agent dinovisor.dhcp");
  assertEquals(
    cmdlineOf({ net: { mode: "tap", tap: "vm0" } }),
    "root=/dev/vda ro dinovisor.agent",
  );
});

Deno.test("agent: none leaves the agent's word away", () => {
  assertEquals(machineConfigOf({ agent: "none" }, GUEST).kernel.cmdline, "root=/dev/vda ro");
});

Deno.test("sizes are bytes or have a unit", () => {
  const sizes = [[1, 1], ["1K", 1024], ["2MiB", 2 ** 21], ["1.5G", 1.5 * 2 ** 30]] as const;
  for (const [size, bytes] of sizes) assertEquals(sizeOf("memory", size), bytes);
  for (const size of [0, -1, 1.5, NaN, "12" as "12K", "1 MiB" as "1MiB", "0.3K" as "1K"]) {
    assertThrows(() => sizeOf("memory", size), ConfigError, "it is no size");
  }
});

Deno.test("what the machine's checks find is said in the words of the options", () => {
  const error = configErrorOf({
    field: "--mem",
    code: "MEMORY_HOST",
    message: "Cannot make it with --mem and --disk",
    hint: "ask for less with --mem, or look at --quiet",
  });
  assertEquals([error.field, error.code], ["memory", "MEMORY_HOST"]);
  assertEquals(error.message, "Cannot make it with memory and disks");
  assertEquals(error.hint, "ask for less with memory, or look at --quiet");
});

const WRONG: readonly (readonly [VmOptions, field: string, code: string])[] = [
  [{ memory: 2 ** 20 + 1 }, "memory", "SIZE_INVALID"],
  [{ cpus: 0 }, "cpus", "CPUS_INVALID"],
  [{ cpus: 33 }, "cpus", "CPUS_INVALID"],
  [{ cpus: 1.5 }, "cpus", "CPUS_INVALID"],
  [{ net: { mode: "tap" } as NetInit }, "net.tap", "TAP_MISSING"],
  [{ ports: { 8080: 80 } }, "ports", "PORTS_NO_NET"],
  [
    { ports: { 8080: 80 }, net: { mode: "tap", tap: "vm0" } },
    "ports",
    "PORTS_NO_NET",
  ],
  [{ kernel: new URL("https://example.com/k") }, "kernel", "URL_NO_FILE"],
];
for (const [options, field, code] of WRONG) {
  Deno.test(`${JSON.stringify(options)} is an error about ${field}`, () => {
    const error = assertThrows(() => machineConfigOf(options, undefined), ConfigError);
    assertEquals([error.field, error.code], [field, code]);
  });
}

Deno.test("a kernel with an initrd is given an agent, unless somebody says otherwise", () => {
  assertEquals(carriedKindOf({}), undefined);
  assertEquals(carriedKindOf({ kernel: "k" }), undefined);
  assertEquals(carriedKindOf({ kernel: "k", initrd: "i" }), "auto");
  assertEquals(carriedKindOf({ kernel: "k", initrd: "i", agent: "vsock" }), "vsock");
  assertEquals(carriedKindOf({ kernel: "k", initrd: "i", agent: "none" }), undefined);
  // A root of the user's has an agent of its own.
  assertEquals(carriedKindOf({ kernel: "k", initrd: "i", rootfs: "r" }), undefined);
  const error = assertThrows(() => carriedKindOf({ kernel: "k", agent: "vsock" }), ConfigError);
  assertEquals([error.field, error.code], ["agent", "AGENT_NEEDS_INITRD"]);
  assertEquals(carriedKindOf({ kernel: "k", initrd: "i", agent: "sh" }), "sh");
  const there = assertThrows(() => carriedKindOf({ agent: "sh" }), ConfigError);
  assertEquals([there.field, there.code], ["agent", "AGENT_IS_THERE"]);
});
