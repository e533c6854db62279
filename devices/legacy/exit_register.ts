/**
 * The exit register (contract.md, "Test guests"): a guest that writes a byte here ends the run with that
 * status. This is its I/O port; the platform page has it too (platform_page.ts).
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
