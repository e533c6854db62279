/**
 * The keyboard controller (Intel 8042), as far as a machine without a keyboard has one: its
 * command port 0x64, for the reset line.
 */

const STATUS_IDLE = 0; // both buffers empty: ready for a command, nothing to read
const PULSE_RESET = 0xfe;

export class I8042 {
  readonly #reset: () => void;

  /** `reset` is called when the guest pulses the reset line: its way to reboot (`reboot=k`). */
  constructor(reset: () => void) {
    this.#reset = reset;
  }

  read(): number {
    return STATUS_IDLE;
  }

  write(_offset: number, value: number): void {
    if (value === PULSE_RESET) this.#reset();
  }
}
