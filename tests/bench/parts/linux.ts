/** The default guest from exec to its shell's prompt. */
import { ensureKernel, ensureRootImage } from "../../../src/guest/mod.ts";
import { planMachine } from "../../../src/machine/mod.ts";
import { dinovisor, type Guest, msUntil, qemu } from "../monitors.ts";
import type { Setting } from "../setting.ts";
import { type Row, type Sampler, takeTurns } from "../table.ts";

const LINUX_MIB = 128;
/** What the default guest's shell prints when it is ready. */
const PROMPT = "~ # ";

export async function linuxRows({ hasQemu, rounds }: Setting): Promise<Row[]> {
  const progress = {
    stage: (name: string) => console.error(`default guest: ${name}`),
    fraction() {},
  };
  const [kernel, root] = [await ensureKernel({ progress }), await ensureRootImage({ progress })];
  const disks = [{ path: root.path, direct: false, readOnly: true }];
  const withWords = (console: "serial" | "auto"): Guest => {
    const plan = planMachine({
      kernel: { image: kernel.path, cmdline: "root=/dev/vda ro quiet" },
      memoryMib: LINUX_MIB,
      vcpus: 1,
      discovery: "cmdline",
      console: { mode: console },
      devices: [],
    });
    // Either monitor adds the words for its own devices.
    const words = plan.cmdline.split(" ").filter((word) => !word.startsWith("virtio_mmio."));
    return { kernel: kernel.path, cmdline: words.join(" "), memoryMib: LINUX_MIB, disks };
  };
  const serial = withWords("serial");
  const samplers: Sampler[] = [[
    "dinovisor",
    () => msUntil(PROMPT, dinovisor("", ["--console", "serial"]).command(serial)),
  ]];
  if (hasQemu) samplers.push(["QEMU", () => msUntil(PROMPT, qemu().command(serial))]);
  const auto = withWords("auto");
  samplers.push(["dinovisor on hvc0", () => msUntil(PROMPT, dinovisor().command(auto))]);
  const head = { name: "default guest to its shell, serial", unit: "ms", better: "less" } as const;
  return [await takeTurns(head, rounds(5), samplers)];
}
