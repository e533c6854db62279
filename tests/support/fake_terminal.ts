/** The host's end of a console port: what was printed, what is typed, and how much room there is. */
import type { ConsoleBackend, ConsoleEvents } from "../../devices/console/backend.ts";
import { assert } from "../../src/std/assert.ts";

export class FakeTerminal implements ConsoleBackend {
  /** Bytes `write` still takes before it answers 0. */
  room = Infinity;
  /** What `guestOpened` was told, in order. */
  readonly opened: boolean[] = [];
  readonly #printed: number[] = [];
  #typed: number[] = [];
  #events: ConsoleEvents | undefined;

  get printed(): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(this.#printed);
  }

  get text(): string {
    return new TextDecoder().decode(this.printed);
  }

  /** Typed bytes the device has not fetched. */
  get waiting(): number {
    return this.#typed.length;
  }

  attach(events: ConsoleEvents): void {
    assert(this.#events === undefined, "attach is called once");
    this.#events = events;
  }

  write(bytes: Uint8Array, length: number): number {
    const taken = Math.min(length, this.room);
    this.room -= taken;
    for (const byte of bytes.subarray(0, taken)) this.#printed.push(byte);
    return taken;
  }

  read(into: Uint8Array): number {
    const part = this.#typed.splice(0, into.length);
    into.set(part);
    return part.length;
  }

  guestOpened(open: boolean): void {
    this.opened.push(open);
  }

  /** Somebody types. */
  type(bytes: Uint8Array): void {
    const wasEmpty = this.#typed.length === 0;
    this.#typed.push(...bytes);
    if (wasEmpty) this.#events?.readable();
  }

  /** The host reads again. */
  makeRoom(bytes: number): void {
    this.room += bytes;
    this.#events?.writable();
  }
}
