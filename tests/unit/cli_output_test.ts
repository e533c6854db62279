import { assertEquals, assertStringIncludes } from "../../src/std/assert.ts";
import { barLine } from "../../src/cli/build_progress.ts";
import { findingsText } from "../../src/cli/doctor.ts";
import { ProblemsFound, problemsOf, problemsText } from "../../src/cli/errors.ts";
import {
  descriptorFinding,
  memoryFinding,
  ringZeroFinding,
  toolFinding,
} from "../../src/cli/host_checks.ts";
import { scanKernel } from "../../src/cli/kernel_marks.ts";
import { StopRequest } from "../../src/cli/stop_request.ts";
import { KvmError } from "../../src/kvm/kvm_error.ts";

const PLAIN = { json: false, verbose: false };

Deno.test("a KVM error reads as the contract says", () => {
  const [first, second] = problemsText(problemsOf(new KvmError("open /dev/kvm", 13)), PLAIN)
    .split("\n");
  assertEquals(first, "error: cannot open /dev/kvm: permission denied [KVM_EACCES]");
  assertStringIncludes(
    second ?? "",
    "hint: join the group that owns it: sudo usermod -aG kvm $USER",
  );
});

Deno.test("only verbose shows stack traces", () => {
  const problems = problemsOf(new TypeError("Oh no"));
  assertEquals(problemsText(problems, PLAIN).includes("at "), false);
  assertStringIncludes(problemsText(problems, PLAIN), "error: oh no [INTERNAL_ERROR]\nhint: ");
  assertStringIncludes(
    problemsText(problems, { json: false, verbose: true }),
    "cli_output_test.ts",
  );
});

Deno.test("names keep their capitals", () => {
  const problems = problemsOf(new KvmError("KVM_CREATE_VM", 12));
  assertStringIncludes(problemsText(problems, PLAIN), "error: KVM_CREATE_VM failed: out of memory");
  assertStringIncludes(
    problemsText(problemsOf(new Error("I/O failed")), PLAIN),
    "error: I/O failed",
  );
  assertStringIncludes(
    problemsText(problemsOf("thrown text"), PLAIN),
    "error: thrown text [INTERN",
  );
});

Deno.test("errors as JSON are one object", () => {
  const found = new ProblemsFound([
    { field: "--mem", code: "A", message: "Cannot a", hint: "h" },
    { field: "", code: "B", message: "Cannot b" },
  ]);
  assertEquals(JSON.parse(problemsText(problemsOf(found), { json: true, verbose: true })), {
    errors: [
      { code: "A", message: "cannot a", hint: "h", field: "--mem" },
      { code: "B", message: "cannot b" },
    ],
  });
});

Deno.test("doctor tells hardware from emulation", () => {
  const cpuinfo = "processor\t: 0\nflags\t\t: fpu vmx sse\n";
  assertEquals(ringZeroFinding(cpuinfo, false).state, "ok");
  assertEquals(ringZeroFinding(cpuinfo, true).state, "warn");
  assertEquals(ringZeroFinding("flags\t\t: fpu\nvmx flags\t: x\n", false).state, "warn");
  assertEquals(ringZeroFinding("", false).state, "warn");
});

Deno.test("doctor reads memory and limits", () => {
  assertEquals(memoryFinding("MemAvailable:   1048576 kB\n").detail, "1024 MiB available");
  assertEquals(memoryFinding("MemAvailable:   104857 kB\n").state, "warn");
  assertEquals(memoryFinding("").state, "warn");
  const limits = (soft: string) =>
    `Max open files            ${soft}               4096     files\n`;
  assertEquals(descriptorFinding(limits("1024")).state, "ok");
  assertEquals(descriptorFinding(limits("unlimited")).state, "ok");
  assertEquals(descriptorFinding(limits("64")).state, "warn");
  assertEquals(descriptorFinding("").state, "warn");
});

Deno.test("doctor names the packages of missing tools once each", () => {
  const { hint } = toolFinding([["mke2fs", "e2fsprogs"], ["debugfs", "e2fsprogs"], ["bc", "bc"]]);
  assertEquals(hint, "on Debian and Ubuntu: sudo apt-get install e2fsprogs bc");
  assertEquals(toolFinding([]).state, "ok");
});

Deno.test("doctor ends with a verdict", () => {
  const ok = { state: "ok", subject: "a", detail: "b" } as const;
  const fail = { state: "fail", subject: "c", detail: "d", hint: "e" } as const;
  assertEquals(findingsText([ok], false).split("\n").at(-1), "Machines can run here");
  const lines = findingsText([ok, fail], false).split("\n");
  assertEquals(lines[1], `fail  ${"c".padEnd(20)}d`);
  assertEquals(lines[2]?.trim(), "hint: e");
  assertEquals(lines.at(-1), "Machines cannot run here: 1 of 2 checks failed");
});

Deno.test("the progress bar fits its window", () => {
  assertEquals(
    barLine("compile", 0.5, 65, 80),
    "default guest [############------------]  50% 1:05 compile",
  );
  assertEquals(barLine("a very long stage name", 2, 0, 40).length, 39);
});

Deno.test("kernel marks are found across pieces, and not looked for in compressed images", () => {
  const bytes = new Uint8Array(3 << 20);
  bytes.set(new TextEncoder().encode("virtio_mmio.device\0"), (1 << 20) - 5);
  bytes.set(new TextEncoder().encode("virtio_blk\0"), (2 << 20) + 100);
  const source = {
    size: bytes.length,
    name: "k",
    read: (at: number, into: Uint8Array) => into.set(bytes.subarray(at, at + into.length)),
  };
  assertEquals(scanKernel(source, "elf64"), {
    readable: true,
    discovery: ["cmdline"],
    drivers: ["virtio_blk"],
  });
  assertEquals(scanKernel(source, "bzimage").readable, false);
});

Deno.test("the first wish to stop counts", () => {
  const stop = new StopRequest();
  stop.request({ kind: "quit" });
  stop.request({ kind: "signal", signal: "SIGINT" });
  assertEquals(stop.cause, { kind: "quit" });
  assertEquals(stop.signal.reason, { kind: "quit" });
});
