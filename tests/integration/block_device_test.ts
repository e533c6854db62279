/** A block device of the host's as a disk. */
import { DiskFile, openDisk } from "../../src/sys/disk_file.ts";
import { assertEquals } from "../../src/std/assert.ts";
import { DiskDirectory } from "../support/disk_image.ts";
import { LoopDevice, loopRefusal } from "../support/loop_device.ts";
import { ZramDevice, zramRefusal } from "../support/zram_device.ts";

const MIB = 2 ** 20;

const refusal = loopRefusal();
const noZram = zramRefusal();
for (const reason of [refusal, noZram]) {
  if (reason !== undefined) console.log(`skipped: ${reason}`);
}

Deno.test({
  name: "a block device is no file in memory, though its node is one",
  ignore: refusal !== undefined,
  fn() {
    using directory = new DiskDirectory("fast");
    const image = directory.empty("disk.img", MIB);
    using loop = new LoopDevice(image);
    using device = new DiskFile(
      openDisk({ path: loop.path, readOnly: false, direct: false }),
      false,
    );
    using file = new DiskFile(openDisk({ path: image, readOnly: true, direct: false }), true);
    assertEquals([device.bytes, device.isMemory, file.isMemory], [MIB, false, true]);
  },
});

Deno.test({
  name: "a block device that lies in memory is one, with O_DIRECT, too",
  ignore: noZram !== undefined,
  fn() {
    using zram = new ZramDevice(MIB);
    for (const direct of [false, true]) {
      using device = new DiskFile(openDisk({ path: zram.path, readOnly: false, direct }), false);
      assertEquals([device.bytes, device.isMemory], [MIB, true]);
    }
  },
});
