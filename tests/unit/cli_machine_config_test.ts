import { assertEquals, assertStringIncludes } from "../../src/std/assert.ts";
import { machineConfig } from "../../src/cli/machine_config.ts";
import { parseWords } from "../../src/cli/parse.ts";
import { readRunSettings, type RunSettings } from "../../src/cli/run_settings.ts";

const GUEST = { kernel: "/cache/vmlinux", root: "/cache/root" };
const ROOT_DISK = {
  kind: "block",
  path: "/cache/root",
  readOnly: true,
  direct: false,
  id: "root",
} as const;

function settingsOf(...words: string[]): RunSettings {
  return readRunSettings(parseWords("run", words)).settings;
}

Deno.test("with a kernel of its own a machine gets what was asked for and nothing else", () => {
  assertEquals(machineConfig(settingsOf("-k", "vmlinux", "--cmdline", "a b", "-m", "64")), {
    kernel: { image: "vmlinux", cmdline: "a b" },
    memoryMib: 64,
    vcpus: 1,
    discovery: "auto",
    console: { mode: "auto" },
    devices: [],
  });
  const { kernel } = machineConfig(settingsOf("-k", "v", "--initrd", "i", "--cmdline-only", "x"));
  assertEquals(kernel, { image: "v", initrd: "i", cmdlineOnly: "x" });
});

Deno.test("the default guest's disk is the first, the user's words are the last", () => {
  const settings = settingsOf("--disk", "mine", "--cmdline", "init=/bin/sh");
  const { kernel, devices } = machineConfig(settings, GUEST);
  assertEquals(kernel, {
    image: "/cache/vmlinux",
    cmdline: "root=/dev/vda ro quiet loglevel=3 init=/bin/sh",
  });
  assertEquals(devices, [
    ROOT_DISK,
    { kind: "block", path: "mine", readOnly: false, direct: false },
  ]);
});

Deno.test("the default guest asks for its address where passt is there to answer", () => {
  const wordsOf = (guest: typeof GUEST | undefined, ...words: string[]) =>
    machineConfig(settingsOf(...words), guest).kernel.cmdline ?? "";
  assertStringIncludes(wordsOf(GUEST, "--net", "user"), " dinovisor.dhcp");
  for (const net of [["--net", "tap=vm0"], []]) {
    assertEquals(wordsOf(GUEST, ...net).includes("dhcp"), false);
  }
  assertEquals(wordsOf(undefined, "-k", "v", "--net", "user"), "");
});

Deno.test("a default guest's initramfs goes along, unless the user brings one", () => {
  const stock = { ...GUEST, initrd: "/cache/initrd" };
  assertEquals(machineConfig(settingsOf(), stock).kernel.initrd, "/cache/initrd");
  assertEquals(machineConfig(settingsOf("--initrd", "mine"), stock).kernel.initrd, "mine");
  assertEquals("initrd" in machineConfig(settingsOf(), GUEST).kernel, false);
  assertEquals("initrd" in machineConfig(settingsOf("-k", "v")).kernel, false);
});

Deno.test("input waits for the default guest's virtio console, unless the user chose another way", () => {
  const consoleOf = (...words: string[]) => machineConfig(settingsOf(...words), GUEST).console;
  assertEquals(consoleOf(), { mode: "auto", input: "virtio", takesTypeAhead: true });
  const stock = { ...GUEST, initrd: "/cache/initrd" };
  assertEquals(machineConfig(settingsOf(), stock).console, { mode: "auto", input: "virtio" });
  const disk = { ...GUEST, rootfs: { hasAgent: false, overlay: true } };
  assertEquals(machineConfig(settingsOf(), disk).console, { mode: "auto", input: "virtio" });
  assertEquals(consoleOf("--cmdline-only", "console=ttyS0"), { mode: "auto" });
  assertEquals(consoleOf("--console", "serial"), { mode: "serial" });
});

Deno.test("verbose shows the default guest's kernel log, with a command, too", () => {
  assertEquals(machineConfig(settingsOf("-v"), GUEST).kernel.cmdline, "root=/dev/vda ro");
  assertEquals(
    machineConfig(settingsOf("-v", "--", "x"), GUEST).kernel.cmdline,
    "root=/dev/vda ro dinovisor.agent",
  );
});

Deno.test("a command has the guest start its agent, on a vsock device", () => {
  const { kernel, devices } = machineConfig(settingsOf("--cmdline", "a", "--", "x"), GUEST);
  assertEquals(kernel.cmdline, "root=/dev/vda ro quiet loglevel=3 a dinovisor.agent");
  assertEquals(devices, [ROOT_DISK, { kind: "vsock", cid: 3 }]);
  const own = machineConfig(settingsOf("--vsock", "cid=7", "--rng", "on", "--", "x"), GUEST);
  assertEquals(own.devices, [ROOT_DISK, { kind: "vsock", cid: 7 }, { kind: "rng" }]);
});

Deno.test("a command survives --cmdline-only", () => {
  const { kernel } = machineConfig(settingsOf("--cmdline-only", "root=/dev/vda", "--", "x"), GUEST);
  assertEquals(kernel, {
    image: "/cache/vmlinux",
    cmdlineOnly: "root=/dev/vda dinovisor.agent",
  });
});
