/** vCPUs as KVM has them before anybody runs them. Used by `machine.ts`. */
import type { BootState } from "../arch/types.ts";
import { configureVcpu, hostProcessor, loadBootState } from "../arch/vm.ts";
import type { KvmSystem } from "../kvm/system.ts";
import { OwnedVcpu } from "../kvm/vcpu.ts";
import type { KvmVm } from "../kvm/vm.ts";

/**
 * The vCPUs 0 to `count` - 1, set up on this thread: before the guest runs they are all there, so that the boot processor
 * can start each, whenever its own thread comes to run it. `resources` lets go of them. Throws KvmError and SysError.
 */
export function makeVcpus(
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
export function loadBootProcessor(vcpus: readonly OwnedVcpu[], state: BootState): void {
  const [first] = vcpus;
  if (first !== undefined) loadBootState(first.vcpu, state);
}
