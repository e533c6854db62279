/** x86-64 as an `Architecture`. Called by `src/arch/mod.ts`. */
import type { Architecture } from "../types.ts";
import { inspectKernel, loadKernel } from "./boot.ts";
import { DEFAULT_CMDLINE, deviceWords } from "./cmdline.ts";
import { renderDeviceTree } from "./device_tree.ts";
import {
  FIXED_SLOTS,
  IDENTITY_MAP_ADDRESS,
  MAX_VIRTIO_SLOTS,
  ramRanges,
  TSS_ADDRESS,
  virtioSlot,
} from "./memory_map.ts";

export const X86_64: Architecture = {
  name: "x86_64",
  defaultCmdline: DEFAULT_CMDLINE,
  maxVirtioSlots: MAX_VIRTIO_SLOTS,
  vmAddresses: { tss: TSS_ADDRESS, identityMap: IDENTITY_MAP_ADDRESS },
  fixedSlots: FIXED_SLOTS,
  ramRanges,
  virtioSlot,
  inspectKernel,
  loadKernel,
  deviceWords,
  deviceTree: renderDeviceTree,
};
