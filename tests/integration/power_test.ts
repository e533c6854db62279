/** How ACPI guests switch themselves off, and how they are asked to. */
import { KVM_GET_IRQCHIP, kvm_irqchip, kvm_pic_state } from "../../src/abi/kvm_x86.ts";
import {
  PLATFORM_RESET,
  PLATFORM_RESET_VALUE,
  PLATFORM_SLEEP_CONTROL,
  PLATFORM_SLEEP_TYPE_S5,
} from "../../src/abi/platform.ts";
import { setUpVm } from "../../src/arch/vm.ts";
import { KvmSystem } from "../../src/kvm/system.ts";
import type { ExitReason } from "../../src/machine/exit.ts";
import { Machine } from "../../src/machine/machine.ts";
import { MachineError } from "../../src/machine/machine_error.ts";
import { libc } from "../../src/sys/libc.ts";
import {
  assertEquals,
  assertGreater,
  assertLessOrEqual,
  assertMatch,
  assertRejects,
  assertThrows,
} from "../../src/std/assert.ts";
import { DiskDirectory } from "../support/disk_image.ts";
import {
  kvmTest,
  runTiny,
  SLOWNESS,
  tinyConfig,
  type TinySettings,
  until,
} from "../support/kvm.ts";

const PLATFORM = 0xd000_0000;
/** ACPI 6.5, table 4.19. */
const SLP_EN = 0x20;
const SOFT_OFF = SLP_EN | (PLATFORM_SLEEP_TYPE_S5 << 2);

/** The tiny guest writes its status to any byte it is told. */
function leaveBy(offset: number, value: number): string {
  return `status=${value} exit=mmio@0x${(PLATFORM + offset).toString(16)}`;
}

const WRITES: readonly (readonly [name: string, offset: number, value: number, ExitReason])[] = [
  ["soft-off in sleep control is a power-off", PLATFORM_SLEEP_CONTROL, SOFT_OFF, "poweroff"],
  [
    "the reset value in the reset register is a reboot",
    PLATFORM_RESET,
    PLATFORM_RESET_VALUE,
    "reboot",
  ],
];
for (const [name, offset, value, reason] of WRITES) {
  for (const vcpus of [1, 2]) {
    kvmTest(`${name}, with ${vcpus} vCPUs`, async () => {
      const exit = await runTiny({
        words: `test=idle ${leaveBy(offset, value)}`,
        discovery: "acpi",
        vcpus,
      });
      assertEquals([exit.reason, exit.status], [reason, undefined]);
    });
  }
}

async function started(settings: TinySettings): Promise<Machine> {
  const machine = await Machine.create(await tinyConfig(settings));
  machine.start();
  return machine;
}

for (const vcpus of [1, 2]) {
  kvmTest(`a guest of ${vcpus} vCPUs that is shut down switches itself off`, async () => {
    using directory = new DiskDirectory();
    const path = `${directory.path}/serial`;
    await using machine = await started({
      words: `test=power ${leaveBy(PLATFORM_SLEEP_CONTROL, SOFT_OFF)}`,
      console: { mode: "file", path },
      discovery: "acpi",
      vcpus,
    });
    await until("the guest waits", () => Deno.readTextFileSync(path).includes("ready"));
    const { reason, detail } = await machine.shutdown();
    assertEquals([reason, detail], ["poweroff", undefined]);
  });
}

kvmTest("a guest that does not hear its power button is stopped after the deadline", async () => {
  await using machine = await started({ words: "test=idle end=spin", discovery: "acpi" });
  const begin = performance.now();
  const { reason, detail } = await machine.shutdown({ deadlineMs: 300 });
  assertEquals(reason, "stopped");
  assertMatch(detail ?? "", /did not power off within 300 ms/);
  assertGreater(performance.now() - begin, 290);
});

kvmTest("a guest that ends during its shutdown is not waited for any longer", async () => {
  await using machine = await started({ words: "test=idle end=spin", discovery: "acpi" });
  const begin = performance.now();
  setTimeout(() => machine.stop(), 50);
  assertEquals((await machine.shutdown()).detail, undefined);
  assertLessOrEqual(performance.now() - begin, 5000 * SLOWNESS);
});

for (const discovery of ["cmdline", "fdt"] as const) {
  kvmTest(`with --discovery ${discovery} there is no power button`, async () => {
    await using machine = await started({ words: "test=idle end=spin", discovery });
    const error = assertThrows(() => machine.pressPowerButton(), MachineError);
    assertEquals(error.code, "NO_POWER_BUTTON");
    assertMatch(error.hint ?? "", /--discovery acpi/);
    await assertRejects(() => machine.shutdown(), MachineError, discovery);
    assertEquals(machine.status, "running");
  });
}

kvmTest("a power button cannot be pressed before the start or after the end", async () => {
  const config = await tinyConfig({ words: "test=idle", discovery: "acpi" });
  await using machine = await Machine.create(config);
  const press = () => machine.pressPowerButton();
  assertEquals(assertThrows(press, MachineError, "created").code, "STATE");
  machine.start();
  await machine.exited;
  assertEquals(assertThrows(press, MachineError, "stopped").code, "STATE");
  await assertRejects(() => machine.shutdown(), MachineError, "stopped");
});

kvmTest("the 8259s start with all lines masked", () => {
  using system = KvmSystem.open();
  using vm = system.createVm();
  setUpVm(vm);
  const masks = [0, 1].map((chip) => {
    const bytes = new Uint8Array(kvm_irqchip.size);
    new DataView(bytes.buffer).setUint32(kvm_irqchip.at.chip_id, chip, true);
    libc().ioctl_buffer(vm.fd, KVM_GET_IRQCHIP, bytes);
    return bytes[kvm_irqchip.at.chip + kvm_pic_state.at.imr];
  });
  assertEquals(masks, [0xff, 0xff]);
  return Promise.resolve();
});
