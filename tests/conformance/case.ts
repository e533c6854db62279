/** What a conformance case is. */
import type { DeviceRow, TestStand } from "../support/test_stand.ts";

/** One item of the checklist, run against every device behind every transport. */
export interface Case {
  /** Ids of checklist.md or hostile-driver.md. */
  readonly id: string;
  /** What must come out, as a sentence. */
  readonly outcome: string;
  readonly run: (stand: TestStand) => void;
  /** Why it says nothing about this device, or undefined when it does. */
  readonly notApplicable?: (row: DeviceRow) => string | undefined;
}

/** For cases that look at what the device wrote into guest memory. */
export function needsAnswers(row: DeviceRow): string | undefined {
  return row.answers ? undefined : "its requests have no writable part";
}

/** For cases with a backend that does not answer. */
export function needsStall(row: DeviceRow): string | undefined {
  return row.neverStalls;
}

/** For cases with several requests in flight. */
export function needsDepth(row: DeviceRow): string | undefined {
  return row.holdsMany
    ? undefined
    : "a stalled backend leaves the ring full, not requests in flight";
}
