/**
 * The driver's half of a split ring on a thread of its own, which sleeps whenever it has nothing to do: for tests that
 * count wake-ups. Its text is what runs there, so that the thread needs no permission to read files.
 */

/** Where the ring is, in 16-bit words of the memory, and what the two threads sleep on. */
export interface RingPlaces {
  readonly memory: SharedArrayBuffer;
  readonly size: number;
  readonly availFlags: number;
  readonly usedFlags: number;
  readonly eventIdx: boolean;
  /** How many requests. */
  readonly rounds: number;
  /** Two counters, of kicks and of interrupts, and a word that is 1 once the driver is done. */
  readonly bells: SharedArrayBuffer;
}

export const KICKS = 0;
export const INTERRUPTS = 1;
export const DONE = 2;
/** Far above what a thread of a busy host is kept waiting: who sleeps that long was not woken. */
export const SLEEP_MS = 20_000;

/** What the driver says at the end: what it has got back, and how often each side had to be woken. */
export interface DriverEnd {
  readonly taken: number;
  readonly kicks: number;
  readonly sleeps: number;
  readonly lost?: string;
}

/** Starts it. The requests have descriptor 0 to size - 1, which must be filled in. */
export function startDriver(places: RingPlaces): { ended: Promise<DriverEnd>; stop(): void } {
  const text = `(${driver.toString()})(${SLEEP_MS})`;
  const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  const worker = new Worker(url, { type: "module" });
  const ended = new Promise<DriverEnd>((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<DriverEnd>) => resolve(data);
    worker.onerror = (event) => reject(new Error(event.message));
  });
  worker.postMessage(places);
  return {
    ended,
    stop() {
      worker.terminate();
      URL.revokeObjectURL(url);
    },
  };
}

/** Runs on the other thread: knows nothing of this module. Spec 2.7.13, 2.7.14. */
function driver(sleepMs: number): void {
  const self = globalThis as unknown as {
    onmessage: (event: MessageEvent<RingPlaces>) => void;
    postMessage(end: DriverEnd): void;
  };
  self.onmessage = ({ data }) => {
    const { memory, size, availFlags, usedFlags, eventIdx, rounds } = data;
    const ring = new Uint16Array(memory);
    const bells = new Int32Array(data.bells);
    const availIdx = availFlags + 1, availRing = availFlags + 2, usedEvent = availRing + size;
    const usedIdx = usedFlags + 1, usedRing = usedFlags + 2, availEvent = usedRing + 4 * size;
    const free = Array.from({ length: size }, (_, head) => head);
    let added = 0, taken = 0, published = 0, used = 0, kicks = 0, sleeps = 0, random = 1;
    let lost: string | undefined;

    const next = (bound: number): number => {
      random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
      return (random >>> 8) % bound;
    };
    const add = (): void => {
      for (let count = next(size) + 1; count > 0 && free.length > 0 && added < rounds; count--) {
        ring[availRing + (added & (size - 1))] = free.pop() as number;
        added++;
      }
      const before = published;
      published = added & 0xffff;
      if (before === published) return;
      Atomics.store(ring, availIdx, published);
      const event = Atomics.load(ring, eventIdx ? availEvent : usedFlags);
      const wanted = eventIdx
        ? ((published - event - 1) & 0xffff) < ((published - before) & 0xffff)
        : (event & 1) === 0;
      if (!wanted) return;
      kicks++;
      Atomics.add(bells, 0, 1);
      Atomics.notify(bells, 0);
    };
    const take = (): void => {
      const idx = Atomics.load(ring, usedIdx);
      for (; used !== idx; used = (used + 1) & 0xffff, taken++) {
        free.push(ring[usedRing + 4 * (used & (size - 1))] as number);
      }
    };
    const wantInterrupts = (wanted: boolean): void => {
      if (eventIdx) {
        if (wanted) Atomics.store(ring, usedEvent, used); // else it lies behind us, and is not crossed
      } else Atomics.store(ring, availFlags, wanted ? 0 : 1);
    };

    while (taken < rounds && lost === undefined) {
      add();
      take();
      if (taken === rounds) break;
      // As long as the other side takes to wake up, or to serve one that is awake: so that it answers just now.
      const longest = next(2) === 0 ? 300 : 10_000;
      for (let spin = next(longest); spin > 0 && Atomics.load(ring, usedIdx) === used; spin--);
      if (Atomics.load(ring, usedIdx) !== used || free.length > 0 && added < rounds) continue;
      const heard = Atomics.load(bells, 1);
      wantInterrupts(true);
      if (Atomics.load(ring, usedIdx) === used) {
        sleeps++;
        if (Atomics.wait(bells, 1, heard, sleepMs) === "timed-out") {
          const idx = Atomics.load(ring, usedIdx);
          lost = idx === used ? "a kick" : `an interrupt for used.idx ${idx}, ${used} are taken`;
        }
      }
      wantInterrupts(false);
    }
    Atomics.store(bells, 2, 1);
    Atomics.add(bells, 0, 1);
    Atomics.notify(bells, 0);
    self.postMessage({ taken, kicks, sleeps, ...(lost === undefined ? {} : { lost }) });
  };
}
