/** What `dinovisor test` tells the tests that it runs: the environment is how it reaches them. */
import type { VmOptions } from "../sandbox/vm_options.ts";

/** Names of the variables. */
export const TEST_VARIABLES = {
  kernel: "DINOVISOR_TEST_KERNEL",
  initrd: "DINOVISOR_TEST_INITRD",
  memory: "DINOVISOR_TEST_MEMORY",
  cpus: "DINOVISOR_TEST_CPUS",
} as const;

const MEMORY = "64MiB";

/** What is in the environment; without the initrd of the kernel there when the test has a kernel of its own. */
export function givenOptions(
  hasKernel: boolean,
): Pick<VmOptions, "kernel" | "initrd" | "memory" | "cpus"> {
  const kernel = Deno.env.get(TEST_VARIABLES.kernel);
  const initrd = Deno.env.get(TEST_VARIABLES.initrd);
  const memory = Deno.env.get(TEST_VARIABLES.memory);
  const cpus = Deno.env.get(TEST_VARIABLES.cpus);
  return {
    memory: memory ? Number(memory) * 2 ** 20 : MEMORY,
    ...(kernel ? { kernel } : {}),
    ...(initrd && !hasKernel ? { initrd } : {}),
    ...(cpus ? { cpus: Number(cpus) } : {}),
  };
}
