/** What an x86 VM needs before its first vCPU: KVM's private pages and the interrupt controllers. */
import { KVM_CREATE_IRQCHIP } from "../../abi/kvm.ts";
import {
  KVM_GET_IRQCHIP,
  kvm_irqchip,
  KVM_IRQCHIP_PIC_MASTER,
  KVM_IRQCHIP_PIC_SLAVE,
  kvm_pic_state,
  KVM_SET_IDENTITY_MAP_ADDR,
  KVM_SET_IRQCHIP,
  KVM_SET_TSS_ADDR,
} from "../../abi/kvm_x86.ts";
import { checkKvm } from "../../kvm/kvm_error.ts";
import type { KvmVm } from "../../kvm/vm.ts";
import { libc } from "../../sys/libc.ts";
import { IDENTITY_MAP_ADDRESS, TSS_ADDRESS } from "./memory_map.ts";

/** PIC, IOAPIC and local APICs, all inside KVM. The PIT comes when it is used (vcpu_pit.ts). Throws KvmError. */
export function setUpVm(vm: KvmVm): void {
  // Intel only needs these for real mode; other hosts take and ignore them.
  const identityMap = new Uint8Array(8);
  new DataView(identityMap.buffer).setBigUint64(0, BigInt(IDENTITY_MAP_ADDRESS), true);
  checkKvm(
    libc().ioctl_buffer(vm.fd, KVM_SET_IDENTITY_MAP_ADDR, identityMap),
    "KVM_SET_IDENTITY_MAP_ADDR",
  );
  checkKvm(
    libc().ioctl_address(vm.fd, KVM_SET_TSS_ADDR, BigInt(TSS_ADDRESS)),
    "KVM_SET_TSS_ADDR",
  );
  checkKvm(libc().ioctl(vm.fd, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
  for (const chip of [KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE]) maskPic(vm, chip);
}

/**
 * Leaves a PIC as firmware does: all lines masked. KVM's have none masked and vectors from 0 until somebody sets them
 * up, and a kernel that goes by hardware-reduced ACPI never does: its first device interrupt would come through LINT0
 * as well, as an exception.
 */
function maskPic(vm: KvmVm, chip: number): void {
  const bytes = new Uint8Array(kvm_irqchip.size);
  new DataView(bytes.buffer).setUint32(kvm_irqchip.at.chip_id, chip, true);
  checkKvm(libc().ioctl_buffer(vm.fd, KVM_GET_IRQCHIP, bytes), "KVM_GET_IRQCHIP");
  bytes[kvm_irqchip.at.chip + kvm_pic_state.at.imr] = 0xff;
  checkKvm(libc().ioctl_buffer(vm.fd, KVM_SET_IRQCHIP, bytes), "KVM_SET_IRQCHIP");
}
