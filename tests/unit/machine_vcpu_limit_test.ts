/** How many vCPUs KVM allows, against how many were asked for. */
import { KVM_CAP_MAX_VCPU_ID, KVM_CAP_MAX_VCPUS, KVM_CAP_NR_VCPUS } from "../../src/abi/kvm.ts";
import { vcpuLimit } from "../../src/kvm/system.ts";
import { MachineError, requireVcpus } from "../../src/machine/machine_error.ts";
import { assertEquals, assertThrows } from "../../src/std/assert.ts";

Deno.test("as many vCPUs as KVM allows are fine, whatever the host has", () => {
  requireVcpus(1, 1);
  requireVcpus(32, 1024);
  requireVcpus(32, 32);
});

Deno.test("one more is refused, with the option and the number that would do", () => {
  const { code, message, hint } = assertThrows(() => requireVcpus(9, 8), MachineError);
  assertEquals(code, "CPUS_HOST");
  assertEquals(message, "Cannot make a machine with 9 vCPUs: this host's KVM allows 8");
  assertEquals(hint, "ask for at most 8 with --cpus");
});

const KVMS: readonly (readonly [what: string, most: number, answers: Record<number, number>])[] = [
  ["both limits", 1024, {
    [KVM_CAP_NR_VCPUS]: 2,
    [KVM_CAP_MAX_VCPUS]: 1024,
    [KVM_CAP_MAX_VCPU_ID]: 4096,
  }],
  ["fewer ids than vCPUs", 16, { [KVM_CAP_MAX_VCPUS]: 24, [KVM_CAP_MAX_VCPU_ID]: 16 }],
  ["no limit of ids", 24, { [KVM_CAP_NR_VCPUS]: 2, [KVM_CAP_MAX_VCPUS]: 24 }],
  ["a recommendation only", 6, { [KVM_CAP_NR_VCPUS]: 6 }],
  ["nothing", 4, {}],
];
for (const [what, most, answers] of KVMS) {
  Deno.test(`a KVM that tells ${what} allows ${most} vCPUs`, () => {
    assertEquals(vcpuLimit((capability) => answers[capability] ?? 0), most);
  });
}
