/** From a vCPU's last exit to the machine's end. */
import type { VcpuExit } from "../../src/ipc/messages.ts";
import { type Outcome, outcomeOf } from "../../src/machine/exit.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";

type Ended = Exclude<VcpuExit, { kind: "asked" }>;

const ENDS: readonly (readonly [name: string, exit: Ended, outcome: Outcome])[] = [
  ["a power-off is one", { kind: "poweroff" }, { reason: "poweroff" }],
  ["a reset is a reboot", { kind: "reset" }, { reason: "reboot" }],
  [
    "status 0 in the exit register is kept",
    { kind: "exit-register", status: 0 },
    { reason: "exit-register", status: 0 },
  ],
  [
    "status 255 in the exit register is kept",
    { kind: "exit-register", status: 255 },
    { reason: "exit-register", status: 255 },
  ],
  [
    "a triple fault on purpose is a reboot",
    { kind: "triple-fault", deliberate: true },
    { reason: "reboot" },
  ],
  [
    "a KVM error keeps its hint",
    { kind: "kvm-error", detail: "why", hint: "do" },
    { reason: "kvm-error", detail: "why", hint: "do" },
  ],
  [
    "a KVM error without a hint has none",
    { kind: "kvm-error", detail: "why" },
    { reason: "kvm-error", detail: "why" },
  ],
];

for (const [name, exit, outcome] of ENDS) {
  Deno.test(name, () => {
    assertEquals(outcomeOf(exit), outcome);
    assertEquals(Object.keys(outcomeOf(exit)).sort(), Object.keys(outcome).sort());
  });
}

Deno.test("a triple fault by accident says so", () => {
  const outcome = outcomeOf({ kind: "triple-fault", deliberate: false });
  assertEquals(outcome.reason, "triple-fault");
  assert(outcome.detail?.includes("double fault"));
});
