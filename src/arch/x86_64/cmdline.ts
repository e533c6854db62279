/**
 * The kernel command line on x86: words that announce virtio-mmio devices, and the checks before it is written.
 * Called by `boot.ts` and, through `mod.ts`, by the plan.
 */
import { hex } from "../bytes.ts";
import { BootError, type DeviceSlot } from "../types.ts";

/** COMMAND_LINE_SIZE (arch/x86/include/asm/setup.h) with its final NUL: what kernels without a header take. */
export const COMMAND_LINE_SIZE = 2048;
/**
 * What every kernel gets: output on COM1, reboot by the keyboard controller (the one way that works on every host,
 * also where ring 0 is emulated), and no waiting after a panic.
 */
export const DEFAULT_CMDLINE = "console=ttyS0 reboot=k panic=-1";

/** `virtio_mmio.device=4K@0xd0001000:5` (drivers/virtio/virtio_mmio.c vm_cmdline_set) for each virtio device. */
export function deviceWords(devices: readonly DeviceSlot[]): string[] {
  return devices.filter(isVirtio).map(deviceWord);
}

/** Throws `BootError` when `cmdline` cannot be handed to a kernel that takes `max` bytes. Returns it as bytes with NUL. */
export function encodeCmdline(cmdline: string, max: number): Uint8Array<ArrayBuffer> {
  if (/[\0\n\r]/.test(cmdline)) {
    throw new BootError(
      "CMDLINE_INVALID",
      "Kernel command line holds a line break or NUL character",
      "put all words on one line",
    );
  }
  const text = new TextEncoder().encode(cmdline);
  if (text.length > max) {
    throw new BootError(
      "CMDLINE_TOO_LONG",
      `Kernel command line is ${text.length} bytes long, this kernel takes ${max}`,
      `shorten it by ${text.length - max} bytes; fewer devices or --discovery acpi save words too`,
    );
  }
  const bytes = new Uint8Array(text.length + 1);
  bytes.set(text);
  return bytes;
}

function isVirtio(device: DeviceSlot): boolean {
  return device.kind === "virtio-mmio" && device.gsi !== undefined;
}

function deviceWord(device: DeviceSlot): string {
  // The kernel reads sizes with memparse(): a suffix keeps the words short, of which 32 may be needed.
  const size = device.size % 1024 === 0 ? `${device.size / 1024}K` : `${device.size}`;
  return `virtio_mmio.device=${size}@${hex(device.base)}:${device.gsi}`;
}
