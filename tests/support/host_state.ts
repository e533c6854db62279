/** What a process holds, counted from /proc: descriptors, threads, mappings and resident memory. */

export interface HostState {
  readonly fds: number;
  readonly threads: number;
  readonly mappings: number;
  readonly rssMib: number;
}

/** Of this process, or of `pid`. */
export function hostState(pid: number | "self" = "self"): HostState {
  const proc = `/proc/${pid}`;
  const resident = /^VmRSS:\s*(\d+) kB/m.exec(Deno.readTextFileSync(`${proc}/status`))?.[1];
  return {
    fds: entries(`${proc}/fd`),
    threads: entries(`${proc}/task`),
    mappings: Deno.readTextFileSync(`${proc}/maps`).split("\n").length - 1,
    rssMib: Math.round(Number(resident ?? 0) / 1024),
  };
}

function entries(directory: string): number {
  return [...Deno.readDirSync(directory)].length;
}

/** Numbers of this process's descriptors whose target in /proc/self/fd is `target`. */
export function descriptorsOf(target: string): number[] {
  const found: number[] = [];
  for (const { name } of Deno.readDirSync("/proc/self/fd")) {
    try {
      if (Deno.readLinkSync(`/proc/self/fd/${name}`) === target) found.push(Number(name));
    } catch {
      // the descriptor that listed the directory is gone by now
    }
  }
  return found;
}

/** cachestat(2), Linux 6.5: how many pages of a file are dirty or being written. */
const CACHESTAT_C = `
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/syscall.h>
struct range { uint64_t off, len; } all = { 0, 0 };
struct stat_out { uint64_t cache, dirty, writeback, evicted, recently; } out;
int main(int count, char **args) {
  int fd = count > 1 ? open(args[1], O_RDONLY) : -1;
  if (syscall(451, fd, &all, &out, 0) != 0) return 1;
  printf("%lu", (unsigned long)(out.dirty + out.writeback));
  return 0;
}`;

let cachestat: string | undefined | null = null;

/** The little program, compiled once; undefined where it does not compile or run. */
function cachestatProgram(): string | undefined {
  if (cachestat !== null) return cachestat;
  const directory = Deno.makeTempDirSync({ prefix: "dinovisor-cachestat-" });
  const source = `${directory}/cachestat.c`, program = `${directory}/cachestat`;
  addEventListener("unload", () => Deno.removeSync(directory, { recursive: true }));
  Deno.writeTextFileSync(source, CACHESTAT_C);
  try {
    new Deno.Command("gcc", { args: ["-o", program, source] }).outputSync();
    const { success } = new Deno.Command(program, { args: [source] }).outputSync();
    return cachestat = success ? program : undefined;
  } catch {
    return cachestat = undefined;
  }
}

/** Why `dirtyPages` cannot be asked here; undefined when it can. */
export function dirtyPagesRefusal(): string | undefined {
  return cachestatProgram() === undefined
    ? "cachestat(2) is needed to see what a flush does (Linux 6.5, and gcc)"
    : undefined;
}

/** Pages of `path` that are in memory only. */
export async function dirtyPages(path: string): Promise<number> {
  const { stdout } = await new Deno.Command(cachestatProgram() ?? "", { args: [path] }).output();
  return Number(new TextDecoder().decode(stdout));
}
