/** Which device is KVM's: /dev/kvm, unless the environment says otherwise. Used by `run` and `doctor` alike. */
import { KVM_DEVICE } from "../kvm/system.ts";

/** Names another device than /dev/kvm; for tests and odd hosts. */
export const KVM_VARIABLE = "DINOVISOR_KVM";

/** The device's path. */
export function kvmDevice(): string {
  return Deno.env.get(KVM_VARIABLE) || KVM_DEVICE;
}
