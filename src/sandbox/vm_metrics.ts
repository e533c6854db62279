/** What a sandbox has done so far, in numbers; once, or again and again. */
import type { Machine } from "../machine/mod.ts";

/** Counts since the machine started. */
export interface VmMetrics {
  /** When they were taken. */
  readonly timestamp: Date;
  /** `Vm.bootMs`. */
  readonly bootMs: number;
  /** Exits of the guest to this process, by kind: `mmio`, `pio`, `other`. */
  readonly exits: Readonly<Record<string, number>>;
  /** Bytes of guest RAM, and those of them that the host has given it so far. */
  readonly memory: { readonly total: number; readonly resident: number };
  /** Of each disk, by its kind and place among the devices: `block0` is the root of the default guest. */
  readonly block: Readonly<Record<string, DiskMetrics>>;
  /** Of each network card, likewise. */
  readonly net: Readonly<Record<string, CardMetrics>>;
}

/** Of a disk: what the guest has read and written, whatever the host's caches made of it. */
export interface DiskMetrics {
  /** Bytes the guest has read. */
  readonly readBytes: number;
  /** Bytes it has written. */
  readonly writeBytes: number;
  /** Requests. */
  readonly reads: number;
  /** Requests. */
  readonly writes: number;
  /** Requests. */
  readonly flushes: number;
  /** Requests that the host has refused. */
  readonly failures: number;
}

/** Of a network card, as the guest sees it: `rx` is what it has received. */
export interface CardMetrics {
  /** Bytes of frames. */
  readonly rxBytes: number;
  /** Bytes of frames. */
  readonly txBytes: number;
  /** Frames; a segment that the card is to cut counts once. */
  readonly rxPackets: number;
  /** Frames; a segment that the card is to cut counts once. */
  readonly txPackets: number;
  /** Frames for which the guest had no use or no room. */
  readonly rxDropped: number;
  /** Frames with bad headers, or sent while the link was down. */
  readonly txDropped: number;
}

/** How often metrics are taken, and until when. */
export interface MetricsStreamOptions {
  /** From one to the next; 1000 when left out. */
  readonly intervalMs?: number;
  /** The stream fails with its reason. */
  readonly signal?: AbortSignal;
}

const INTERVAL_MS = 1000;

/** A look at `machine`. */
export function vmMetrics(machine: Pick<Machine, "metrics">, bootMs: number): VmMetrics {
  const { exits, memory, devices } = machine.metrics();
  const ofKind = (wanted: string) =>
    Object.fromEntries(
      devices.filter(({ kind }) => kind === wanted).map(({ name, counts }) => [name, counts]),
    );
  return {
    timestamp: new Date(),
    bootMs,
    exits: { ...exits },
    memory,
    // The kinds' own names (devices/block/counts.ts, devices/net/counts.ts) are the names here.
    block: ofKind("block") as unknown as Record<string, DiskMetrics>,
    net: ofKind("net") as unknown as Record<string, CardMetrics>,
  };
}

/** One at once, then one each interval while they are read, and one when `ended` has resolved: the last. */
export function metricsStream(
  take: () => VmMetrics,
  ended: Promise<unknown>,
  { intervalMs = INTERVAL_MS, signal }: MetricsStreamOptions = {},
): ReadableStream<VmMetrics> {
  if (!(intervalMs > 0)) throw new RangeError(`Cannot take metrics every ${intervalMs} ms`);
  let isOver = false;
  let wake: (() => void) | undefined;
  let next = 0;
  const abort = (): void => wake?.();
  ended.then(() => {
    isOver = true;
    wake?.();
  });
  signal?.addEventListener("abort", abort, { once: true });
  const close = (): void => signal?.removeEventListener("abort", abort);
  return new ReadableStream({
    async pull(controller) {
      const left = next - performance.now();
      if (left > 0 && !isOver && !signal?.aborted) {
        const woken = Promise.withResolvers<void>();
        const timer = setTimeout(woken.resolve, left);
        wake = woken.resolve;
        await woken.promise;
        clearTimeout(timer);
      }
      if (signal?.aborted) return controller.error(signal.reason);
      next = performance.now() + intervalMs;
      controller.enqueue(take());
      if (!isOver) return;
      close();
      controller.close();
    },
    cancel() {
      close();
      wake?.();
    },
  }, { highWaterMark: 0 });
}
