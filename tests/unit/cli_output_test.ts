import { assertEquals, assertStringIncludes } from "../../src/std/assert.ts";
import { barLine } from "../../src/cli/build_progress.ts";
import { findingsText } from "../../src/cli/doctor.ts";
import { ProblemsFound, problemsOf, problemsText } from "../../src/cli/errors.ts";
import { descriptorFinding, memoryFinding } from "../../src/cli/host_checks.ts";
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

Deno.test("the first wish to stop counts", () => {
  const stop = new StopRequest();
  stop.request({ kind: "quit" });
  stop.request({ kind: "signal", signal: "SIGINT" });
  assertEquals(stop.cause, { kind: "quit" });
  assertEquals(stop.signal.reason, { kind: "quit" });
});
