/** Which integration tests the lab runs for CI: its core set, in one place. Called by `work.ts`. */

/**
 * What the development hosts' KVM cannot show: real SVM with nested paging, and a stock kernel on it with all
 * devices, with one and more vCPUs. A few minutes in all, so that CI can afford it.
 */
export const CORE_SET: readonly string[] = [
  "tests/integration/boot_test.ts",
  "tests/integration/work_machine_test.ts",
];

/**
 * Which tests of these files, as a pattern for Deno's --filter (which knows no look-ahead). Debian's stable kernel
 * stands for the others, and filling guests of gigabytes takes too long.
 */
export const CORE_FILTER = String
  .raw`/^(?:every virtio device|poweroff|reboot|a guest whose power button|[124] vCPUs) .* on bookworm$|\b(?:PVH|entry|RAM)\b/`;
