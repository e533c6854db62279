/** Time-stamp counters of vCPUs that are made seconds apart: KVM gives them one offset, so the master clock stays on. */
import { iow, struct, u32, u64 } from "../../src/abi/struct.ts";
import { KVMIO } from "../../src/abi/kvm.ts";
import { configureVcpu, hostProcessor, setUpVm } from "../../src/arch/vm.ts";
import { OwnedVcpu } from "../../src/kvm/vcpu.ts";
import { KvmSystem } from "../../src/kvm/system.ts";
import { Mapping } from "../../src/sys/mmap.ts";
import { assertEquals } from "../../src/std/assert.ts";
import { unstableTsc } from "../support/host_clock.ts";
import { delay, kvmRefusal, kvmTest } from "../support/kvm.ts";

/** include/uapi/linux/kvm.h; arch/x86/include/uapi/asm/kvm.h: the offset of a vCPU's counter against the host's. */
const kvm_device_attr = struct("struct kvm_device_attr", {
  flags: u32,
  group: u32,
  attr: u64,
  addr: u64,
});
const KVM_GET_DEVICE_ATTR = iow(KVMIO, 0xe2, kvm_device_attr);
const KVM_VCPU_TSC_CTRL = 0;
const KVM_VCPU_TSC_OFFSET = 0;
/** Beyond the second within which KVM takes counter writes for one act. */
const LATER_MS = 1300;

/** KVM_GET_DEVICE_ATTR writes the answer to an address. */
function tscOffset({ vcpu }: OwnedVcpu): bigint {
  using answer = Mapping.anonymous(4096, "TSC offset");
  const bytes = new Uint8Array(kvm_device_attr.size);
  const view = new DataView(bytes.buffer);
  view.setUint32(kvm_device_attr.at.group, KVM_VCPU_TSC_CTRL, true);
  view.setBigUint64(kvm_device_attr.at.attr, BigInt(KVM_VCPU_TSC_OFFSET), true);
  view.setBigUint64(kvm_device_attr.at.addr, BigInt(answer.address), true);
  vcpu.get(KVM_GET_DEVICE_ATTR, bytes, "KVM_GET_DEVICE_ATTR");
  return new DataView(answer.buffer()).getBigInt64(0, true);
}

/** Why offsets cannot be compared: KVMs that run a guest's ring 3 like a process give it the host's counter. */
function noOffsets(): string | undefined {
  if (kvmRefusal() !== undefined) return undefined; // said by kvmTest
  using system = KvmSystem.open();
  using vm = system.createVm();
  setUpVm(vm);
  using owned = new OwnedVcpu(vm.fd, 0, system.vcpuMmapSize());
  configureVcpu(owned.vcpu, hostProcessor(system.fd), 1); // sets the counter to 0, long after the host's was
  if (tscOffset(owned) !== 0n) return undefined;
  return "this KVM gives guests the host's time-stamp counter: there is no offset to compare";
}

kvmTest("vCPUs made and set up seconds apart have one TSC offset", async () => {
  using system = KvmSystem.open();
  using vm = system.createVm();
  setUpVm(vm);
  const size = system.vcpuMmapSize();
  const host = hostProcessor(system.fd);
  using first = new OwnedVcpu(vm.fd, 0, size);
  configureVcpu(first.vcpu, host, 3);
  await delay(LATER_MS);
  using second = new OwnedVcpu(vm.fd, 1, size);
  using third = new OwnedVcpu(vm.fd, 2, size);
  await delay(LATER_MS);
  configureVcpu(third.vcpu, host, 3);
  configureVcpu(second.vcpu, host, 3);
  assertEquals([second, third].map(tscOffset), [first, first].map(tscOffset));
}, { ignore: unstableTsc() ?? noOffsets() });
