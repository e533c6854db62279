/** What to tell whoever starts a guest that this host's ring 0 cannot run. */
import type { KernelContents } from "../arch/mod.ts";
import type { RingZero } from "../guest/ring_zero.ts";

/** A distribution kernel where KVM emulates ring 0: minutes of silence, then an instruction that KVM does not know. */
export function ringZeroWarning(
  zero: RingZero,
  contents: KernelContents,
): { readonly message: string; readonly hint: string } | undefined {
  const isDistribution = contents.kind === "linux" && contents.features.includes("modules");
  if (zero.by !== "emulated" || !isDistribution) return undefined;
  return {
    message: "KVM emulates guest ring 0 on this host, where distribution kernels do not boot",
    hint: "leave --kernel out for a guest that does, or use a host with VT-x or SVM",
  };
}
