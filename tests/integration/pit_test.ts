/** The interval timer: KVM's, from the guest's first access on, and not before. */
import { KVM_GET_PIT2, kvm_pit_state2 } from "../../src/abi/kvm_x86.ts";
import { Pit } from "../../src/arch/vcpu.ts";
import { setUpVm } from "../../src/arch/vm.ts";
import { KvmSystem } from "../../src/kvm/system.ts";
import type { KvmVm } from "../../src/kvm/vm.ts";
import { libc } from "../../src/sys/libc.ts";
import { assertEquals } from "../../src/std/assert.ts";
import { runTinyCli } from "../support/cli_process.ts";
import { kvmTest } from "../support/kvm.ts";

function hasPit(vm: KvmVm): boolean {
  return libc().ioctl_buffer(vm.fd, KVM_GET_PIT2, new Uint8Array(kvm_pit_state2.size)) === 0;
}

const TOUCHES: Readonly<Record<string, (pit: Pit) => void>> = {
  "a counter is read": (pit) => pit.counters.read(),
  "a counter is set": (pit) => pit.counters.write(0, 1),
  "a control word is written": (pit) => pit.counters.write(3, 0x34),
  "the gate is read": (pit) => pit.gate.read(),
  "the gate is opened": (pit) => pit.gate.write(0, 1),
};
for (const [what, touch] of Object.entries(TOUCHES)) {
  kvmTest(`KVM has a timer once ${what}, and two vCPUs may be the first`, () => {
    using system = KvmSystem.open();
    using vm = system.createVm();
    setUpVm(vm);
    assertEquals(hasPit(vm), false);
    for (const vcpu of [new Pit(vm.fd), new Pit(vm.fd)]) touch(vcpu);
    assertEquals(hasPit(vm), true);
  });
}

interface First {
  readonly word: string;
  /** What the guest prints before it waits. */
  readonly lines: readonly string[];
}
const FIRSTS: readonly First[] = [
  { word: "control", lines: ["gate 0"] },
  { word: "gate", lines: ["gate 1"] },
  { word: "speaker", lines: ["gate 2"] },
  { word: "look", lines: ["counter 0", "gate 0"] },
  { word: "nothing", lines: ["gate 0"] },
];
for (const { word, lines } of FIRSTS) {
  kvmTest(`a counter runs down when the first access was: ${word}`, async () => {
    const { code, stdout, stderr } = await runTinyCli(`test=pit first=${word}`);
    assertEquals(code, 0, stderr);
    assertEquals(stdout, `${[...lines, "early 0", "late 1"].join("\n")}\n`);
  });
}

kvmTest("four vCPUs that begin with it at once all go on", async () => {
  const { code, stdout, stderr } = await runTinyCli("test=pit first=gate", ["-c", "4"]);
  assertEquals(code, 0, stderr);
  assertEquals(stdout, "gate 1\nearly 0\nlate 1\n");
});
