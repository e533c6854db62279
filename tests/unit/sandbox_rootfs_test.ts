/** A root of the user's in the options of `Vm.boot`. */
import { PLAIN_ROOT } from "../../src/guest/image/config.ts";
import { ConfigError } from "../../src/sandbox/errors.ts";
import { imageDefaults } from "../../src/sandbox/guest_commands.ts";
import { rootedRequestOf, type RootfsInit } from "../../src/sandbox/rootfs_options.ts";
import { hasAgentOf, machineConfigOf } from "../../src/sandbox/vm_options.ts";
import { assertEquals, assertThrows } from "../../src/std/assert.ts";

const FILES = {
  kernel: "/c/vmlinux",
  root: "/c/rootfs.ext4",
  rootfs: { hasAgent: true, overlay: true },
};

Deno.test("a root is named by its kind, or by a path alone", () => {
  const rest = { bytes: undefined, overlay: false };
  assertEquals(rootedRequestOf("x", undefined), { source: { kind: "auto", path: "x" }, ...rest });
  assertEquals(rootedRequestOf({ dir: new URL("file:///a%20b") }, undefined), {
    source: { kind: "dir", path: "/a b" },
    ...rest,
  });
  assertEquals(rootedRequestOf({ oci: "x", ref: "r", size: "2G" }, { kernel: "k" }), {
    source: { kind: "oci", path: "x", ref: "r" },
    bytes: 2 ** 31,
    overlay: false,
    kernel: { kernel: "k" },
  });
  assertEquals(rootedRequestOf({ image: "x", overlay: true }, undefined), {
    source: { kind: "image", path: "x" },
    bytes: undefined,
    overlay: true,
  });
  for (const wrong of [{}, { dir: "a", tar: "b" }, { tar: "a", size: "2X" }]) {
    assertThrows(() => rootedRequestOf(wrong as RootfsInit, undefined), ConfigError);
  }
});

Deno.test("a machine with a root of the user's starts our init in it, under its name", () => {
  const { kernel } = machineConfigOf({ name: "box-1" }, FILES);
  assertEquals(
    kernel.cmdline,
    "root=/dev/vda rw rootfstype=ext4 rootflags=noinit_itable init=/.dinovisor/init " +
      "dinovisor.hostname=box-1 dinovisor.agent",
  );
  const odd = machineConfigOf({ name: "a b init=/x" }, FILES).kernel.cmdline ?? "";
  assertEquals(odd.includes("hostname"), false);
  const disk = { ...FILES, rootfs: { hasAgent: false, overlay: false } };
  assertEquals(hasAgentOf({}, disk), false);
  assertEquals(machineConfigOf({}, disk).kernel.cmdline, "root=/dev/vda rw");
});

Deno.test("an image says how its commands are run, other guests do not", () => {
  assertEquals(imageDefaults(undefined), { env: {}, user: undefined });
  assertEquals(imageDefaults(PLAIN_ROOT), { env: {}, user: undefined, cwd: "/" });
  const image = { ...PLAIN_ROOT, env: { A: "1" }, user: "web", workdir: "/srv" };
  assertEquals(imageDefaults(image), { env: { A: "1" }, user: "web", cwd: "/srv" });
});
