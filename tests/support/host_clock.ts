/** What this host's clocks let KVM promise to guests. */

const CLOCKSOURCE = "/sys/devices/system/clocksource/clocksource0";

/** Why time-stamp counters of different vCPUs cannot be compared here; undefined when they can. */
export function unstableTsc(): string | undefined {
  const names = sources("available_clocksource");
  if (names.includes("tsc")) return undefined; // Linux takes an unstable one off this list
  return "the host does not trust its time-stamp counters, so KVM keeps no common one for guests";
}

/** Why kvmclock has no master clock here; undefined when it has. */
export function noMasterClock(): string | undefined {
  const [name] = sources("current_clocksource");
  if (name === "tsc" || name === "hyperv_clocksource_tsc_page") return undefined;
  return `the host's clock is ${name}, not its time-stamp counter, so KVM has no master clock`;
}

function sources(file: string): string[] {
  return Deno.readTextFileSync(`${CLOCKSOURCE}/${file}`).trim().split(" ");
}
