/** Puts what the guest boots from into its RAM. Called by the control thread while the workers come up. */
import { architecture, type BootState } from "../arch/mod.ts";
import type { BootMemory } from "../memory/boot_memory.ts";
import { FileImage } from "./image_source.ts";
import type { MachinePlan } from "./plan.ts";

/** What Linux's generator wants to be ready at once (random.c, BLAKE2S_HASH_SIZE). */
const RNG_SEED_BYTES = 32;

/** Reads kernel and initrd straight into guest RAM. Throws BootError and Deno.errors.*. */
export function loadImages(plan: MachinePlan, memory: BootMemory): BootState {
  const { image, initrd } = plan.config.kernel;
  const arch = architecture(plan.architecture);
  using kernel = new FileImage(image);
  using ramdisk = initrd === undefined ? undefined : new FileImage(initrd);
  const devices = [...plan.fixed, ...plan.devices.map((device) => device.slot)];
  const { vcpus } = plan.config;
  return arch.loadKernel({
    memory,
    kernel,
    cmdline: plan.cmdline,
    vcpus,
    rngSeed: crypto.getRandomValues(new Uint8Array(RNG_SEED_BYTES)),
    ...(ramdisk === undefined ? {} : { initrd: ramdisk }),
    ...(plan.discovery === "fdt"
      ? { deviceTree: arch.deviceTree({ vcpus, cmdline: plan.cmdline, devices }) }
      : {}),
    ...(plan.discovery === "acpi" ? { acpi: arch.acpiTables({ vcpus, devices }) } : {}),
  });
}
