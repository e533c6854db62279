/** A block device of the host's as a disk. */
import { DiskFile } from "../../src/sys/disk_file.ts";
import { assertEquals } from "../../src/std/assert.ts";
import { DiskDirectory } from "../support/disk_image.ts";

const MIB = 2 ** 20;

function losetup(...args: readonly string[]): string | undefined {
  try {
    const { success, stdout } = new Deno.Command("losetup", { args: [...args] }).outputSync();
    return success ? new TextDecoder().decode(stdout).trim() : undefined;
  } catch {
    return undefined;
  }
}

/** Why a file cannot become a block device here; undefined when it can. */
function loopRefusal(): string | undefined {
  using directory = new DiskDirectory("fast");
  const path = losetup("-f", "--show", directory.empty("disk.img", MIB));
  if (path === undefined) return "this host has no loop devices for us";
  losetup("-d", path);
  return undefined;
}

const refusal = loopRefusal();
if (refusal !== undefined) console.log(`skipped: ${refusal}`);

Deno.test({
  name: "a block device is no file in memory, though its node is one",
  ignore: refusal !== undefined,
  fn() {
    using directory = new DiskDirectory("fast");
    const image = directory.empty("disk.img", MIB);
    const path = losetup("-f", "--show", image) ?? "";
    try {
      using device = new DiskFile({ path, readOnly: false, direct: false });
      using file = new DiskFile({ path: image, readOnly: true, direct: false });
      assertEquals([device.bytes, device.isMemory, file.isMemory], [MIB, false, true]);
    } finally {
      losetup("-d", path);
    }
  },
});
