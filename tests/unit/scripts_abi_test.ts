import { assertEquals } from "@std/assert";
import {
  type Claim,
  claimsOf,
  compileProblems,
  mismatches,
  probeSource,
  WRONG_CLAIMS,
} from "../../scripts/check_abi.ts";
import { struct, u16, u32, u64 } from "../../src/abi/struct.ts";

/** What gcc says on a 64-bit Linux; stands in for the compiled program. */
const ANSWERS: Readonly<Record<string, bigint>> = {
  "sizeof(struct iovec)": 16n,
  "offsetof(struct iovec, iov_base)": 0n,
  "offsetof(struct iovec, iov_len)": 8n,
  EPOLLIN: 1n,
  "1ULL << VIRTIO_F_VERSION_1": 1n << 32n,
};

function answer(claims: readonly Claim[]): string {
  return claims.map(({ c }) => `${ANSWERS[c]}\n`).join("");
}

Deno.test("abi: a right struct passes, a struct with a wrong field is caught by name", () => {
  const right = claimsOf({ iovec: struct("struct iovec", { iov_base: u64, iov_len: u64 }) });
  assertEquals(mismatches(right.claims, answer(right.claims)), []);
  assertEquals(right.structs, 1);

  const wrong = claimsOf({ iovec: struct("struct iovec", { iov_base: u32, iov_len: u32 }) });
  assertEquals(mismatches(wrong.claims, answer(wrong.claims)), [
    "sizeof iovec: ours 8, C says 16 [sizeof(struct iovec)]",
    "iovec.iov_len: ours 4, C says 8 [offsetof(struct iovec, iov_len)]",
  ]);
});

Deno.test("abi: each of the numbers that are wrong on purpose is caught", () => {
  assertEquals(mismatches(WRONG_CLAIMS, answer(WRONG_CLAIMS)).length, WRONG_CLAIMS.length);
});

Deno.test("abi: a constant, a feature mask and a table of offsets become C expressions", () => {
  const { claims, incomparable, problems } = claimsOf({
    KVM_EXIT_IO: 2,
    KVM_RUN_IO: { direction: 32 },
    KVM_RUN_INTERNAL: { ndata: 36, insn_size: 48 },
    VIRTIO_F_VERSION_1: 1n << 32n,
    VIRTIO_INT_VRING: 1,
    helper(): void {},
  });
  assertEquals(claims, [
    { name: "KVM_EXIT_IO", ours: 2n, c: "KVM_EXIT_IO" },
    { name: "KVM_RUN_IO.direction", ours: 32n, c: "offsetof(struct kvm_run, io.direction)" },
    { name: "KVM_RUN_INTERNAL.ndata", ours: 36n, c: "offsetof(struct kvm_run, internal.ndata)" },
    {
      name: "KVM_RUN_INTERNAL.insn_size",
      ours: 48n,
      c: "offsetof(struct kvm_run, emulation_failure.insn_size)",
    },
    { name: "VIRTIO_F_VERSION_1", ours: 1n << 32n, c: "1ULL << (VIRTIO_F_VERSION_1)" },
    { name: "VIRTIO_INT_VRING", ours: 1n, c: "VIRTIO_MMIO_INT_VRING" },
  ]);
  assertEquals(incomparable, []);
  assertEquals(problems, []);
});

Deno.test("abi: nothing is skipped silently", () => {
  const { claims, incomparable, problems } = claimsOf({
    VRING_MAX_SIZE: 32768,
    MADE_UP_TABLE: { a: 1 },
    MADE_UP_TEXT: "x",
    MADE_UP_STRUCT: struct("", { a: u16 }),
    MADE_UP_FRACTION: 0.5,
  });
  assertEquals(claims, []);
  assertEquals(incomparable.map(({ name }) => name), ["VRING_MAX_SIZE"]);
  assertEquals(problems.map((problem) => problem.split(":")[0]), [
    "MADE_UP_TABLE",
    "MADE_UP_TEXT",
    "MADE_UP_STRUCT",
    "MADE_UP_FRACTION",
  ]);
});

Deno.test("abi: a name C does not know is reported once, and under our name", () => {
  const { claims } = claimsOf({ KVM_EXIT_IO: 2, KVM_EXIT_MADE_UP: 99 });
  const stderr = [
    "claim: In function 'main':",
    "claim:2:43: error: 'KVM_EXIT_MADE_UP' undeclared (first use in this function)",
    "claim:2:43: error: again",
  ].join("\n");
  const problems = compileProblems(claims, stderr);
  assertEquals(problems.length, 1);
  assertEquals(problems[0]?.startsWith("KVM_EXIT_MADE_UP: C does not know"), true);
  assertEquals(probeSource(claims).includes('#line 2 "claim"'), true);
});

Deno.test("abi: a probe that prints too little is a problem, not a pass", () => {
  const { claims } = claimsOf({ KVM_EXIT_IO: 2, KVM_EXIT_HLT: 5 });
  assertEquals(mismatches(claims, "2\n"), ["the probe printed 1 values for 2 numbers"]);
});
