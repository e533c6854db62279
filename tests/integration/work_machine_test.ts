/** The machine as a guest's kernel sees it: its devices, its memory, its CPUs, and how it ends. */
import {
  assertEquals,
  assertGreater,
  assertLessOrEqual,
  assertMatch,
} from "../../src/std/assert.ts";
import { Machine } from "../../src/machine/machine.ts";
import { DiskDirectory } from "../support/disk_image.ts";
import { byHost, HOST_KIND } from "../support/host_kind.ts";
import { until } from "../support/kvm.ts";
import { guestTest, OUTPUT_MS } from "../support/linux_guests.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

guestTest(
  "every virtio device has its driver, the disk its serial number and lock",
  async (guest) => {
    using directory = new DiskDirectory();
    const [one, two] = [directory.empty("1.img", 3 * MIB), directory.empty("2.img", 5 * MIB)];
    const script = [
      "cd /sys/bus/virtio/devices",
      'for d in *; do echo "driver $(basename $(readlink -f $d/driver))"; done',
      "cd /sys/block; for d in vda vdb vdc; do echo $d $(cat $d/serial) $(cat $d/ro $d/size); done",
      "tty",
    ].join("; ");
    const { code, stdout, stderr } = await guest.run({
      script,
      disks: [`${one},id=first`, `${two},ro,id=second`],
      flags: ["--net", `listen=${directory.path}/lan`, "--vsock", "cid=5", "--rng", "on"],
    });
    assertEquals(code, 0, stdout + stderr);
    const lines = stdout.trimEnd().split("\n");
    const drivers = lines.filter((line) => line.startsWith("driver ")).sort();
    assertEquals(drivers, [
      ...Array(3).fill("driver virtio_blk"),
      "driver virtio_console",
      "driver virtio_net",
      "driver virtio_rng",
      "driver vmw_vsock_virtio_transport",
    ]);
    assertMatch(lines.at(-4) ?? "", /^vda root 1 \d+$/);
    assertEquals(lines.slice(-3), [
      `vdb first 0 ${3 * MIB / 512}`,
      `vdc second 1 ${5 * MIB / 512}`,
      "/dev/hvc0",
    ]);
  },
);

for (const command of ["poweroff", "reboot"]) {
  guestTest(`${command} ends the run with 0 and says so in the report`, async (guest) => {
    using directory = new DiskDirectory();
    const report = `${directory.path}/report.json`;
    const script = `echo bye; ${command} -f; exit 9`;
    const { code, stdout, stderr } = await guest.run({ script, report });
    assertEquals({ code, stderr }, { code: 0, stderr: "" }, stdout);
    assertMatch(stdout, /^bye\r?\n$/m);
    const { reason } = JSON.parse(Deno.readTextFileSync(report));
    assertEquals(reason, command);
  }, { parts: command === "poweroff" ? ["power-off"] : [] });
}

guestTest("a guest whose power button is pressed ends in order", async (guest) => {
  using directory = new DiskDirectory();
  const output = `${directory.path}/console`;
  const script = "trap 'echo told; exit' TERM; echo waiting; while :; do sleep 1; done";
  await using machine = await Machine.create(guest.config({ script, vcpus: 2 }, output));
  machine.start();
  const text = () => Deno.readTextFileSync(output);
  await until("the script runs", () => text().includes("waiting"), OUTPUT_MS);
  const { reason, detail } = await machine.shutdown({ deadlineMs: OUTPUT_MS });
  assertEquals({ reason, detail }, { reason: "poweroff", detail: undefined });
  assertMatch(text(), /^told\r?$/m);
}, { parts: ["power button"], vcpus: 2 });

/** The machine's memory goes up to 3 GiB, and on at 4 GiB (src/arch/x86_64/memory_map.ts). */
const HOLE_START = 3 * GIB;
const HOLE_END = 4 * GIB;
/** What a kernel keeps for itself; page structures and the like take up to a thirtieth of the rest. */
const KERNEL_MIB = 48;
/** What to fill, in MiB: all but a fifth of what is there, or as much as the patience lasts. */
const FILL = byHost({
  hardware: "$((AVAILABLE * 4 / 5))",
  nested: "$((AVAILABLE * 4 / 5))",
  emulated: "1",
});

for (const memoryMib of [64, 3 * 1024, 5 * 1024]) {
  guestTest(`${memoryMib} MiB of memory are there and hold what is written`, async (guest) => {
    const script = [
      "grep 'System RAM' /proc/iomem; grep MemTotal /proc/meminfo",
      "AVAILABLE=$(($(sed -n 's/MemAvailable: *//;T;s/ kB//;p' /proc/meminfo) / 1024))",
      `work memory ${FILL}`,
    ].join("; ");
    const { code, stdout, stderr } = await guest.run({ script, memoryMib });
    assertEquals(code, 0, stdout + stderr);
    const total = Number(/MemTotal: *(\d+) kB/.exec(stdout)?.[1]) / 1024;
    assertLessOrEqual(total, memoryMib);
    assertGreater(total, memoryMib * 29 / 30 - KERNEL_MIB);
    assertRamRanges(stdout, memoryMib * MIB);
    const [, low, high] = (/low=(\d+) high=(\d+)/.exec(stdout) ?? []).map(Number);
    assertSides(memoryMib * MIB, low ?? 0, high ?? 0, stdout);
  }, { memoryMib, long: memoryMib === 3 * 1024 && HOST_KIND === "emulated" });
}

/** The kernel's map of System RAM: all of it, in front of the hole and behind it. */
function assertRamRanges(iomem: string, bytes: number): void {
  const ranges = [...iomem.matchAll(/^([0-9a-f]+)-([0-9a-f]+) : System RAM$/gm)]
    .map(([, begin = "", end = ""]) => ({
      begin: parseInt(begin, 16),
      end: parseInt(end, 16) + 1,
    }));
  const size = (part: typeof ranges) => part.reduce((sum, { begin, end }) => sum + end - begin, 0);
  const low = size(ranges.filter(({ end }) => end <= HOLE_START));
  const high = size(ranges.filter(({ begin }) => begin >= HOLE_END));
  const expectedLow = Math.min(bytes, HOLE_START);
  assertLessOrEqual(low, expectedLow, iomem);
  assertGreater(low, expectedLow - 2 * MIB, iomem); // what firmware would keep below 1 MiB
  assertEquals(high, bytes - expectedLow, iomem);
}

/** Linux takes memory above the hole first; who fills most of it gets both. */
function assertSides(bytes: number, low: number, high: number, output: string): void {
  const both = byHost({ hardware: true, nested: true, emulated: false });
  if (bytes > HOLE_START) assertGreater(high, 0, output);
  if (bytes <= HOLE_START || both) assertGreater(low, 0, output);
}

for (const vcpus of [1, 2, 4]) {
  guestTest(`${vcpus} vCPUs work, sleep, and agree on the time`, async (guest) => {
    const script = [
      "echo begin; grep -c ^processor /proc/cpuinfo; cat /sys/devices/system/cpu/online",
      "work cpus 500; grep -E '(LOC|timer)' /proc/interrupts",
    ].join("; ");
    const { code, stdout, stderr } = await guest.run({ script, vcpus });
    assertEquals(code, 0, stdout + stderr);
    const [count, online, ...rest] = stdout.split("begin\n")[1]?.split("\n") ?? [];
    assertEquals({ count, online }, {
      count: `${vcpus}`,
      online: vcpus === 1 ? "0" : `0-${vcpus - 1}`,
    });
    const seen = rest.filter((line) => line.startsWith("cpu=")).map((line) =>
      line.replace(/turns=[1-9]\d*/, "turns=some")
    );
    assertEquals(
      seen,
      Array.from({ length: vcpus }, (_, i) => `cpu=${i} ran_on=${i} turns=some backwards=0`),
    );
    assertTimerInterrupts(rest, vcpus);
  }, { vcpus });
}

/** Every CPU has had interrupts of its local timer, or a lone one those of the timer it shares with nobody. */
function assertTimerInterrupts(lines: readonly string[], vcpus: number): void {
  const counts = lines.filter((line) => /LOC|timer/.test(line))
    .map((line) => (line.match(/ \d+(?= )/g) ?? []).map(Number).slice(0, vcpus));
  for (let cpu = 0; cpu < vcpus; cpu++) {
    const most = Math.max(0, ...counts.map((row) => row[cpu] ?? 0));
    assertGreater(most, 10, `timer interrupts of CPU ${cpu}:\n${lines.join("\n")}`);
  }
}
