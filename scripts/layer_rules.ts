/**
 * Who may import whom (design, section 3), as tables. Read by `check_layers.ts`; every entry has a test in
 * tests/unit/scripts_layers_test.ts that it fires.
 */

export interface Layer {
  readonly level: number;
  readonly name: string;
  readonly files: RegExp;
}

/** From the ground up. A file may import from lower levels; what it may import from its own is in RULES. */
export const LAYERS: readonly Layer[] = [
  { level: 0, name: "src/abi", files: /^src\/abi\// },
  { level: 0, name: "src/std", files: /^src\/std\// },
  { level: 1, name: "src/sys", files: /^src\/sys\// },
  { level: 2, name: "src/memory", files: /^src\/memory\// },
  { level: 2, name: "src/kvm", files: /^src\/kvm\// },
  { level: 2, name: "src/ipc", files: /^src\/ipc\// },
  { level: 3, name: "src/virtio", files: /^src\/virtio\// },
  { level: 3, name: "src/loop", files: /^src\/loop\// },
  { level: 3, name: "src/arch", files: /^src\/arch\// },
  { level: 4, name: "devices", files: /^devices\// },
  { level: 4, name: "transports", files: /^transports\// },
  { level: 5, name: "src/machine", files: /^src\/machine\// },
  { level: 6, name: "src/guest", files: /^src\/guest\// },
  { level: 6, name: "src/sandbox", files: /^src\/sandbox\// },
  { level: 6, name: "src/cli", files: /^src\/cli\// },
  { level: 6, name: "src/testing", files: /^src\/testing\// },
  { level: 7, name: "main.ts", files: /^main\.ts$/ },
  { level: 7, name: "src/mod.ts", files: /^src\/mod\.ts$/ },
  { level: 7, name: "src/testing.ts", files: /^src\/testing\.ts$/ },
];

export interface Rule {
  /** Names the rule in tests. */
  readonly id: string;
  readonly from: RegExp;
  readonly to: RegExp;
  readonly reason: string;
  /** `import type` is fine; it leaves nothing behind at run time. */
  readonly typesAllowed?: boolean;
  /** Exceptions: the edge is fine when the importing file, or the imported one, matches. */
  readonly exceptFrom?: RegExp;
  readonly exceptTo?: RegExp;
}

const OURS = /^(?:src\/|devices\/|transports\/|main\.ts$)/;
const BACKEND = /^devices\/[^/]+\/[^/]*_backend\.ts$/;
/** What the control thread opens for devices. */
const OPENER = /^devices\/(?:[^/]+\/open|openers)\.ts$/;
const REGISTRY = /^devices\/(?:mod|makers|openers)\.ts$/;
/** What configuration is read, checked and planned with. */
const CONFIGURATION = /^devices\/(?:[^/]+\/kind|mod)\.ts$/;
/** What devices are made of. */
const IMPLEMENTATION = /^devices\/(?:[^/]+\/(?:make|device|[^/]*_backend)|makers)\.ts$/;
const CONFIGURATION_ALONE =
  "whoever plans a machine does not load how its devices work; put it in make.ts, for the I/O thread";

const COMMAND_ALONE =
  "a run without a command starts without the sandbox; guest_command.ts has it, and is loaded when there is one";

/** Every forbidden edge below a layer's own order, with its reason. */
export const RULES: readonly Rule[] = [
  {
    id: "tests",
    from: OURS,
    to: /^tests\//,
    reason: "nothing imports tests/: they are not shipped",
  },
  {
    id: "scripts",
    from: OURS,
    to: /^scripts\//,
    reason: "nothing imports scripts/: they are tools for the tree, not part of it",
  },
  {
    id: "npm",
    from: OURS,
    to: /^(?:npm|jsr|https?):/,
    exceptFrom: /^src\/std\//,
    reason: "packages come in through their typed door in src/std",
  },
  {
    id: "abi-leaf",
    from: /^src\/abi\//,
    to: /^(?!src\/abi\/)/,
    reason: "src/abi is numbers and layouts; it imports nothing",
  },
  {
    id: "std-leaf",
    from: /^src\/std\//,
    to: OURS,
    exceptTo: /^src\/std\//,
    reason: "src/std is a leaf: a typed door to a package and nothing else",
  },
  {
    id: "memory-siblings",
    from: /^src\/memory\//,
    to: /^src\/(?:kvm|ipc)\//,
    reason: "guest memory is only bytes; who maps it and who shares it is not its concern",
  },
  {
    id: "kvm-siblings",
    from: /^src\/kvm\//,
    to: /^src\/(?:memory|ipc)\//,
    typesAllowed: true,
    reason: "src/kvm is typed handles over ioctls; it may name the types of its neighbours only",
  },
  {
    id: "ipc-siblings",
    from: /^src\/ipc\//,
    to: /^src\/(?:memory|kvm)\//,
    typesAllowed: true,
    reason: "what isolates share is plain words; it may name the types of its neighbours only",
  },
  {
    id: "virtio-loop-types",
    from: /^src\/virtio\//,
    to: /^src\/loop\//,
    typesAllowed: true,
    reason: "devices see the event loop as an interface: import its types only",
  },
  {
    id: "virtio-arch",
    from: /^src\/virtio\//,
    to: /^src\/arch\//,
    reason: "virtio is the same on every architecture",
  },
  {
    id: "loop-siblings",
    from: /^src\/loop\//,
    to: /^src\/(?:virtio|arch|memory|kvm)\//,
    reason: "the event loop knows file descriptors and timers, not what waits on them",
  },
  {
    id: "arch-siblings",
    from: /^src\/arch\//,
    to: /^src\/(?:virtio|loop)\//,
    reason: "src/arch describes devices to a guest; it does not run them",
  },
  {
    id: "arch-kvm",
    from: /^src\/arch\//,
    exceptFrom: /\/(?:vcpu|vm)[^/]*\.ts$/,
    to: /^src\/(?:sys|kvm)\//,
    reason: "boot protocols and renderers are plain data; only vcpu*.ts and vm*.ts talk to KVM",
  },
  {
    id: "arch-inside",
    from: OURS,
    exceptFrom: /^src\/arch\//,
    to: /^src\/arch\/[^/]+\//,
    reason:
      "nothing outside src/arch knows an architecture; go through a file directly in src/arch",
  },
  {
    id: "abi-x86",
    from: OURS,
    exceptFrom: /^src\/arch\//,
    to: /^src\/abi\/kvm_x86\.ts$/,
    reason: "nothing outside src/arch knows x86",
  },
  {
    id: "no-sys",
    from: /^(?:src\/memory\/|src\/virtio\/|src\/ipc\/control_block\.ts$|transports\/)/,
    to: /^src\/sys\//,
    reason: "this part must be testable without FFI; take what it needs as an argument",
  },
  {
    id: "devices-transports",
    from: /^devices\//,
    to: /^transports\//,
    reason: "a device does not know its transport",
  },
  {
    id: "transports-devices",
    from: /^transports\//,
    to: /^devices\//,
    reason: "a transport knows no device, only VirtioDevice",
  },
  {
    id: "transports-diet",
    from: /^transports\//,
    to: /^src\//,
    exceptTo: /^src\/(?:abi|memory|virtio|ipc|loop|sys)\//,
    reason: "a transport knows registers and negotiation: src/virtio, src/memory, src/ipc, src/abi",
  },
  {
    id: "transports-loop-types",
    from: /^transports\//,
    to: /^src\/loop\//,
    typesAllowed: true,
    reason: "transports see the event loop as an interface: import its types only",
  },
  {
    id: "device-registry",
    from: /^devices\/[^/]+\//,
    to: REGISTRY,
    reason: "the registry imports the devices, not the other way round",
  },
  {
    id: "device-configuration",
    from: CONFIGURATION,
    to: IMPLEMENTATION,
    typesAllowed: true,
    reason: CONFIGURATION_ALONE,
  },
  {
    id: "device-makers",
    from: OURS,
    exceptFrom: /^src\/machine\/io_thread\.ts$/,
    to: /^devices\/makers\.ts$/,
    reason: "devices are made on the I/O thread, and nobody else loads what they are made of",
  },
  {
    id: "device-diet",
    from: /^devices\//,
    to: OURS,
    exceptTo: /^(?:src\/(?:abi|memory|virtio|loop|sys|ipc)|devices|transports)\//,
    reason: "a device knows guest memory, its queues, an event loop and an interrupt",
  },
  {
    id: "device-ipc",
    from: /^devices\//,
    // The 8250 and its kin are served on the vCPU's own thread; shared words carry their bytes away.
    exceptFrom: /^devices\/legacy\//,
    to: /^src\/ipc\//,
    reason: "a device does not know its thread, so it shares nothing with another",
  },
  {
    id: "device-loop-types",
    from: /^devices\//,
    to: /^src\/loop\//,
    typesAllowed: true,
    reason: "devices see the event loop as an interface: import its types only",
  },
  {
    id: "device-sys",
    from: /^devices\//,
    exceptFrom: new RegExp(`${BACKEND.source}|${OPENER.source}`),
    to: /^src\/sys\//,
    reason:
      "only devices/<kind>/*_backend.ts and open.ts touch the host; put it behind the backend's interface",
  },
  {
    id: "guest-diet",
    from: /^src\/guest\//,
    to: OURS,
    exceptTo: /^src\/(?:guest|std|abi|sys)\//,
    reason: "the guest builder stands alone: src/std, src/abi and, to unpack files, src/sys",
  },
  {
    id: "guest-users",
    from: OURS,
    exceptFrom: /^(?:src\/(?:guest|cli|sandbox)\/|main\.ts$|src\/mod\.ts$)/,
    to: /^src\/guest\//,
    reason: "the default guest is a choice of src/cli and src/sandbox",
  },
  {
    id: "sandbox-cli",
    from: /^src\/sandbox\//,
    to: /^src\/cli\//,
    reason: "the library does not know the command line",
  },
  {
    id: "cli-sandbox",
    from: /^src\/cli\//,
    exceptFrom: /^src\/cli\/guest_command\.ts$/,
    to: /^src\/sandbox\//,
    reason: COMMAND_ALONE,
  },
  {
    id: "both-sides",
    from: /^(?:src\/(?:cli|sandbox)\/|main\.ts$|src\/mod\.ts$)/,
    to: /^transports\//,
    reason: "src/machine is the only place that knows both sides",
  },
];

export interface Purity {
  readonly id: string;
  readonly from: RegExp;
  readonly exceptFrom?: RegExp;
  readonly to: RegExp;
  readonly reason: string;
}

/** Parts that must not reach others at run time, by any road. */
export const PURITIES: readonly Purity[] = [
  {
    id: "no-sys-at-all",
    from:
      /^(?:src\/memory\/|src\/virtio\/|src\/ipc\/control_block\.ts$|transports\/|devices\/[^/]+\/)/,
    exceptFrom: /^devices\/[^/]+\/(?:[^/]*_backend|make|open)\.ts$/,
    to: /^src\/sys\//,
    reason: "this part must be testable without FFI, yet it loads src/sys",
  },
  {
    id: "configuration-alone",
    from: CONFIGURATION,
    to: IMPLEMENTATION,
    reason: CONFIGURATION_ALONE,
  },
  {
    id: "run-alone",
    from: /^src\/cli\/run\.ts$/,
    to: /^src\/sandbox\//,
    reason: COMMAND_ALONE,
  },
  {
    id: "control-thread",
    from: /^src\/machine\/(?:machine|mod)\.ts$|^src\/cli\//,
    to: IMPLEMENTATION,
    reason: "the control thread does not load how devices work: it is start-up time for nothing",
  },
];

export const VCPU_WORKER = "src/machine/vcpu_worker.ts";
/** A worker costs 14 ms and more to start, most of it its modules (design, section 5). */
export const VCPU_WORKER_MAY_LOAD =
  /^(?:src\/(?:abi|sys|kvm|ipc|machine)\/|src\/arch\/(?:bytes|vcpu)\.ts$|src\/arch\/[^/]+\/(?:vcpu[^/]*|boot_state|cpuid|explain|msrs)\.ts$|devices\/legacy\/|transports\/mmio_interrupt\.ts$)/;
