/** fio in a guest: what it wrote is there in the same boot, after a reboot, and not after somebody changed a byte. */
import { assertEquals, assertMatch } from "../../src/std/assert.ts";
import { DiskDirectory } from "../support/disk_image.ts";
import { byHost } from "../support/host_kind.ts";
import { guestTest } from "../support/linux_guests.ts";

const KIB = 1024;

/** Random writes with checks in every block; each job has a part of the disk of its own, one after the other. */
interface Job {
  readonly engine: "psync" | "libaio";
  readonly blockBytes: number;
  readonly depth: number;
  readonly blocks: number;
}

/** One I/O of fio takes 10 ms and more where guest ring 0 is emulated. */
const SCALE = byHost({ hardware: 256, nested: 16, emulated: 1 });
const JOBS: readonly Job[] = [
  { engine: "psync", blockBytes: 4 * KIB, depth: 1, blocks: 16 * SCALE },
  { engine: "libaio", blockBytes: 512, depth: 4, blocks: 16 * SCALE },
  { engine: "libaio", blockBytes: 4 * KIB, depth: 32, blocks: 48 * SCALE },
  { engine: "libaio", blockBytes: 64 * KIB, depth: 8, blocks: 8 * SCALE },
  { engine: "psync", blockBytes: 256 * KIB, depth: 1, blocks: 2 * SCALE },
];
const DISK_BYTES = JOBS.reduce((sum, { blockBytes, blocks }) => sum + blockBytes * blocks, 0);

/** fio on `disk`; without `only` it writes first. On failure it prints what it found and goes on with `|| …`. */
function fio(disk: string, only = ""): string {
  let offset = 0;
  const jobs = JOBS.map(({ engine, blockBytes, depth, blocks }, index) => {
    const size = blockBytes * blocks;
    const words = `--name=${index} --ioengine=${engine} --bs=${blockBytes} --iodepth=${depth}` +
      ` --offset=${offset} --size=${size}`;
    offset += size;
    return words;
  });
  return `fio --eta=never --output=/tmp/fio --direct=1 --thread --rw=randwrite --verify=crc32c --verify_fatal=1` +
    ` --verify_state_save=0 ${only} --filename=/dev/${disk} ${jobs.join(" ")}`;
}

guestTest(
  "fio: random writes verify at once and after a reboot, not with a byte changed",
  async (guest) => {
    using directory = new DiskDirectory();
    const disk = directory.empty("disk.img", DISK_BYTES);
    const written = await guest.run({
      script: `${fio("vdb")} || { cat /tmp/fio; exit 11; }`,
      disks: [disk],
    });
    assertEquals(written.code, 0, written.stdout + written.stderr);
    const changed = `${directory.path}/changed.img`;
    Deno.copyFileSync(disk, changed);
    flipByte(changed, DISK_BYTES - 12345);
    const verify = (name: string) => fio(name, "--verify_only");
    const script = `${verify("vdb")} || { cat /tmp/fio; exit 12; }; ` +
      `${verify("vdc")} && exit 13; cat /tmp/fio; exit 0`;
    const verified = await guest.run({ script, disks: [`${disk},ro`, `${changed},ro`] });
    assertEquals(verified.code, 0, verified.stdout + verified.stderr);
    assertMatch(verified.stdout, /verify failed/);
  },
);

function flipByte(path: string, offset: number): void {
  using file = Deno.openSync(path, { read: true, write: true });
  const byte = new Uint8Array(1);
  file.seekSync(offset, Deno.SeekMode.Start);
  file.readSync(byte);
  file.seekSync(offset, Deno.SeekMode.Start);
  file.writeSync(byte.map((value) => value ^ 1));
}
