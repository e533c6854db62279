/**
 * The platform page: how a guest ends the run, each way with a register of its own (src/abi/platform.ts). The sleep
 * and reset registers are those of a hardware-reduced ACPI machine (ACPI 6.5, 4.8.3.6 and 4.8.3.7).
 */
import {
  PLATFORM_EXIT,
  PLATFORM_RESET,
  PLATFORM_RESET_VALUE,
  PLATFORM_SLEEP_CONTROL,
  PLATFORM_SLEEP_TYPE_S5,
} from "../../src/abi/platform.ts";

// Table 4.19: bits 2 to 4 say which sleep, bit 5 says now; the others mean nothing to a machine that cannot wake up.
const SLP_TYP_SHIFT = 2;
const SLP_TYP_MASK = 0x7;
const SLP_EN = 0x20;

/** What the guest can ask for. */
export interface PlatformEvents {
  /** It ends with `status`. */
  exit(status: number): void;
  /** It switches itself off. */
  powerOff(): void;
  reset(): void;
}

export class PlatformPage {
  readonly #events: PlatformEvents;

  constructor(events: PlatformEvents) {
    this.#events = events;
  }

  /** Nothing here can be read: sleep status stays 0, as no sleep ends with a wake-up (table 4.20, WAK_STS). */
  read(_offset: number): number {
    return 0;
  }

  write(offset: number, value: number): void {
    switch (offset) {
      case PLATFORM_EXIT:
        return this.#events.exit(value & 0xff);
      case PLATFORM_SLEEP_CONTROL:
        return this.#sleep(value);
      case PLATFORM_RESET:
        return value === PLATFORM_RESET_VALUE ? this.#events.reset() : undefined;
    }
  }

  #sleep(value: number): void {
    const type = (value >> SLP_TYP_SHIFT) & SLP_TYP_MASK;
    if ((value & SLP_EN) !== 0 && type === PLATFORM_SLEEP_TYPE_S5) this.#events.powerOff();
  }
}
