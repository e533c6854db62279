/** What a process holds, counted from /proc: descriptors, threads, mappings, resident memory, and time on processors. */
import { assertEquals, assertLessOrEqual } from "../../src/std/assert.ts";
import { delay } from "./kvm.ts";

/** V8 and the allocator keep some of what 190 machines touched; a leaked machine would cost megabytes each time. */
const RSS_MARGIN_MIB = 64;
/** Arenas and V8's code pages come and go in single mappings. A leaked machine leaves at least three. */
const MAPPING_MARGIN = 40;
/** What each thread that Deno's pools have gained since maps for itself: stack, guard, arena, rest of the arena. */
const MAPPINGS_OF_A_THREAD = 4;
/** Deno's thread pools may grow by a thread late; a leaked machine leaves two. */
const THREAD_MARGIN = 4;
/** Threads that were told to end take a moment, dozens of them on a busy host some more. */
const SETTLE_MS = 300;
const SETTLE_LOOKS = 20;
/** USER_HZ, in which /proc counts: 100 on every Linux. */
const TICK_MS = 10;

export interface HostState {
  readonly fds: number;
  /** Without Deno's pool for blocking calls, which grows with every burst of reads and shrinks ten seconds later. */
  readonly threads: number;
  readonly poolThreads: number;
  readonly mappings: number;
  /** Mapped kvm_run pages, one for each vCPU that was not given back. */
  readonly runPages: number;
  readonly rssMib: number;
}

/** Of this process, or of `pid`. */
export function hostState(pid: number | "self" = "self"): HostState {
  const proc = `/proc/${pid}`;
  const maps = Deno.readTextFileSync(`${proc}/maps`).split("\n");
  const resident = /^VmRSS:\s*(\d+) kB/m.exec(Deno.readTextFileSync(`${proc}/status`))?.[1];
  return {
    fds: entries(`${proc}/fd`),
    ...threadsOf(proc),
    mappings: maps.length - 1,
    runPages: maps.filter((line) => line.includes("anon_inode:kvm-vcpu")).length,
    rssMib: Math.round(Number(resident ?? 0) / 1024),
  };
}

function threadsOf(proc: string): Pick<HostState, "threads" | "poolThreads"> {
  let threads = 0;
  let poolThreads = 0;
  for (const { name } of Deno.readDirSync(`${proc}/task`)) {
    try {
      const comm = Deno.readTextFileSync(`${proc}/task/${name}/comm`);
      if (comm.startsWith("tokio-runtime")) poolThreads++;
      else threads++;
    } catch {
      // it ended while we were looking
    }
  }
  return { threads, poolThreads };
}

function entries(directory: string): number {
  return [...Deno.readDirSync(directory)].length;
}

/** The same of this process, once threads that are ending have ended: when a while changes nothing any more. */
export async function settledState(): Promise<HostState> {
  let before = hostState();
  for (let look = 0; look < SETTLE_LOOKS; look++) {
    await delay(SETTLE_MS);
    const now = hostState();
    if (now.fds === before.fds && now.threads === before.threads) return now;
    before = now;
  }
  return before;
}

/** `before` and `after` are what this process held around machines that are gone. */
export function assertNothingLeft(
  before: HostState,
  after: HostState,
  threadMargin: number = THREAD_MARGIN,
): void {
  assertEquals(after.fds, before.fds, "open descriptors");
  assertLessOrEqual(after.threads, before.threads + threadMargin, "threads");
  assertEquals(after.runPages, before.runPages, "mapped kvm_run pages");
  const poolGrowth = Math.max(0, after.poolThreads - before.poolThreads) * MAPPINGS_OF_A_THREAD;
  assertLessOrEqual(after.mappings, before.mappings + MAPPING_MARGIN + poolGrowth, "mappings");
  assertLessOrEqual(after.rssMib, before.rssMib + RSS_MARGIN_MIB, "resident MiB");
}

/** Milliseconds that all threads of this process have run on processors. */
export function processorMs(): number {
  const fields = Deno.readTextFileSync("/proc/self/stat").replace(/^.*\) /, "").split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS; // utime and stime: fields 14 and 15 of proc(5)
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
