/**
 * Who runs a guest's kernel mode on this host. Decides which default guest it gets; `doctor` tells it to people.
 */

/** `hardware`: the processor, by the extension that `flag` names. `emulated`: KVM, one instruction at a time. */
export type RingZero =
  | { readonly by: "hardware"; readonly flag: string }
  | { readonly by: "emulated" }
  | { readonly by: "unknown" };

/** From the text of /proc/cpuinfo, and whether the module kvm_pvm is loaded, which emulates it on any processor. */
export function ringZero(cpuinfo: string, pvm: boolean): RingZero {
  if (pvm) return { by: "emulated" };
  const flag = /^flags\s*:.*\b(vmx|svm)\b/m.exec(cpuinfo)?.[1];
  return flag === undefined ? { by: "unknown" } : { by: "hardware", flag };
}

/** Of this host. */
export function hostRingZero(): RingZero {
  return ringZero(readText("/proc/cpuinfo"), exists("/sys/module/kvm_pvm"));
}

function readText(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}
