/** What KVM has of a machine before anybody runs it: RAM, interrupt lines, vCPUs. Used by `machine.ts`. */
import type { BootState } from "../arch/types.ts";
import { configureVcpu, hostProcessor, loadBootState, setUpVm } from "../arch/vm.ts";
import type { MemoryLayout } from "../ipc/memory_layout.ts";
import { KvmSystem } from "../kvm/system.ts";
import { OwnedVcpu } from "../kvm/vcpu.ts";
import type { KvmVm } from "../kvm/vm.ts";
import { createEventfd } from "../sys/eventfd.ts";
import type { FdNumber } from "../sys/fd.ts";
import type { Mapping } from "../sys/mmap.ts";
import { mapRam, plugRam } from "./guest_ram.ts";
import { requireVcpus } from "./machine_error.ts";
import type { MachinePlan } from "./plan.ts";

/** All of it on the control thread, and let go of by whoever had it built. */
export interface Hardware {
  readonly vm: KvmVm;
  readonly ram: Mapping;
  readonly layout: MemoryLayout;
  /** Eventfds bound to interrupt lines, one per virtio device, and the serial port's. */
  readonly irqFds: readonly number[];
  readonly serialIrqFd: number;
  /** An edge on the power button's line; undefined in a guest that is not told of it. */
  readonly powerButton: FdNumber | undefined;
  /** All there before the guest runs, so that the boot processor can start each, whenever its thread comes to run it. */
  readonly vcpus: readonly OwnedVcpu[];
}

/** How it is built. */
export interface HardwareOptions {
  /** Instead of /dev/kvm. */
  readonly kvmDevice: string | undefined;
  /** Lets go of it. */
  readonly resources: DisposableStack;
  /** Asked then: whether somebody may still write to guest RAM, so that it is not to be unmapped. */
  readonly isRamInUse: () => boolean;
}

/** Builds what `plan` says. Throws KvmError, SysError, MachineError; what is there by then goes with `resources`. */
export function buildHardware(
  plan: MachinePlan,
  { kvmDevice, resources, isRamInUse }: HardwareOptions,
): Hardware {
  const system = resources.use(KvmSystem.open(kvmDevice));
  requireVcpus(plan.config.vcpus, system.maxVcpus());
  const vm = resources.use(system.createVm());
  const { mapping: ram, layout } = mapRam(plan.ram);
  resources.defer(() => isRamInUse() ? ram.abandon() : ram.unmap());
  // RAM before the interrupt controllers: the other way round it waits for KVM to be done with them, 4 to 6 ms.
  plugRam(vm, layout);
  setUpVm(vm);
  const line = (gsi: number | undefined) => interruptLine(vm, gsi, resources);
  const fixedGsi = (kind: string) => plan.fixed.find((slot) => slot.kind === kind)?.gsi;
  const irqFds = plan.devices.map(({ slot }) => line(slot.gsi));
  const button = plan.discovery === "acpi" ? fixedGsi("platform") : undefined;
  return {
    vm,
    ram,
    layout,
    irqFds,
    serialIrqFd: line(fixedGsi("serial")),
    powerButton: button === undefined ? undefined : line(button) as FdNumber,
    vcpus: makeVcpus(system, vm, plan.config.vcpus, resources),
  };
}

/** An eventfd that is an edge on line `gsi`; -1 for a device that never interrupts. */
function interruptLine(vm: KvmVm, gsi: number | undefined, resources: DisposableStack): number {
  if (gsi === undefined) return -1;
  const fd = resources.use(createEventfd());
  vm.irqfd(fd.number, gsi);
  return fd.number;
}

function makeVcpus(
  system: KvmSystem,
  vm: KvmVm,
  count: number,
  resources: DisposableStack,
): OwnedVcpu[] {
  const mmapSize = system.vcpuMmapSize();
  const host = hostProcessor(system.fd);
  return Array.from({ length: count }, (_, id) => {
    const owned = resources.use(new OwnedVcpu(vm.fd, id, mmapSize));
    owned.vcpu.unblockSignalsInRun();
    configureVcpu(owned.vcpu, host, count);
    return owned;
  });
}

/** Only the boot processor is given a state: the others wait inside KVM for its INIT and SIPI. Throws KvmError. */
export function loadBootProcessor({ vcpus: [first] }: Hardware, state: BootState): void {
  if (first !== undefined) loadBootState(first.vcpu, state);
}
