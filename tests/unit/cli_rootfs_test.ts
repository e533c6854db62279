/** `--rootfs` as it is written, and what becomes of the words behind `--`. */
import { machineConfig } from "../../src/cli/machine_config.ts";
import { parseWords } from "../../src/cli/parse.ts";
import { agentProblems, parseRootfs, rootedCommand } from "../../src/cli/rootfs.ts";
import { readRunSettings } from "../../src/cli/run_settings.ts";
import { PLAIN_ROOT } from "../../src/guest/image/config.ts";
import { assertEquals, assertThrows } from "../../src/std/assert.ts";
import { FlagError } from "../../src/virtio/device_kind.ts";

const FILES = {
  kernel: "/c/vmlinux",
  root: "/c/rootfs.ext4",
  rootfs: { hasAgent: true, overlay: true },
};

Deno.test("a root is written with a kind or without, and with options", () => {
  const plain = { bytes: undefined, overlay: false };
  assertEquals(parseRootfs("a/b"), { source: { kind: "auto", path: "a/b" }, ...plain });
  for (const kind of ["dir", "tar", "oci", "image"] as const) {
    assertEquals(parseRootfs(`${kind}:x:y`), { source: { kind, path: "x:y" }, ...plain });
  }
  assertEquals(parseRootfs("x.tar,ref=box:1,size=4G,overlay"), {
    source: { kind: "auto", path: "x.tar", ref: "box:1" },
    bytes: 4 * 2 ** 30,
    overlay: true,
  });
  assertEquals(parseRootfs("x,size=1.5GiB").bytes, 1.5 * 2 ** 30);
  for (
    const text of [
      "",
      "dir:",
      "x,ro",
      "x,size=4",
      "x,size=0M",
      "x,size=0.3K",
      "x,ref=",
      "tar:x,ref=a",
    ]
  ) {
    assertThrows(() => parseRootfs(text), FlagError, undefined, text);
  }
});

Deno.test("words go behind the entrypoint; without any the image says what to run", () => {
  const { settings, problems } = readRunSettings(parseWords("run", ["--rootfs", "x", "-e", "A=1"]));
  assertEquals(problems, []);
  const { command } = settings;
  if (command === undefined) throw new Error("a root may have a command");
  const image = { ...PLAIN_ROOT, entrypoint: ["e"], cmd: ["c"] };
  assertEquals(rootedCommand(command, image)?.words, ["e", "c"]);
  assertEquals(rootedCommand({ ...command, words: ["w"] }, image)?.words, ["e", "w"]);
  assertEquals(rootedCommand(command, PLAIN_ROOT), undefined);
  assertEquals(rootedCommand({ ...command, words: ["w"] }, PLAIN_ROOT)?.env, ["A=1"]);
  assertEquals(agentProblems(command), []);
  assertEquals(agentProblems({ ...command, words: ["w"] })[0]?.code, "CMD_NEEDS_AGENT");
});

Deno.test("a root of the user's is the first disk, and nothing is written to it", () => {
  const settings = readRunSettings(parseWords("run", ["--rootfs", "x", "--", "ls"])).settings;
  const { kernel, devices } = machineConfig(settings, FILES);
  assertEquals(
    kernel.cmdline,
    "root=/dev/vda rw rootfstype=ext4 rootflags=noinit_itable init=/.dinovisor/init " +
      "quiet loglevel=3 dinovisor.agent",
  );
  const [disk] = devices;
  assertEquals(disk, {
    kind: "block",
    path: "/c/rootfs.ext4",
    readOnly: false,
    overlay: true,
    direct: false,
    id: "root",
  });
  const own = { ...FILES, rootfs: { hasAgent: false, overlay: false } };
  const { command: _, ...console } = settings;
  const image = machineConfig(console, own);
  assertEquals(image.kernel.cmdline, "root=/dev/vda rw quiet loglevel=3");
  assertEquals("overlay" in (image.devices[0] ?? {}), false);
  assertEquals(image.console, { mode: "auto", input: "virtio" });
});
