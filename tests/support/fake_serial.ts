/** A serial port with both its ends in one thread: the guest's registers, the host's terminal, and time by hand. */
import { SerialPort } from "../../devices/legacy/serial.ts";
import { SerialHostSide, type SerialShared } from "../../devices/legacy/serial_host.ts";
import { BYTE_RING_WORDS, ByteRing } from "../../src/ipc/byte_ring.ts";
import { FakeTerminal } from "./fake_terminal.ts";
import { ManualLoop } from "./manual_loop.ts";

export const REGISTER = {
  DATA: 0,
  DIVISOR_LOW: 0,
  IER: 1,
  DIVISOR_HIGH: 1,
  IIR: 2,
  FCR: 2,
  LCR: 3,
  MCR: 4,
  LSR: 5,
  MSR: 6,
  SCRATCH: 7,
} as const;

/** Not 0, so that a word outside the port's own is noticed. */
const BASE = 5;
const PORT_WORDS = 16;
const END = BASE + PORT_WORDS + 2 * BYTE_RING_WORDS;
const GUARD = 0x5eed;

/** A ring whose sleeper runs the test's code instead of sleeping. */
class WatchedRing extends ByteRing {
  onWait: () => void = () => {};

  override waitForRoom(_timeoutMs: number): void {
    this.onWait();
  }
}

export class FakeSerial {
  readonly words = new Int32Array(new SharedArrayBuffer(4 * (END + 1)));
  readonly transmit: WatchedRing;
  readonly receive: ByteRing;
  readonly port: SerialPort;
  readonly shared: SerialShared;
  /** Edges on the interrupt line, from either end. */
  edges = 0;
  /** How often the port asked for the I/O thread. */
  wakes = 0;
  stopping = false;
  onWake: () => void = () => {};

  constructor(transmitBytes = 16384, receiveBytes = 1024) {
    const rings = BASE + PORT_WORDS;
    this.words[BASE - 1] = GUARD;
    this.words[END] = GUARD;
    this.transmit = new WatchedRing(this.words, rings, new Uint8Array(transmitBytes));
    this.receive = new ByteRing(
      this.words,
      rings + BYTE_RING_WORDS,
      new Uint8Array(receiveBytes),
    );
    const isStopping = () => this.stopping;
    this.port = new SerialPort(this.words, BASE, this.transmit, this.receive, {
      raise: () => this.raise(),
      wake: () => this.#wake(),
      get stopping() {
        return isStopping();
      },
    });
    this.shared = {
      words: this.words,
      base: BASE,
      transmit: this.transmit,
      receive: this.receive,
    };
  }

  raise(): void {
    this.edges++;
  }

  #wake(): void {
    this.wakes++;
    this.onWake();
  }

  /** A word of the port, as the I/O thread names it. */
  word(word: number): number {
    return Atomics.load(this.words, BASE + word);
  }

  setWord(word: number, value: number): void {
    Atomics.store(this.words, BASE + word, value);
  }

  /** Whether the words on both sides of the port's are as they were. */
  get guardsIntact(): boolean {
    return this.words[BASE - 1] === GUARD && this.words[END] === GUARD;
  }

  /** Whether a register access of another vCPU would go through now. */
  get unlocked(): boolean {
    return this.word(0) === 0;
  }

  /** Edges since the last call. */
  takeEdges(): number {
    const edges = this.edges;
    this.edges = 0;
    return edges;
  }

  /** Wake-ups since the last call. */
  takeWakes(): number {
    const wakes = this.wakes;
    this.wakes = 0;
    return wakes;
  }

  /** The guest prints. */
  print(text: string): void {
    for (const byte of new TextEncoder().encode(text)) this.port.write(REGISTER.DATA, byte);
  }

  /** Input is already in the port. */
  arrive(...bytes: number[]): void {
    for (const byte of bytes) this.receive.push(byte);
  }

  /** Output the I/O thread has not taken, taken now. */
  takeOutput(): string {
    const bytes = new Uint8Array(this.transmit.length);
    this.transmit.peek(bytes);
    this.transmit.drop(bytes.length);
    return new TextDecoder().decode(bytes);
  }

  /** The guest reads while the port says that there is data. */
  readAll(): number[] {
    const bytes: number[] = [];
    while ((this.port.read(REGISTER.LSR) & 1) !== 0) bytes.push(this.port.read(REGISTER.DATA));
    return bytes;
  }
}

/** The same with the I/O thread's end behind it; a wake-up is served when the test says `turn`, or at once. */
export class FakeSerialLine extends FakeSerial {
  readonly loop = new ManualLoop();
  readonly terminal = new FakeTerminal();
  readonly host: SerialHostSide;

  constructor(transmitBytes?: number, receiveBytes?: number) {
    super(transmitBytes, receiveBytes);
    this.host = new SerialHostSide(this.shared, this.terminal, this.loop, () => this.raise());
    this.onWake = () => this.host.woken();
  }
}
