/** x86-64 as an `Architecture`. Called by `src/arch/mod.ts`. */
import { KVM_CAP_PIT2 } from "../../abi/kvm_x86.ts";
import type { Architecture } from "../types.ts";
import { renderAcpi } from "./acpi/tables.ts";
import { inspectKernel, loadKernel } from "./boot.ts";
import { DEFAULT_CMDLINE, deviceWords } from "./cmdline.ts";
import { renderDeviceTree } from "./device_tree.ts";
import { chooseDiscovery, discoverySupport } from "./discovery.ts";
import { kernelBody, kernelContents } from "./kernel_contents.ts";
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
  capabilities: [["pit2", KVM_CAP_PIT2]],
  maxVirtioSlots: MAX_VIRTIO_SLOTS,
  vmAddresses: { tss: TSS_ADDRESS, identityMap: IDENTITY_MAP_ADDRESS },
  fixedSlots: FIXED_SLOTS,
  ramRanges,
  virtioSlot,
  inspectKernel,
  kernelBody,
  kernelContents,
  discoverySupport,
  chooseDiscovery,
  loadKernel,
  deviceWords,
  deviceTree: renderDeviceTree,
  acpiTables: renderAcpi,
};
