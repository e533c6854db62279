/**
 * The CMOS clock (Motorola MC146818), time only: enough for a guest to learn the date at boot. UTC, 24 hours,
 * BCD; it cannot be set, has no alarm and never interrupts.
 */

const SECONDS = 0x00;
const MINUTES = 0x02;
const HOURS = 0x04;
const WEEKDAY = 0x06;
const DAY = 0x07;
const MONTH = 0x08;
const YEAR = 0x09;
const STATUS_A = 0x0a;
const STATUS_B = 0x0b;
const STATUS_D = 0x0d;
const CENTURY = 0x32;

/** 32.768 kHz time base, no update in progress: a reader never has to wait. */
const STATUS_A_VALUE = 0x26;
/** 24-hour mode, BCD. */
const STATUS_B_VALUE = 0x02;
/** RAM and time valid. */
const STATUS_D_VALUE = 0x80;

export class Rtc {
  readonly #now: () => Date;
  // Per vCPU thread, though one machine has one index register: Linux holds rtc_lock over write and read.
  #index = 0;

  constructor(now: () => Date) {
    this.#now = now;
  }

  read(offset: number): number {
    return offset === 1 ? this.#cell(this.#index) : 0xff; // the index port is write-only
  }

  write(offset: number, value: number): void {
    if (offset === 0) this.#index = value & 0x7f; // bit 7 masks NMIs
  }

  #cell(index: number): number {
    const now = this.#now();
    switch (index) {
      case SECONDS:
        return bcd(now.getUTCSeconds());
      case MINUTES:
        return bcd(now.getUTCMinutes());
      case HOURS:
        return bcd(now.getUTCHours());
      case WEEKDAY:
        return bcd(now.getUTCDay() + 1);
      case DAY:
        return bcd(now.getUTCDate());
      case MONTH:
        return bcd(now.getUTCMonth() + 1);
      case YEAR:
        return bcd(now.getUTCFullYear() % 100);
      case CENTURY:
        return bcd(Math.floor(now.getUTCFullYear() / 100));
      case STATUS_A:
        return STATUS_A_VALUE;
      case STATUS_B:
        return STATUS_B_VALUE;
      case STATUS_D:
        return STATUS_D_VALUE;
      default:
        return 0;
    }
  }
}

function bcd(value: number): number {
  return (Math.floor(value / 10) << 4) | value % 10;
}
