/**
 * ext4 in a guest whose monitor is killed with -9 in the middle of writes: the next boot replays the journal, every
 * file that was on the disk when the guest said so is there byte for byte, and e2fsck finds nothing.
 */
import { assert, assertEquals, assertMatch } from "../../src/std/assert.ts";
import { delay } from "../support/kvm.ts";
import { DiskDirectory } from "../support/disk_image.ts";
import { byHost } from "../support/host_kind.ts";
import { guestTest, LONG, OUTPUT_MS, type ReadyGuest } from "../support/linux_guests.ts";
import {
  assertCleanFileSystem,
  assertFiles,
  extractFiles,
  lastWritten,
} from "../support/numbered_files.ts";

const MIB = 2 ** 20;
/** How many files are written before the kill, once for each kill. */
const KILLS = LONG || byHost({ hardware: true, nested: false, emulated: false })
  ? [3, 40, 11, 75]
  : [7];
/** The kill comes at any point of the writes that follow. */
const SPREAD_MS = byHost({ hardware: 20, nested: 200, emulated: 500 });

/** Mounts the disk, writes into a directory of this round, and dies in it. Returns the last file that is safe. */
async function killedRound(guest: ReadyGuest, disk: string, round: number): Promise<number> {
  const make = round === 0 ? "mkfs.ext4 -q /dev/vdb && " : "";
  const show = "dmesg | grep 'EXT4-fs (vdb)'; ";
  const script =
    `${make}mount /dev/vdb /mnt && { ${show} mkdir /mnt/${round} && work files /mnt/${round}; }`;
  await using process = guest.start({ script, disks: [disk] });
  await process.waitFor(`written ${KILLS[round]}\n`, { ms: OUTPUT_MS });
  await delay(Math.random() * SPREAD_MS);
  process.kill("SIGKILL");
  const { signal, stdout } = await process.ended;
  assertEquals(signal, "SIGKILL");
  if (round > 0) assertMatch(stdout, /recovery complete/);
  return lastWritten(stdout);
}

guestTest(
  "ext4: after kill -9 during writes the journal replays and fsynced files are whole",
  async (guest) => {
    using directory = new DiskDirectory();
    const disk = directory.empty("disk.img", 64 * MIB);
    const last: number[] = [];
    for (const round of KILLS.keys()) last.push(await killedRound(guest, disk, round));
    const script = "mount /dev/vdb /mnt && dmesg | grep 'EXT4-fs (vdb)' && umount /mnt";
    const { code, stdout, stderr } = await guest.run({ script, disks: [disk] });
    assertEquals(code, 0, stdout + stderr);
    assertMatch(stdout, /recovery complete/);
    await assertCleanFileSystem(disk);
    const files = `${directory.path}/files`;
    await extractFiles(disk, files);
    for (const [round, number] of last.entries()) {
      assert(number >= (KILLS[round] ?? Infinity), `round ${round}: ${number}`);
      assertFiles(`${files}/${round}`, number);
    }
  },
);
