/**
 * A configuration space held as bytes (spec 2.5): any width at any offset gives the byte-wise view
 * (BF-CFG-05), reads past the end give 0 and writes there are lost (BF-CFG-06).
 */
import type { AccessSize, ConfigSpace } from "./device.ts";

/** Called with every byte the driver writes inside the space; stores it or not. */
export type ConfigWrite = (offset: number, value: number) => void;

/** Called with the first byte and the width of what the driver reads. */
export type ConfigRead = (offset: number, size: AccessSize) => void;

/** The space, and the device's own way to change it. */
export class ConfigBytes implements ConfigSpace {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #onWrite: ConfigWrite;
  readonly #onRead: ConfigRead | undefined;
  #generation = 0;
  #changed: () => void = () => {};

  /**
   * `onWrite` decides what a driver's write does; without it the space is read-only (BF-CFG-07). `onRead` is for a
   * device that learns something from being read.
   */
  constructor(length: number, onWrite: ConfigWrite = () => {}, onRead?: ConfigRead) {
    this.#bytes = new Uint8Array(length);
    this.#view = new DataView(this.#bytes.buffer);
    this.#onWrite = onWrite;
    this.#onRead = onRead;
  }

  get length(): number {
    return this.#bytes.length;
  }

  get generation(): number {
    return this.#generation;
  }

  get seesReads(): boolean {
    return this.#onRead !== undefined;
  }

  read(offset: number, size: AccessSize): number {
    this.#onRead?.(offset, size);
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = (value << 8) | (this.#bytes[offset + i] ?? 0);
    return value >>> 0;
  }

  write(offset: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size && offset + i < this.#bytes.length; i++) {
      this.#onWrite(offset + i, (value >>> (8 * i)) & 0xff);
    }
  }

  /** Changes fields from the device's side as one version: the generation moves once. */
  update(change: (view: DataView) => void): void {
    change(this.#view);
    this.#generation = (this.#generation + 1) >>> 0;
    this.#changed();
  }

  /** Stores a byte the driver was allowed to write: no new version, it knows what it wrote. */
  store(offset: number, value: number): void {
    this.#bytes[offset] = value;
    this.#changed();
  }

  watch(changed: () => void): void {
    this.#changed = changed;
  }
}
