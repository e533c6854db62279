/** Several vCPUs: started by INIT and SIPI, told who they are, in step, and at the devices all at once. */
import { assertEquals, assertLessOrEqual, assertMatch } from "../../src/std/assert.ts";
import { runTinyCli } from "../support/cli_process.ts";
import { blockSum, DiskDirectory } from "../support/disk_image.ts";
import { noMasterClock, unstableTsc } from "../support/host_clock.ts";
import { processorMs } from "../support/host_state.ts";
import { delay, kvmTest, tinyConfig, tinyReport } from "../support/kvm.ts";
import { Machine } from "../../src/machine/machine.ts";

/** What the guest says of processor `cpu` of `count`: its APIC's id, and CPUID leaf 1. */
function identity(cpu: number, count: number): string {
  return `cpu ${cpu} apic ${cpu} initial ${cpu} reserved ${2 ** Math.ceil(Math.log2(count))}`;
}

for (const count of [1, 2, 3, 6, 32]) {
  kvmTest(`${count} processors start, each with its own APIC id and one topology`, async () => {
    const { exit, text } = await tinyReport("test=smp-start", [], count);
    assertEquals(exit.status, 0, text);
    const lines = text.trimEnd().split("\n");
    assertEquals(lines.length, count);
    const bits = Math.ceil(Math.log2(count));
    lines.forEach((line, cpu) => {
      // Old processors have no leaf 0xb; then the guest leaves its words out.
      const [first, leafB] = line.split(" x2apic ");
      assertEquals(first, identity(cpu, count));
      if (leafB !== undefined) assertEquals(leafB, `${cpu} bits ${bits} logical ${count}`);
    });
  });
}

for (const [count, rounds] of [[2, 100_000], [4, 50_000], [32, 50]] as const) {
  kvmTest(`${count} processors share memory and locks: ${rounds} additions each`, async () => {
    const { text } = await tinyReport(`test=smp-count count=${rounds}`, [], count);
    assertEquals(text, `atomic ${count * rounds}\nlocked ${count * rounds}\n`);
  });
}

for (const count of [2, 4]) {
  kvmTest(`the time-stamp counters of ${count} processors never go backwards`, async () => {
    const { text } = await tinyReport("test=smp-tsc count=300000", [], count);
    assertEquals(text, "backwards 0\n");
  }, { ignore: unstableTsc() });

  kvmTest(
    `kvmclock is one master clock for ${count} processors, and never goes backwards`,
    async () => {
      const { text } = await tinyReport("test=smp-clock count=100000", [], count);
      assertEquals(text, `stable ${count}\nbackwards 0\n`);
    },
    { ignore: noMasterClock() },
  );
}

for (const [count, rounds] of [[1, 200], [2, 200], [4, 100]] as const) {
  kvmTest(
    `${count} processors at registers, serial port and disk at once get all of it right`,
    async () => {
      using directory = new DiskDirectory();
      const bytes = 2 ** 20;
      const path = directory.random("disk.img", bytes, 5);
      const words = `test=smp-work mmio serial blk count=${rounds}`;
      const disk = { kind: "block", path, readOnly: true, direct: false } as const;
      const { exit, text } = await tinyReport(words, [disk], count);
      assertEquals(exit.status, 0, text);
      const [letters, ...results] = text.trimEnd().split("\n");
      const expected = Array.from({ length: count }, (_, cpu) => "ABCD".charAt(cpu).repeat(rounds));
      assertEquals([...letters ?? ""].sort().join(""), expected.join(""));
      assertEquals(results, ["wrong 0", `sum ${blockSum(path)} bytes ${bytes}`]);
    },
  );
}

for (const [count, rounds] of [[2, 10_000], [4, 3000]] as const) {
  kvmTest(`${count} processors write to the serial port at once, and no byte is lost`, async () => {
    const { text } = await tinyReport(`test=smp-work serial count=${rounds}`, [], count);
    const counts = [..."ABCD"].slice(0, count).map((letter) => text.split(letter).length - 1);
    assertEquals(counts, counts.map(() => rounds));
    assertEquals(text.length, count * rounds + "\nwrong 0\n".length);
  });
}

const ENDINGS = [
  { end: "exit", status: 41, code: 41, error: /^$/ },
  { end: "i8042", status: 0, code: 0, error: /^$/ },
  { end: "triple-full", status: 0, code: 255, error: /triple fault.*\[GUEST_TRIPLE_FAULT\]/ },
  { end: "fault", status: 0, code: 99, error: /^$/ },
] as const;
for (const { end, status, code, error } of ENDINGS) {
  for (const others of ["", " halt"]) {
    kvmTest(
      `one processor's end=${end} ends the machine while others ${others || "spin"}`,
      async () => {
        const words = `test=smp-end on=2 end=${end} status=${status}${others}`;
        const result = await runTinyCli(words, ["-c", "4"]);
        assertEquals(result.code, code, result.stderr);
        assertMatch(result.stderr, error);
      },
    );
  }
}

const IDLE = [
  { what: "never started", words: "test=idle end=hlt" },
  { what: "started and halted", words: "test=smp-end on=99 halt" },
];
for (const { what, words } of IDLE) {
  kvmTest(`32 processors, all but one ${what}, cost the host no time`, async () => {
    await using machine = await Machine.create(await tinyConfig({ words, vcpus: 32 }));
    machine.start();
    await delay(1500); // the guest is through with starting them
    const before = processorMs();
    await delay(500);
    assertLessOrEqual(processorMs() - before, 100);
    assertEquals((await machine.stop()).reason, "stopped");
  });
}
