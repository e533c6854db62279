/** Which default guest runs when no kernel is given: a stock kernel where it can, our own where ring 0 is emulated. */
import { GuestChoiceError } from "./errors.ts";
import { hostRingZero, type RingZero } from "./ring_zero.ts";

export const GUEST_KINDS = ["stock", "built"] as const;
/** `stock`: Debian's cloud kernel, downloaded. `built`: our own, compiled on this machine; it boots on every KVM. */
export type GuestKind = (typeof GUEST_KINDS)[number];

export interface GuestChoice {
  readonly kind: GuestKind;
  /** Why, as the end of a sentence: "since ring 0 runs in hardware (svm)". */
  readonly reason: string;
}

const VARIABLE = "DINOVISOR_GUEST";

/** The default guest of this host, or the one that DINOVISOR_GUEST names. Throws GuestChoiceError for other names. */
export function hostGuestChoice(): GuestChoice {
  return guestChoice(Deno.env.get(VARIABLE), hostRingZero());
}

/** The same, from what it depends on. An empty variable counts as none. */
export function guestChoice(wish: string | undefined, zero: RingZero): GuestChoice {
  if (wish) return { kind: guestKind(wish, VARIABLE), reason: `since ${VARIABLE} says so` };
  switch (zero.by) {
    case "hardware":
      return { kind: "stock", reason: `since ring 0 runs in hardware (${zero.flag})` };
    case "emulated":
      return { kind: "built", reason: "since KVM emulates ring 0" };
    case "unknown":
      return { kind: "built", reason: "since nothing tells that ring 0 runs in hardware" };
  }
}

/** Reads a kind of guest, as the value of `field`. Throws GuestChoiceError. */
export function guestKind(text: string, field: string): GuestKind {
  const kind = GUEST_KINDS.find((name) => name === text);
  if (kind !== undefined) return kind;
  throw new GuestChoiceError(
    `Cannot use ${field} "${text}"`,
    field,
    `choose from: ${GUEST_KINDS.join(", ")}`,
  );
}
