/** The checks of `dinovisor doctor`. Each looks at one thing and says what it means for machines on this host. */
import {
  KVM_API_VERSION,
  KVM_CAP_IMMEDIATE_EXIT,
  KVM_CAP_IOEVENTFD,
  KVM_CAP_IRQCHIP,
  KVM_CAP_IRQFD,
  KVM_CAP_NR_MEMSLOTS,
  KVM_CAP_READONLY_MEM,
} from "../abi/kvm.ts";
import { type Architecture, architecture, BootError } from "../arch/mod.ts";
import { KvmError } from "../kvm/kvm_error.ts";
import { KvmSystem } from "../kvm/system.ts";
import { LIMITS } from "../machine/config.ts";
import { IoUring } from "../sys/io_uring.ts";
import { SysError } from "../sys/sys_error.ts";
import { kvmDevice } from "./kvm_device.ts";
import { hostRingZero, type RingZero } from "../guest/ring_zero.ts";

/** What one check found. */
export interface Finding {
  /** `fail`: machines cannot run. `warn`: they can, with the consequence that `detail` names. */
  readonly state: "ok" | "warn" | "fail";
  readonly subject: string;
  readonly detail: string;
  readonly hint?: string;
}

/** A KVM without these cannot run our machines. */
const NEEDED_CAPABILITIES = [
  ["irqchip", KVM_CAP_IRQCHIP],
  ["irqfd", KVM_CAP_IRQFD],
  ["ioeventfd", KVM_CAP_IOEVENTFD],
  ["immediate_exit", KVM_CAP_IMMEDIATE_EXIT],
] as const;

const DEFAULT_GUEST_MIB = 128;
/** Descriptors of one machine: its own, and a few for each device and queue. */
const FEW_DESCRIPTORS = 256;

/** The processor and KVM. */
export function kvmFindings(): Finding[] {
  const kvm = openKvm();
  const opens = kvm[0]?.state === "ok";
  return [architectureFinding(), ringZeroFinding(hostRingZero(), opens), ...kvm];
}

/** What the host has for machines besides KVM. */
export function hostFindings(): Finding[] {
  return [
    uringFinding(),
    memoryFinding(readText("/proc/meminfo")),
    descriptorFinding(readText("/proc/self/limits")),
  ];
}

function architectureFinding(): Finding {
  const subject = "architecture";
  try {
    return { state: "ok", subject, detail: architecture().name };
  } catch (error) {
    if (!(error instanceof BootError)) throw error;
    const hint = error.hint === undefined ? {} : { hint: error.hint };
    return { state: "fail", subject, detail: error.message, ...hint };
  }
}

/** Whether the processor runs a guest's kernel mode itself, or KVM emulates it (hosts.md). `opens`: KVM's device. */
export function ringZeroFinding(zero: RingZero, opens: boolean): Finding {
  const subject = "guest kernel mode";
  switch (zero.by) {
    case "hardware":
      return { state: "ok", subject, detail: `in hardware (${zero.flag})` };
    case "emulated":
      if (!opens) {
        return {
          state: "warn",
          subject,
          detail: "nobody runs it: the host has kvm_pvm, which offers no KVM here",
          hint:
            "inside a VM of its own kind kvm_pvm does nothing: use the host of this VM, or another one",
        };
      }
      return {
        state: "warn",
        subject,
        detail:
          "emulated by KVM (kvm_pvm), about 100 times slower; guest programs run at full speed",
        hint:
          "distribution kernels do not boot here: use the default guest, or a host with VT-x or SVM",
      };
    case "unknown":
      return {
        state: "warn",
        subject,
        detail: "the processor shows neither vmx nor svm: KVM may be missing, or emulate it slowly",
        hint:
          "switch virtualization on in the firmware, or allow nested virtualization for this VM",
      };
  }
}

function openKvm(): Finding[] {
  const path = kvmDevice();
  try {
    using system = KvmSystem.open(path);
    const opened = `opens for reading and writing, API version ${KVM_API_VERSION}`;
    return [
      { state: "ok", subject: path, detail: opened },
      vmFinding(system),
      capabilityFinding(system),
      vcpuFinding(system.maxVcpus()),
      slotFinding(system),
    ];
  } catch (error) {
    return [failure(path, error)];
  }
}

/** Turns what KVM and system calls throw into a failed check; anything else is a bug and goes on. */
function failure(subject: string, error: unknown): Finding {
  if (!(error instanceof KvmError) && !(error instanceof SysError)) throw error;
  const hint = error.hint === undefined ? {} : { hint: error.hint };
  return { state: "fail", subject, detail: error.message, ...hint };
}

function vmFinding(system: KvmSystem): Finding {
  const subject = "new VM";
  try {
    using _vm = system.createVm();
    return { state: "ok", subject, detail: "KVM makes one" };
  } catch (error) {
    return failure(subject, error);
  }
}

function capabilityFinding(system: KvmSystem): Finding {
  const subject = "KVM capabilities";
  const needed = [...NEEDED_CAPABILITIES, ...architectureCapabilities()];
  const missing = needed.filter(([, number]) => system.checkExtension(number) === 0);
  if (missing.length > 0) {
    const names = missing.map(([name]) => name).join(", ");
    const hint = "use a newer host kernel: Linux 5.4 has all of them";
    return { state: "fail", subject, detail: `missing: ${names}`, hint };
  }
  return { state: "ok", subject, detail: needed.map(([name]) => name).join(", ") };
}

/** None where the architecture is not supported, which is a finding of its own. */
function architectureCapabilities(): Architecture["capabilities"] {
  try {
    return architecture().capabilities;
  } catch (error) {
    if (error instanceof BootError) return [];
    throw error;
  }
}

function vcpuFinding(kvmMax: number): Finding {
  const most = Math.min(kvmMax, LIMITS.vcpus.max);
  const cores = navigator.hardwareConcurrency;
  const detail = `up to ${most} (KVM: ${kvmMax}); this host has ${cores} processors`;
  return { state: "ok", subject: "vCPUs", detail };
}

function slotFinding(system: KvmSystem): Finding {
  const slots = system.checkExtension(KVM_CAP_NR_MEMSLOTS);
  const readOnly = system.checkExtension(KVM_CAP_READONLY_MEM) > 0 ? "" : ", no read-only ones";
  return { state: "ok", subject: "memory slots", detail: `${slots}${readOnly}` };
}

function uringFinding(): Finding {
  const subject = "io_uring";
  try {
    using _ring = new IoUring(8);
    return { state: "ok", subject, detail: "works" };
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    return {
      state: "warn",
      subject,
      detail: `${error.message}; disks work without it, more slowly`,
      hint: error.hint ?? "see sysctl kernel.io_uring_disabled and the container's seccomp profile",
    };
  }
}

/** From /proc/meminfo. */
export function memoryFinding(meminfo: string): Finding {
  const subject = "memory";
  const kib = /^MemAvailable:\s*(\d+) kB/m.exec(meminfo)?.[1];
  if (kib === undefined) return { state: "warn", subject, detail: "unknown" };
  const mib = Math.floor(Number(kib) / 1024);
  const detail = `${mib} MiB available`;
  if (mib >= 2 * DEFAULT_GUEST_MIB) return { state: "ok", subject, detail };
  const hint = "give machines less with --mem, or stop other programs";
  return { state: "warn", subject, detail, hint };
}

/** From /proc/self/limits. */
export function descriptorFinding(limits: string): Finding {
  const subject = "open files";
  const soft = /^Max open files\s+(\d+|unlimited)/m.exec(limits)?.[1];
  if (soft === undefined) return { state: "warn", subject, detail: "limit unknown" };
  const detail = `limit ${soft}`;
  if (soft === "unlimited" || Number(soft) >= FEW_DESCRIPTORS) {
    return { state: "ok", subject, detail };
  }
  return { state: "warn", subject, detail, hint: "raise it: ulimit -n 1024" };
}

function readText(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}
