import { assertEquals, assertStringIncludes, assertThrows } from "../../src/std/assert.ts";
import { problemsOf } from "../../src/cli/errors.ts";
import { guestFinding, toolFinding } from "../../src/cli/guest_checks.ts";
import { guestChoice } from "../../src/guest/guest_choice.ts";
import { ringZeroFinding } from "../../src/cli/host_checks.ts";
import { ringZero } from "../../src/guest/ring_zero.ts";
import { ringZeroWarning } from "../../src/cli/ring_zero.ts";

const INTEL = "processor\t: 0\nflags\t\t: fpu vmx sse\n";
const AMD = "processor\t: 0\nflags\t\t: fpu svm sse\n";
const NEITHER = "processor\t: 0\nflags\t\t: fpu sse\nvmx flags\t: vnmi\n";

Deno.test("ring 0 runs in hardware where the processor can and KVM does not emulate it", () => {
  assertEquals(ringZero(INTEL, false), { by: "hardware", flag: "vmx" });
  assertEquals(ringZero(AMD, false), { by: "hardware", flag: "svm" });
  assertEquals(ringZero(INTEL, true), { by: "emulated" });
  assertEquals(ringZero(NEITHER, true), { by: "emulated" });
  assertEquals(ringZero(NEITHER, false), { by: "unknown" });
  assertEquals(ringZero("", false), { by: "unknown" });
});

Deno.test("doctor tells hardware from emulation", () => {
  const finding = (cpuinfo: string, pvm: boolean, opens = true) =>
    ringZeroFinding(ringZero(cpuinfo, pvm), opens);
  assertEquals(finding(INTEL, false).state, "ok");
  assertEquals(finding(INTEL, true).state, "warn");
  assertEquals(finding(NEITHER, false).state, "warn");
  assertStringIncludes(finding(NEITHER, true).detail, "emulated by KVM");
  assertStringIncludes(finding(NEITHER, true, false).detail, "offers no KVM here");
});

Deno.test("a stock kernel is the default only where ring 0 runs in hardware", () => {
  assertEquals(guestChoice(undefined, ringZero(AMD, false)), {
    kind: "stock",
    reason: "since ring 0 runs in hardware (svm)",
  });
  assertEquals(guestChoice(undefined, ringZero(AMD, true)).kind, "built");
  assertEquals(guestChoice("", ringZero(NEITHER, false)).kind, "built");
});

Deno.test("DINOVISOR_GUEST decides, and takes nothing else", () => {
  assertEquals(guestChoice("built", ringZero(INTEL, false)), {
    kind: "built",
    reason: "since DINOVISOR_GUEST says so",
  });
  assertEquals(guestChoice("stock", ringZero("", true)).kind, "stock");
  const error = assertThrows(() => guestChoice("Debian", ringZero(INTEL, false)));
  const [problem] = problemsOf(error);
  assertEquals([problem?.field, problem?.code], ["DINOVISOR_GUEST", "GUEST_INVALID"]);
  assertEquals(problem?.message, 'Cannot use DINOVISOR_GUEST "Debian"');
  assertEquals(problem?.hint, "choose from: stock, built");
});

Deno.test("doctor says which default guest, why, and whether it is there", () => {
  const stock = guestChoice(undefined, ringZero(INTEL, false));
  const guest = { name: "Debian 6.1.0-56-cloud-amd64", kernel: "/c/vmlinuz" };
  assertEquals(guestFinding(stock, guest), {
    state: "ok",
    subject: "default guest",
    detail: "Debian 6.1.0-56-cloud-amd64, since ring 0 runs in hardware (vmx): /c/vmlinuz",
  });
  const missing = guestFinding(stock, undefined);
  assertEquals(missing.state, "warn");
  assertStringIncludes(missing.detail, "since ring 0 runs in hardware (vmx); not downloaded yet");
  assertEquals(missing.hint, "download it now: dinovisor kernel build");
  const built = guestFinding(guestChoice(undefined, ringZero("", true)), undefined);
  assertStringIncludes(built.detail, "our own build, since KVM emulates ring 0; not built yet");
  assertEquals(built.hint, "build it now: dinovisor kernel build");
});

Deno.test("doctor names the packages of missing tools once each", () => {
  const { hint } = toolFinding([["mke2fs", "e2fsprogs"], ["debugfs", "e2fsprogs"], ["bc", "bc"]]);
  assertEquals(hint, "on Debian and Ubuntu: sudo apt-get install e2fsprogs bc");
  assertEquals(toolFinding([]).state, "ok");
});

Deno.test("a distribution kernel where ring 0 is emulated is warned of, and nothing else is", () => {
  const kernel = { kind: "linux", version: "6", features: ["modules"] } as const;
  const small = { ...kernel, features: [] };
  assertStringIncludes(ringZeroWarning({ by: "emulated" }, kernel)?.message ?? "", "do not boot");
  assertEquals(ringZeroWarning({ by: "emulated" }, small), undefined);
  assertEquals(ringZeroWarning({ by: "emulated" }, { kind: "other" }), undefined);
  assertEquals(ringZeroWarning({ by: "hardware", flag: "svm" }, kernel), undefined);
  assertEquals(ringZeroWarning({ by: "unknown" }, kernel), undefined);
});
