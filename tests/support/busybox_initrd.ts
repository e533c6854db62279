/** A user's initrd, as small as they come: busybox, and an /init that is a script. */
import { CpioArchive } from "../../src/guest/initramfs/cpio.ts";
import { ensureRootImage } from "../../src/guest/mod.ts";

const APPLETS = [
  ..."base64 cat chmod dd echo env false grep head id kill ln ls mkdir mkfifo mount mv ps rm rmdir seq"
    .split(" "),
  ..."setsid sh sleep sort stat sync tail tr true umount uname wc yes switch_root chpst md5sum"
    .split(" "),
];

/** What {@linkcode busyboxInitrd} is made from. */
export interface BusyboxInitrd {
  /** Lines of /init, behind the mounts. It must not end. */
  readonly init: string;
  /** Programs that it does without. */
  readonly without?: readonly string[];
}

/** The static busybox of the default guest. */
export async function guestBusybox(): Promise<Uint8Array<ArrayBuffer>> {
  const { path } = await ensureRootImage({ progress: { stage() {}, fraction() {} } });
  const file = await Deno.makeTempFile({ prefix: "dinovisor-busybox-" });
  try {
    const args = ["-R", `dump /bin/busybox ${file}`, path];
    const { success, stderr } = await new Deno.Command("debugfs", { args }).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    return await Deno.readFile(file);
  } finally {
    await Deno.remove(file);
  }
}

/** The initrd's bytes, not compressed: unpacking costs time where ring 0 is emulated. */
export async function busyboxInitrd(
  { init, without = [] }: BusyboxInitrd,
): Promise<Uint8Array<ArrayBuffer>> {
  const archive = new CpioArchive();
  for (const name of ["bin", "dev", "proc", "sys", "tmp", "root"]) archive.directory(name);
  archive.characterDevice("dev/console", 5, 1);
  archive.file("bin/busybox", await guestBusybox(), 0o755);
  for (const name of APPLETS) {
    if (!without.includes(name)) archive.symlink(`bin/${name}`, "busybox");
  }
  const script = `#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
${init}
`;
  archive.file("init", new TextEncoder().encode(script), 0o755);
  return archive.finish();
}
