/** The modules of stock kernels that our guests need. A list of its own: the start path reads it for a recipe's key. */
/**
 * What a guest of ours needs of a stock kernel: drivers of all our devices, the power button, and what a root may be
 * mounted from. None of these names is in every kernel: some are built in, others do not exist in older or newer ones.
 */
export const GUEST_MODULES: readonly string[] = [
  "virtio_mmio",
  "virtio_blk",
  "virtio_console",
  "virtio_net",
  "virtio_rng",
  "virtio_balloon",
  "virtiofs",
  "vmw_vsock_virtio_transport",
  // The ACPI power button becomes an input device, which programs can read.
  "button",
  "evdev",
  // ext4 takes its checksums from the crypto API, which finds this one by algorithm, not by dependency.
  "crc32c_generic",
  "ext4",
  "squashfs",
  "overlay",
];
