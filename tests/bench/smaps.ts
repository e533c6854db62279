/** The memory of a monitor told from that of its guests, by /proc/PID/smaps. Used by `held.ts`. */

/** How much larger than the guest's RAM its mapping may be: alignment, and neighbours that merged with it. */
const SLACK_KIB = 4096;

/**
 * MiB beyond mappings of the size of a guest's RAM in a smaps file (proc_pid_smaps(5)); shared pages by share (Pss).
 * @throws Error when no mapping has the size of the guest's RAM: everything would count as the monitor's.
 */
export function overheadOf(smaps: string, guestMib: number): number {
  const wanted = guestMib * 1024;
  let [total, guests] = [0, 0];
  for (const mapping of smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)) {
    const field = (name: string) =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(mapping)?.[1] ?? 0);
    const size = field("Size");
    const pss = field("Pss");
    total += pss;
    if (size >= wanted && size <= wanted + SLACK_KIB) {
      guests++;
      total -= pss;
    }
  }
  if (guests === 0) throw new Error(`no mapping of ${guestMib} MiB of guest RAM was found`);
  return total / 1024;
}
