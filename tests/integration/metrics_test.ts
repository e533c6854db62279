/** What a machine counts, while it runs and when it has ended: as much as the guest has done. */
import { Machine } from "../../src/machine/machine.ts";
import type { MachineMetrics } from "../../src/machine/metrics.ts";
import { assert, assertEquals, assertGreater, assertLessOrEqual } from "../../src/std/assert.ts";
import { DiskDirectory } from "../support/disk_image.ts";
import { kvmTest, SLOWNESS, tinyConfig, until } from "../support/kvm.ts";

const MIB = 2 ** 20;

function disk({ devices }: MachineMetrics): Readonly<Record<string, number>> {
  return devices.find(({ kind }) => kind === "block")?.counts ?? {};
}

kvmTest(
  "disk requests, exits and memory are counted exactly, also while the guest runs",
  async () => {
    using directory = new DiskDirectory();
    const path = directory.random("disk.img", 4 * MIB, 1);
    await using machine = await Machine.create(
      await tinyConfig({
        words: "test=blk-write count=2048 bs=4K qd=8 flush sum hang",
        devices: [{ kind: "block", path, readOnly: false, direct: false }],
      }),
    );
    const before = machine.metrics();
    assertEquals(before.exits, { mmio: 0, pio: 0, other: 0 });
    assertEquals(disk(before), {
      readBytes: 0,
      writeBytes: 0,
      reads: 0,
      writes: 0,
      flushes: 0,
      failures: 0,
    });
    machine.start();
    await until("the guest has read all", () => disk(machine.metrics()).readBytes === 4 * MIB);
    const now = machine.metrics();
    assertEquals(disk(now), {
      readBytes: 4 * MIB,
      writeBytes: MIB,
      reads: 1024,
      writes: 256,
      flushes: 1,
      failures: 0,
    });
    assertGreater(now.exits.mmio, 0); // the guest is still there: they are not told at its end only
    assertEquals(now.memory.total, 64 * MIB);
    assertGreater(now.memory.resident, MIB / 4);
    assertLessOrEqual(now.memory.resident, 64 * MIB);
    await machine.stop();
    const after = machine.metrics();
    assertEquals(disk(after), disk(now));
    assertEquals(after.memory.resident, 0);
    const { exits } = await machine.exited;
    assertEquals(after.exits, exits);
    assert(exits.mmio >= now.exits.mmio);
  },
);

/** 20 ms and more; on a slow host longer than the first request, in which everything is compiled. */
const RAMP_CYCLES = 50_000_000 * SLOWNESS ** 2;

kvmTest("the disk benchmark counts what comes after its ramp, and no more", async () => {
  using directory = new DiskDirectory();
  const path = directory.random("disk.img", MIB, 1);
  const serial = `${path}.serial`;
  await using machine = await Machine.create(
    await tinyConfig({
      words: `test=blk-bench qd=4 ops=1000 ramp=${RAMP_CYCLES}`,
      devices: [{ kind: "block", path, readOnly: true, direct: false }],
      console: { mode: "file", path: serial },
    }),
  );
  machine.start();
  await machine.exited;
  const { ops, bytes } = JSON.parse(Deno.readTextFileSync(serial));
  assertEquals(bytes, ops * 4096);
  assert(ops >= 1000 && ops < 1004, `${ops}`); // those that finish with the last one count
  assertGreater(disk(machine.metrics())["reads"] ?? 0, ops + 100); // of the ramp
});
