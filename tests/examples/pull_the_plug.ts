/** What a guest has synced is on its disk, and fsck finds nothing, though the plug was pulled. */
import { Vm } from "@dinovisor/dinovisor";

const path = await Deno.makeTempFile({ suffix: ".img" });
await Deno.truncate(path, 8 * 1024 * 1024);
try {
  {
    await using vm = await Vm.boot({ disks: [{ path }] });
    await vm.sh`mke2fs /dev/vdb && mount /dev/vdb /mnt && echo ${"still here"} > /mnt/f && sync`;
    await vm.spawn("sh", ["-c", "while :; do date >> /mnt/log; done"]);
    vm.kill();
  }
  await using vm = await Vm.boot({ disks: [{ path, readonly: true }] });
  console.log(await vm.sh`mount -o ro /dev/vdb /mnt && cat /mnt/f`.text());
} finally {
  await Deno.remove(path);
}
