/** Random numbers as guests get them. */
import { assert, assertEquals } from "../../src/std/assert.ts";
import { runTinyCli } from "../support/cli_process.ts";
import { assertBalanced } from "../support/balance.ts";
import { DiskDirectory } from "../support/disk_image.ts";
import { kvmTest, SLOWNESS } from "../support/kvm.ts";

const MIB = 2 ** 20;

/** `NAME NUMBER` lines as a record. */
function fieldsOf(text: string): Record<string, number> {
  return Object.fromEntries(
    text.trimEnd().split("\n").map((line) => line.split(" ")).map(([name, n]) => [name, Number(n)]),
  );
}

for (const blockSize of [1, 64, 4096, MIB]) {
  kvmTest(`random bytes, ${blockSize} at a time, are there and balanced`, async () => {
    const total = Math.min(2 * MIB, blockSize * 2000);
    const words = `test=rng bytes=${total} bs=${blockSize}`;
    const { code, stdout, stderr } = await runTinyCli(words, ["--rng", "on"]);
    assertEquals(code, 0, stderr);
    const { bytes = 0, ones = 0 } = fieldsOf(stdout);
    assert(bytes >= total, stdout);
    assertBalanced(ones, bytes);
  });
}

kvmTest("rate= holds over seconds, and what was saved up is one second's worth", async () => {
  const started = performance.now();
  const words = "test=rng bytes=40000 bs=512";
  const { code } = await runTinyCli(words, ["--rng", "on,rate=10000"]);
  const seconds = (performance.now() - started) / 1000;
  assertEquals(code, 0);
  assert(seconds >= 2.9, `40000 bytes at 10000 a second, 10000 of them at once, took ${seconds} s`);
  assert(seconds < 10 * SLOWNESS, `${seconds} s`);
});

kvmTest(
  "a guest that wants all the random numbers there are does not starve its disk",
  async () => {
    using directory = new DiskDirectory();
    const disk = directory.random("disk.img", MIB, 1);
    const started = performance.now();
    const { code, stdout } = await runTinyCli("test=rng-greedy ops=2000", [
      ...["--disk", disk, "--rng", "on"],
    ], { limitMs: 60_000 * SLOWNESS });
    const ms = performance.now() - started;
    assertEquals(code, 0);
    assert((fieldsOf(stdout)["buffers"] ?? 0) > 100, `the reader was greedy: ${stdout}`);
    // Without the cap on one answer every read waits for megabytes of them: minutes.
    assert(ms < 20_000 * SLOWNESS, `2000 reads beside it took ${ms} ms`);
  },
);

kvmTest("without --rng, and with --rng none, there is no such device", async () => {
  for (const flags of [[], ["--rng", "none"]]) {
    const { code, stdout } = await runTinyCli("test=rng", flags);
    assertEquals({ code, stdout }, { code: 1, stdout: "guest failed: no such virtio device\n" });
  }
});
