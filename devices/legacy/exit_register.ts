/**
 * The exit register (contract.md, "Test guests"): a guest that writes a byte here ends the run with that
 * status. Reached by its own I/O port and as byte 0 of the platform MMIO page.
 */
export class ExitRegister {
  readonly #exit: (status: number) => void;

  constructor(exit: (status: number) => void) {
    this.#exit = exit;
  }

  read(_offset: number): number {
    return 0;
  }

  write(offset: number, value: number): void {
    if (offset === 0) this.#exit(value & 0xff);
  }
}
