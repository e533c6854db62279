/** Whether bytes look random, as far as a single run can say. */
import { assert } from "../../src/std/assert.ts";

/** The monobit test at six standard deviations: one run in 10^9 of good numbers fails it. */
export function assertBalanced(ones: number, bytes: number): void {
  const bits = bytes * 8;
  const deviation = Math.abs(ones - bits / 2) / (Math.sqrt(bits) / 2);
  assert(deviation < 6, `${ones} of ${bits} bits are 1: ${deviation} standard deviations off`);
}
