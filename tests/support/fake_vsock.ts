/** The host's side of a vsock device, in the test's hands: who listens, what streams give and take. */
import {
  BROKEN,
  type HostStream,
  type HostStreamEvents,
  NOT_NOW,
  type VsockBackend,
  type VsockHost,
  type VsockType,
} from "../../devices/vsock/backend.ts";
import { VIRTIO_VSOCK_TYPE_STREAM } from "../../devices/vsock/abi.ts";
import type { IovecList } from "../../src/virtio/iovec_list.ts";
import { assert } from "../../src/std/assert.ts";
import { iovecEntry } from "./fake_disk.ts";
import { concat, type GuestRam } from "./guest_ram.ts";

/** One stream of the host. The peer is the test. */
export class FakeStream implements HostStream {
  /** Bytes `write` still takes. */
  room = Infinity;
  /** The host port a caller was told. */
  hostPort: number | undefined;
  outputEnded = false;
  inputEnded = false;
  isClosed = false;
  peerClosed = false;
  /** Whether reads, or writes, find the stream broken. */
  broken = { read: false, write: false };
  /** Most bytes one `read` gives. */
  readLimit = Infinity;
  readonly #ram: GuestRam;
  readonly #defer: (task: () => void) => void;
  readonly #taken: Uint8Array[] = [];
  #waiting: Uint8Array = new Uint8Array();
  #ended = false;
  #events: HostStreamEvents | undefined;

  /** `defer`: runs a task in a later turn. */
  constructor(ram: GuestRam, defer: (task: () => void) => void) {
    this.#ram = ram;
    this.#defer = defer;
  }

  /** All the guest has sent. */
  get received(): Uint8Array<ArrayBuffer> {
    return concat(...this.#taken);
  }

  /** Bytes the peer has written and the guest has not got. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** The peer writes. */
  say(bytes: Uint8Array): void {
    this.#waiting = concat(this.#waiting, bytes);
    this.#events?.readable();
  }

  /** The peer ends its output. */
  end(): void {
    this.#ended = true;
    this.#events?.readable();
  }

  /** The peer closes. */
  hangUp(): void {
    this.#ended = this.peerClosed = true;
    this.#events?.closed();
  }

  /** The peer reads. */
  makeRoom(bytes: number): void {
    this.room += bytes;
    this.#events?.writable();
  }

  attach(events: HostStreamEvents): void {
    assert(this.#events === undefined, "attach is called once");
    this.#events = events;
  }

  established(hostPort: number): void {
    assert(!this.isClosed);
    this.hostPort = hostPort;
  }

  read(into: IovecList): number {
    assert(!this.isClosed, "a closed stream is not read");
    const taken = this.#give(into.bytes);
    if (typeof taken === "number") return taken;
    let done = 0;
    for (let i = 0; done < taken.length; i++) {
      const { address, length } = iovecEntry(into, i);
      const part = Math.min(length, taken.length - done);
      this.#ram.hostBytes(address, part).set(taken.subarray(done, done + part));
      done += part;
    }
    return taken.length;
  }

  readBytes(into: Uint8Array<ArrayBuffer>): number {
    assert(!this.isClosed, "a closed stream is not read");
    const taken = this.#give(into.length);
    if (typeof taken === "number") return taken;
    into.set(taken);
    return taken.length;
  }

  /** At most `most` bytes of what waits; or why there are none. */
  #give(most: number): Uint8Array | number {
    if (this.broken.read) return BROKEN;
    const total = Math.min(most, this.#waiting.length, this.readLimit);
    if (total === 0) return this.#ended ? 0 : NOT_NOW;
    const taken = this.#waiting.subarray(0, total);
    this.#waiting = this.#waiting.slice(total);
    // As a level-triggered poll: what is still there, the end too, is told again.
    if (!this.peerClosed && (this.#waiting.length > 0 || this.#ended)) {
      this.#defer(() => this.#events?.readable());
    }
    return taken;
  }

  write(from: IovecList): number {
    const parts: Uint8Array[] = [];
    for (let i = 0; i < from.count; i++) {
      const { address, length } = iovecEntry(from, i);
      parts.push(this.#ram.hostBytes(address, length).slice());
    }
    return this.#take(concat(...parts));
  }

  writeBytes(bytes: Uint8Array<ArrayBuffer>, start: number, end: number): number {
    return this.#take(bytes.slice(start, end));
  }

  #take(bytes: Uint8Array): number {
    assert(!this.isClosed && !this.outputEnded, "a stream that is over is not written");
    if (this.broken.write || this.peerClosed) return BROKEN;
    const taken = Math.min(bytes.length, this.room);
    this.room -= taken;
    this.#taken.push(bytes.subarray(0, taken));
    return taken === 0 ? NOT_NOW : taken;
  }

  endOutput(): void {
    assert(!this.isClosed && !this.outputEnded);
    this.outputEnded = true;
  }

  endInput(): void {
    assert(!this.isClosed && !this.inputEnded);
    this.inputEnded = true;
  }

  close(): void {
    assert(!this.isClosed, "a stream is closed once");
    this.isClosed = true;
    this.#events = undefined;
  }
}

/** The host itself. */
export class FakeVsockBackend implements VsockBackend {
  /** Whether somebody listens on a port. */
  listens: (port: number, type: VsockType) => boolean = () => true;
  /** Streams the guest has asked for, in order, with the port. */
  readonly called: { readonly port: number; readonly stream: FakeStream }[] = [];
  /** What `guestPresent` was told. */
  readonly presence: boolean[] = [];
  readonly #ram: GuestRam;
  readonly #defer: (task: () => void) => void;
  #host: VsockHost | undefined;

  /** `defer`: runs a task in a later turn. */
  constructor(ram: GuestRam, defer: (task: () => void) => void = () => {}) {
    this.#ram = ram;
    this.#defer = defer;
  }

  attach(host: VsockHost): void {
    assert(this.#host === undefined, "attach is called once");
    this.#host = host;
  }

  connect(port: number, type: VsockType): FakeStream | undefined {
    if (!this.listens(port, type)) return undefined;
    const stream = new FakeStream(this.#ram, this.#defer);
    this.called.push({ port, stream });
    return stream;
  }

  guestPresent(present: boolean): void {
    this.presence.push(present);
  }

  /** Somebody on the host calls the guest's `port`; undefined when there is no room. */
  call(port: number, type: VsockType = VIRTIO_VSOCK_TYPE_STREAM): FakeStream | undefined {
    const stream = new FakeStream(this.#ram, this.#defer);
    return this.#host?.open(stream, port, type) === true ? stream : undefined;
  }

  close(): void {}
}
