/** What guest RAM is made of, and what a kernel finds in it besides itself. Needs no KVM. */
import { checkConfig } from "../../src/machine/check.ts";
import { bootMemory, mapRam, viewRam } from "../../src/machine/guest_ram.ts";
import { loadImages } from "../../src/machine/images.ts";
import { planMachine } from "../../src/machine/plan.ts";
import { gpa, type GuestMemory, heapGuestMemory } from "../../src/memory/guest_memory.ts";
import { assertEquals, assertMatch, assertNotEquals } from "../../src/std/assert.ts";
import { tinyConfig } from "../support/kvm.ts";

const MIB = 2 ** 20;
const THP = "/sys/kernel/mm/transparent_hugepage/enabled";

const withoutHugePages = !exists(THP);
if (withoutHugePages) console.log("ignored: this kernel has no transparent huge pages");

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

Deno.test({
  name: "RAM begins where a huge page can, and asks for them",
  ignore: withoutHugePages,
  fn: () => {
    const { mapping, layout } = mapRam([{ base: 0, size: 16 * MIB }]);
    try {
      assertEquals(layout.regions[0]?.hostAddress, mapping.address);
      assertEquals(mapping.address % (2 * MIB), 0);
      assertMatch(flagsOfMapping(mapping.address), /\bhg\b/);
    } finally {
      mapping.unmap();
    }
  },
});

Deno.test("what a loader writes devices see, in every region and up to its end", () => {
  const [low, high] = [{ base: 0, size: 2 * MIB }, { base: 2 ** 32, size: 2 * MIB }];
  const { mapping, layout } = mapRam([low, high]);
  try {
    const loader = bootMemory(layout);
    loader.write(gpa(low.size - 1), Uint8Array.of(7));
    loader.view(gpa(high.base + high.size - 2), 2).set([8, 9]);
    assertEquals(loader.view(gpa(high.base + high.size), 0).length, 0);
    const devices = viewRam(layout);
    assertEquals([...devices.view(gpa(low.size - 2), 2)], [0, 7]);
    assertEquals([...devices.view(gpa(high.base), 2)], [0, 0]);
    assertEquals([...devices.view(gpa(high.base + high.size - 2), 2)], [8, 9]);
  } finally {
    mapping.unmap();
  }
});

/** VmFlags of the mapping that begins at `address` (proc(5), smaps). */
function flagsOfMapping(address: number): string {
  const smaps = Deno.readTextFileSync("/proc/self/smaps");
  const from = smaps.search(new RegExp(`^0*${address.toString(16)}-`, "m"));
  return /^VmFlags: (.*)$/m.exec(smaps.slice(from))?.[1] ?? "";
}

/** setup_data of type 9 (SETUP_RNG_SEED), found through the zero page at 0x7000 + 0x250. */
function rngSeed(memory: GuestMemory): string {
  for (let at = memory.getU32(gpa(0x7250)); at !== 0; at = memory.getU32(gpa(at))) {
    if (memory.getU32(gpa(at + 8)) !== 9) continue;
    return memory.view(gpa(at + 16), memory.getU32(gpa(at + 12))).toHex();
  }
  return "";
}

Deno.test("every boot through the Linux entry gets a random seed of its own", async () => {
  const plan = planMachine({ ...await tinyConfig({ words: "" }), discovery: "fdt" });
  const seeds = [0, 1].map(() => {
    const memory = heapGuestMemory(plan.ram);
    loadImages(plan, memory);
    return rngSeed(memory);
  });
  assertMatch(seeds[0] ?? "", /^[0-9a-f]{64}$/);
  assertNotEquals(seeds[0], seeds[1]);
});

Deno.test("more memory than the host has is refused before anything is opened", async () => {
  const hostMib = Math.floor(Deno.systemMemoryInfo().total / MIB);
  const config = await tinyConfig({ words: "" });
  assertEquals(checkConfig({ ...config, memoryMib: hostMib }), []);
  const problems = checkConfig({ ...config, memoryMib: hostMib + 1 });
  assertEquals(problems.map(({ field, code }) => [field, code]), [["--mem", "MEMORY_HOST"]]);
});
