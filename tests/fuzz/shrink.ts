/** Makes a failing case small: drops steps for as long as it goes on failing. */
import type { FuzzCase, Step } from "./steps.ts";

/** `fails` runs a case. The result fails, and each of its steps is needed for that. */
export function shrink(found: FuzzCase, fails: (smaller: FuzzCase) => boolean): FuzzCase {
  let steps: readonly Step[] = found.steps;
  for (let chunk = Math.ceil(steps.length / 2); chunk >= 1;) {
    let dropped = false;
    for (let at = 0; at < steps.length;) {
      const fewer = [...steps.slice(0, at), ...steps.slice(at + chunk)];
      if (fails({ ...found, steps: fewer })) {
        steps = fewer;
        dropped = true;
      } else at += chunk;
    }
    if (chunk === 1 && !dropped) break;
    if (!dropped || chunk > steps.length) chunk = Math.max(1, Math.floor(chunk / 2));
  }
  return { ...found, steps };
}
