/** Runs one case on a device of its own, and says what is wrong with the device if anything is. */
import { DEVICES } from "../conformance/devices.ts";
import { HIGH_BASE } from "../support/guest_ram.ts";
import { MMIO, MmioDriver } from "../support/mmio_driver.ts";
import { RUNNING } from "../support/mock_driver.ts";
import { type DeviceRow, TestStand } from "../support/test_stand.ts";
import { FuzzDriver, type FuzzTarget } from "./fuzz_driver.ts";
import type { FuzzCase, Step } from "./steps.ts";

/** Nothing may take longer, however odd what the guest asks for (issue: a hang over 100 ms). */
export const HANG_MS = 100;

/** The driver's half of a case goes to `FuzzDriver`; this is the device's side, and the host's behind it. */
class FuzzRun implements FuzzTarget {
  readonly #stand: TestStand;
  readonly #registers: MmioDriver;
  readonly #strict: boolean;
  readonly #driver: FuzzDriver;
  readonly wild: readonly number[];

  constructor(row: DeviceRow, strict: boolean) {
    this.#stand = new TestStand(row, MMIO);
    const { ram, transport, specimen } = this.#stand;
    if (!(transport instanceof MmioDriver)) {
      throw new TypeError("The fuzzer knows virtio-mmio only");
    }
    this.#registers = transport;
    this.#strict = strict;
    this.wild = [
      ...[ram.lowEnd - 8, ram.lowEnd, HIGH_BASE - 8, ram.highEnd - 8, ram.highEnd, 0x1000_0000],
      ...[0xfee0_0000, 2 ** 40, 2 ** 52 - 16, 2 ** 52, 2 ** 53, 2 ** 63, 2 ** 64 - 4096],
    ];
    this.#driver = new FuzzDriver(this, { name: row.name, strict, specimen });
  }

  get ram() {
    return this.#stand.ram;
  }

  get ramBytes(): number {
    return this.ram.lowEnd;
  }

  write(offset: number, value: number, size: 1 | 2 | 4): void {
    this.#registers.write(offset, value, size);
  }

  read(offset: number, size: 1 | 2 | 4): void {
    this.#registers.read(offset, size);
  }

  queueMaxSize(index: number): number {
    return this.#registers.queueMaxSize(index);
  }

  negotiate(mask: number): boolean {
    const { transport, driver, loop } = this.#stand;
    transport.writeStatus(0);
    loop.settle();
    if (transport.status() !== 0) return false; // it waits for a backend that was stalled
    transport.writeStatus(1);
    transport.writeStatus(3);
    const offered = driver.offered();
    // VERSION_1 and what is general stays: a device that refuses the driver is no use.
    driver.writeFeatures(offered & (BigInt(mask) | ~0xffff_ffffn));
    transport.writeStatus(RUNNING & ~4);
    if (transport.status() === (RUNNING & ~4)) return true;
    driver.writeFeatures(offered);
    transport.writeStatus(0);
    loop.settle();
    if (transport.status() !== 0) return false;
    transport.writeStatus(3);
    driver.writeFeatures(offered);
    transport.writeStatus(RUNNING & ~4);
    return true;
  }

  step(step: Step): void {
    const { loop, specimen } = this.#stand;
    switch (step.do) {
      case "up":
        this.#driver.step(step);
        return loop.settle();
      case "turn":
        return loop.turn();
      case "settle":
        return loop.settle();
      case "advance":
        return loop.advance(step.ms);
      case "stall":
        return specimen.stall();
      case "release":
        return specimen.release();
      case "config":
        return specimen.changeConfig();
      case "meddle":
        return specimen.meddle?.(step.value);
      default:
        return this.#driver.step(step);
    }
  }

  /** What must hold whatever has happened: no foreign byte changed, and after a reset all is well (INV-1 to 3). */
  finish(): void {
    const { specimen, loop, transport, driver } = this.#stand;
    specimen.release();
    loop.settle();
    transport.writeStatus(0);
    loop.advance(100_000); // the patience with what a reset waits for
    if (this.#strict) return this.#stand.checkInvariants();
    driver.bringUp({ size: 16 });
    this.#stand.roundTrip();
  }

  /** INV-6: no more chains come back than were published. */
  checkUsed(): void {
    if (!this.#strict) return;
    for (const [index, ring] of this.#driver.rings.entries()) {
      const used = this.#stand.ram.u16(ring.used + 2);
      if (used <= ring.published) continue;
      throw new Error(`queue ${index}: ${used} chains came back, ${ring.published} were published`);
    }
  }
}

/** What went wrong, and with which step. */
export interface Finding {
  /** Index into the steps; as many as there are for what was found at the end. */
  readonly step: number;
  readonly message: string;
  readonly stack: string;
  readonly isHang: boolean;
}

/** How often a step must be slow before that is the device's doing, and not that of a busy host or a collector. */
const SLOW_TIMES = 4;

/** undefined: nothing. `rows`: where its device is found. */
export function runCase(tested: FuzzCase, rows = DEVICES): Finding | undefined {
  let found = runOnce(tested, rows);
  for (let times = 1; found?.isHang === true && times < SLOW_TIMES; times++) {
    found = runOnce(tested, rows);
  }
  return found;
}

function runOnce(
  { device, strict, steps }: FuzzCase,
  rows: readonly DeviceRow[],
): Finding | undefined {
  const row = rows.find(({ name }) => name === device);
  if (row === undefined) throw new RangeError(`There is no device "${device}"`);
  const run = new FuzzRun(row, strict);
  let at = 0;
  try {
    for (; at < steps.length; at++) {
      const step = steps[at];
      const before = performance.now();
      if (step !== undefined) run.step(step);
      run.checkUsed();
      const took = performance.now() - before;
      if (took > HANG_MS) {
        const slow = new Error(`a hang: more than ${HANG_MS} ms`);
        return { ...finding(at, slow), isHang: true };
      }
    }
    run.finish();
    return undefined;
  } catch (error) {
    return finding(at, error);
  }
}

function finding(step: number, error: unknown): Finding {
  const { message, stack = "" } = error instanceof Error ? error : new Error(String(error));
  return { step, message, stack, isHang: false };
}
