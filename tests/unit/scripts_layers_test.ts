import { assertEquals } from "@std/assert";
import {
  checkLayers,
  type Edge,
  type EdgeKind,
  importsTypesOnly,
  vcpuWorkerModules,
  workerSpecifiers,
} from "../../scripts/check_layers.ts";
import { PURITIES, RULES } from "../../scripts/layer_rules.ts";

function edge(from: string, to: string, kind: EdgeKind = "value"): Edge {
  return { from, to, kind };
}

function reasons(...edges: readonly Edge[]): string[] {
  return checkLayers(edges).map(({ reason }) => reason);
}

function clean(...edges: readonly Edge[]): void {
  assertEquals(checkLayers(edges), []);
}

/** By rule: edges it must forbid. */
const FORBIDDEN: Readonly<Record<string, readonly Edge[]>> = {
  tests: [edge("src/sys/fd.ts", "tests/support/x.ts"), edge("main.ts", "tests/a.ts", "type")],
  scripts: [edge("devices/block/device.ts", "scripts/check_abi.ts")],
  npm: [edge("src/cli/flags.ts", "npm:deno-std@1.4.0/cli/parse_args.js")],
  "abi-leaf": [edge("src/abi/kvm.ts", "src/std/text.ts"), edge("src/abi/kvm.ts", "node:path")],
  "std-leaf": [edge("src/std/text.ts", "src/abi/kvm.ts", "type")],
  "memory-siblings": [edge("src/memory/guest_memory.ts", "src/kvm/vm.ts", "type")],
  "kvm-siblings": [edge("src/kvm/vm.ts", "src/memory/guest_memory.ts")],
  "ipc-siblings": [edge("src/ipc/mailbox.ts", "src/kvm/vcpu.ts")],
  "virtio-loop-types": [edge("src/virtio/device.ts", "src/loop/event_loop.ts")],
  "virtio-arch": [edge("src/virtio/device.ts", "src/arch/types.ts", "type")],
  "loop-siblings": [edge("src/loop/epoll_loop.ts", "src/virtio/device.ts", "type")],
  "arch-siblings": [edge("src/arch/types.ts", "src/loop/event_loop.ts", "type")],
  "arch-kvm": [
    edge("src/arch/x86_64/boot.ts", "src/kvm/vm.ts", "type"),
    edge("src/arch/types.ts", "src/sys/fd.ts"),
  ],
  "arch-inside": [edge("src/machine/plan.ts", "src/arch/x86_64/boot.ts", "type")],
  "abi-x86": [edge("src/kvm/vcpu.ts", "src/abi/kvm_x86.ts", "type")],
  "no-sys": [
    edge("src/memory/guest_memory.ts", "src/sys/mmap.ts", "type"),
    edge("src/virtio/device.ts", "src/sys/fd.ts"),
    edge("src/ipc/control_block.ts", "src/sys/eventfd.ts"),
    edge("transports/mmio.ts", "src/sys/eventfd.ts"),
  ],
  "devices-transports": [edge("devices/block/device.ts", "transports/mmio.ts", "type")],
  "transports-devices": [edge("transports/mmio.ts", "devices/mod.ts", "type")],
  "transports-diet": [edge("transports/mmio.ts", "src/kvm/vm.ts", "type")],
  "transports-loop-types": [edge("transports/mmio.ts", "src/loop/event_loop.ts")],
  "device-registry": [
    edge("devices/block/kind.ts", "devices/mod.ts", "type"),
    edge("devices/block/make.ts", "devices/makers.ts", "type"),
    edge("devices/block/open.ts", "devices/openers.ts", "type"),
  ],
  "device-configuration": [
    edge("devices/block/kind.ts", "devices/block/device.ts"),
    edge("devices/block/kind.ts", "devices/block/file_backend.ts"),
    edge("devices/block/kind.ts", "devices/block/make.ts"),
    edge("devices/mod.ts", "devices/makers.ts"),
  ],
  "device-makers": [edge("src/machine/machine.ts", "devices/makers.ts", "type")],
  "device-diet": [edge("devices/block/device.ts", "src/kvm/vm.ts", "type")],
  "device-ipc": [edge("devices/block/device.ts", "src/ipc/mailbox.ts", "type")],
  "device-loop-types": [edge("devices/block/device.ts", "src/loop/event_loop.ts")],
  "device-sys": [
    edge("devices/block/device.ts", "src/sys/fd.ts", "type"),
    edge("devices/block/kind.ts", "src/sys/fd.ts"),
    edge("devices/legacy/serial.ts", "src/sys/fd.ts"),
    edge("devices/mod.ts", "src/sys/fd.ts"),
  ],
  "guest-diet": [edge("src/guest/build.ts", "src/machine/plan.ts", "type")],
  "guest-users": [edge("src/machine/plan.ts", "src/guest/build.ts", "type")],
  "sandbox-cli": [edge("src/sandbox/vm.ts", "src/cli/flags.ts", "type")],
  "cli-sandbox": [edge("src/cli/run.ts", "src/sandbox/boot.ts", "type")],
  "both-sides": [edge("src/cli/run.ts", "transports/mmio.ts", "type")],
};

Deno.test("layers: every rule has an edge it forbids, for its own reason", () => {
  assertEquals(Object.keys(FORBIDDEN).sort(), RULES.map(({ id }) => id).sort());
  for (const { id, reason } of RULES) {
    for (const forbidden of FORBIDDEN[id] ?? []) {
      const found = reasons(forbidden);
      assertEquals(found.includes(reason), true, `${id}: ${forbidden.from} -> ${forbidden.to}`);
    }
  }
});

Deno.test("layers: an import upwards is forbidden, between each pair of neighbours", () => {
  const ladder = [
    "src/abi/kvm.ts",
    "src/sys/fd.ts",
    "src/kvm/vm.ts",
    "src/loop/epoll_loop.ts",
    "devices/block/device.ts",
    "src/machine/mod.ts",
    "src/cli/run.ts",
    "main.ts",
  ];
  for (const [level, lower] of ladder.entries()) {
    for (const upper of ladder.slice(level + 1)) {
      for (const kind of ["value", "type", "worker"] as const) {
        const found = reasons(edge(lower, upper, kind));
        assertEquals(found.some((reason) => reason.startsWith("imports go down only")), true);
      }
    }
  }
  clean(edge("main.ts", "src/cli/run.ts"), edge("src/machine/mod.ts", "transports/mmio.ts"));
});

Deno.test("layers: types may pass where the design says so", () => {
  clean(
    edge("src/virtio/device.ts", "src/loop/event_loop.ts", "type"),
    edge("transports/mmio.ts", "src/loop/event_loop.ts", "type"),
    edge("devices/block/device.ts", "src/loop/event_loop.ts", "type"),
    edge("src/kvm/vm.ts", "src/memory/guest_memory.ts", "type"),
  );
});

Deno.test("layers: what the exceptions are for passes", () => {
  clean(
    edge("src/std/text.ts", "npm:deno-std@1.4.0/text/mod.js"),
    edge("src/arch/x86_64/vcpu_state.ts", "src/kvm/vcpu.ts"),
    edge("src/arch/vm_setup.ts", "src/kvm/vm.ts"),
    edge("src/arch/mod.ts", "src/arch/x86_64/boot.ts"),
    edge("src/arch/x86_64/vcpu_state.ts", "src/abi/kvm_x86.ts"),
    edge("devices/block/file_backend.ts", "src/sys/fd.ts"),
    edge("devices/block/open.ts", "src/sys/disk_file.ts"),
    edge("devices/openers.ts", "devices/block/open.ts"),
    edge("src/machine/machine.ts", "devices/openers.ts"),
    edge("devices/block/make.ts", "devices/block/file_backend.ts"),
    edge("devices/block/kind.ts", "devices/block/device.ts", "type"),
    edge("devices/makers.ts", "devices/block/make.ts"),
    edge("src/machine/io_thread.ts", "devices/makers.ts"),
    edge("devices/legacy/serial.ts", "devices/legacy/line.ts"),
    edge("devices/legacy/serial.ts", "src/ipc/byte_ring.ts"),
    edge("devices/mod.ts", "devices/block/kind.ts"),
    edge("devices/mod.ts", "devices/console/kind.ts"),
    edge("src/cli/run.ts", "src/guest/build.ts"),
    edge("src/sandbox/vm.ts", "src/guest/build.ts"),
    edge("src/guest/initramfs/module_folder.ts", "src/sys/decompress.ts"),
  );
});

Deno.test("layers: one device does not import another", () => {
  for (const kind of ["value", "type"] as const) {
    assertEquals(reasons(edge("devices/block/device.ts", "devices/net/tap.ts", kind)), [
      "devices do not know each other; move what they share to src/virtio",
    ]);
  }
});

Deno.test("layers: a run comes to the sandbox only by what loads commands for it", () => {
  const command = edge("src/cli/guest_command.ts", "src/sandbox/boot.ts");
  clean(edge("src/cli/run.ts", "src/cli/guest_command.ts", "type"), command);
  const [violation] = checkLayers([edge("src/cli/run.ts", "src/cli/guest_command.ts"), command]);
  assertEquals(violation?.from, "src/cli/run.ts");
  assertEquals(violation?.to, "src/sandbox/boot.ts");
});

Deno.test("layers: FFI by a roundabout way is found, with the way", () => {
  assertEquals(PURITIES.map(({ id }) => id), [
    "no-sys-at-all",
    "configuration-alone",
    "run-alone",
    "control-thread",
  ]);
  const [violation, ...more] = checkLayers([
    edge("devices/block/device.ts", "devices/block/file_backend.ts"),
    edge("devices/block/file_backend.ts", "src/sys/fd.ts"),
  ]);
  assertEquals(more, []);
  assertEquals(
    violation?.reason,
    "this part must be testable without FFI, yet it loads src/sys " +
      "(devices/block/device.ts -> devices/block/file_backend.ts -> src/sys/fd.ts)",
  );
  clean(
    edge("devices/block/device.ts", "devices/block/file_backend.ts", "type"),
    edge("devices/block/file_backend.ts", "src/sys/fd.ts"),
  );
});

Deno.test("layers: how devices work is loaded by a roundabout way neither to plan nor to control", () => {
  const way = (start: string) => [
    edge(start, "devices/net/settings.ts"),
    edge("devices/net/settings.ts", "devices/net/device.ts"),
  ];
  assertEquals(reasons(...way("devices/net/kind.ts")), [
    "whoever plans a machine does not load how its devices work; put it in make.ts, for the I/O " +
    "thread (devices/net/kind.ts -> devices/net/settings.ts -> devices/net/device.ts)",
  ]);
  for (const start of ["src/machine/machine.ts", "src/cli/run.ts"]) {
    assertEquals(reasons(...way(start)), [
      "the control thread does not load how devices work: it is start-up time for nothing " +
      `(${start} -> devices/net/settings.ts -> devices/net/device.ts)`,
    ]);
  }
  clean(
    ...way("devices/net/make.ts"),
    edge("src/machine/machine.ts", "src/machine/io_worker.ts", "worker"),
    edge("src/machine/io_worker.ts", "src/machine/io_thread.ts"),
    edge("src/machine/io_thread.ts", "devices/makers.ts"),
    edge("devices/makers.ts", "devices/net/make.ts"),
  );
});

Deno.test("layers: the vCPU worker loads only what is on its list", () => {
  const worker = "src/machine/vcpu_worker.ts";
  const allowed = [
    edge(worker, "src/machine/vcpu_messages.ts"),
    edge(worker, "src/kvm/vcpu.ts"),
    edge(worker, "src/ipc/mailbox.ts"),
    edge(worker, "devices/legacy/serial.ts"),
    edge(worker, "transports/mmio_interrupt.ts"),
    edge("src/kvm/vcpu.ts", "src/sys/fd.ts"),
    edge("src/kvm/vcpu.ts", "src/memory/guest_memory.ts", "type"),
    edge("src/machine/mod.ts", "devices/mod.ts"),
  ];
  clean(...allowed);
  assertEquals(vcpuWorkerModules(allowed).length, 7);
  assertEquals(vcpuWorkerModules([]), []);
  const violations = checkLayers([
    ...allowed,
    edge("src/machine/vcpu_messages.ts", "src/memory/guest_memory.ts"),
    edge("src/machine/vcpu_messages.ts", "transports/mmio.ts"),
    edge("transports/mmio.ts", "src/virtio/device.ts"),
  ]);
  assertEquals(violations.map(({ to }) => to), [
    "src/memory/guest_memory.ts",
    "transports/mmio.ts",
  ]);
});

Deno.test("layers: cycles of values are found, cycles of types are not", () => {
  const violations = checkLayers([
    edge("src/virtio/a.ts", "src/virtio/b.ts"),
    edge("src/virtio/b.ts", "src/virtio/c.ts"),
    edge("src/virtio/c.ts", "src/virtio/a.ts"),
  ]);
  assertEquals(violations.map(({ reason }) => reason), [
    "import cycle (src/virtio/a.ts -> src/virtio/b.ts -> src/virtio/c.ts -> src/virtio/a.ts); " +
    "move what they share to a third file",
  ]);
  clean(
    edge("src/virtio/a.ts", "src/virtio/b.ts"),
    edge("src/virtio/b.ts", "src/virtio/a.ts", "type"),
  );
});

Deno.test("layers: a file outside every layer is a violation", () => {
  const files = ["src/util/x.ts", "src/x.ts", "devices/block/device.ts", "main.ts", "src/mod.ts"];
  assertEquals(checkLayers([], files).map(({ from }) => from), ["src/util/x.ts", "src/x.ts"]);
});

Deno.test("layers: imports of types only are told apart by their text", () => {
  const typesOnly = [
    'import type { A } from "./a.ts";',
    'import { type A, type B } from "./a.ts";',
    'import {\n  type A,\n  type B,\n} from "./a.ts";',
    'export type { A } from "./a.ts";',
    'import { B } from "./b.ts";\nexport { type A } from "./a.ts";',
  ];
  const values = [
    'import { A } from "./a.ts";',
    'import { type A, B } from "./a.ts";',
    'import { typeName } from "./a.ts";',
    'import * as a from "./a.ts";',
    'import "./a.ts";',
    'import type { A } from "./a.ts";\nimport { B } from "./a.ts";',
    'import type { A } from "./a.ts";\nconst a = await import("./a.ts");',
    'export * from "./a.ts";',
    'import { type A } from "./axts";',
  ];
  for (const source of typesOnly) assertEquals(importsTypesOnly(source, "./a.ts"), true, source);
  for (const source of values) assertEquals(importsTypesOnly(source, "./a.ts"), false, source);
});

Deno.test("layers: workers are found by their literal URL", () => {
  const source = `new Worker(new URL("./io_worker.ts", import.meta.url), { type: "module" });
    new URL(
      "../x/vcpu_worker.ts",
      import.meta.url,
    );
    new URL("guest.config", import.meta.url);`;
  assertEquals(workerSpecifiers(source), ["./io_worker.ts", "../x/vcpu_worker.ts"]);
});
