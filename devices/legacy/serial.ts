/**
 * A 16550A serial port (National PC16550D data sheet; drivers/tty/serial/8250), vCPU side: registers.
 *
 * It runs on the vCPU thread that touches it, because a console makes several accesses per character and a
 * cross-thread call costs more than the exit. State is in shared words under a lock, so several vCPUs may use
 * it; characters go through two byte rings to `serial_host.ts` on the I/O thread. Transmission is immediate:
 * the transmitter always shows empty.
 */
import type { ByteRing } from "../../src/ipc/byte_ring.ts";
import { SharedLock } from "../../src/ipc/shared_lock.ts";

// Words, from the base this device is given. All but the last two: vCPU threads, under LOCK.
const LOCK = 0;
const IER = 1; // also read by the I/O thread, after it pushed input
const LCR = 2;
const MCR = 3;
const SCR = 4;
const DIVISOR = 5;
const FIFO_ON = 6;
const THR_EMPTY_PENDING = 7;
/** Not 0: the I/O thread has been told there is output. Set by vCPUs, cleared by the I/O thread. */
export const SERIAL_OUTPUT_ANNOUNCED = 8;
/** SERIAL_URGENT when output should go out now rather than in a moment. Same owners. */
export const SERIAL_OUTPUT_URGENT = 9;
/** Not 0: the I/O thread waits for room in the receive ring. Set by it, cleared by vCPUs. */
export const SERIAL_INPUT_STALLED = 10;
/** Not 0: the guest polls for input. Set by vCPUs, never cleared. */
export const SERIAL_INPUT_POLLED = 11;
/** Line status reads since the last character was sent. vCPUs, under LOCK. */
const STATUS_READS = 12;
/** How often the receive interrupt has been switched on. Written by vCPUs, read by the I/O thread. */
export const SERIAL_READER_RISES = 13;
/** Bytes that came back in loop mode, in words of their own: the receive ring has one producer. Under LOCK. */
const LOOP_COUNT = 14;
const LOOP_FIRST = 16;
const LOOP_SIZE = 16; // the FIFO of a 16550A
export const SERIAL_IER = IER;

export const IER_RECEIVED = 0x01;
const IER_THR_EMPTY = 0x02;
const IIR_NONE = 0x01;
const IIR_THR_EMPTY = 0x02;
const IIR_RECEIVED = 0x04;
const IIR_FIFO_ENABLED = 0xc0;
const FCR_ENABLE = 0x01;
const FCR_CLEAR_RECEIVED = 0x02;
const LCR_DLAB = 0x80;
const MCR_LOOP = 0x10;
const LSR_DATA_READY = 0x01;
const LSR_TRANSMITTER_EMPTY = 0x60; // THRE | TEMT
const MSR_CONNECTED = 0xb0; // DCD | DSR | CTS
const NEWLINE = 10;
/** A guest that reads the line status this often without sending waits for input; a sender looks once or twice. */
const POLLING_READS = 64;
/** How long a vCPU sleeps for room before it looks whether the machine stops. */
const ROOM_WAIT_MS = 50;

/** What the port needs from its thread. */
export interface SerialHost {
  /** Edge on the port's interrupt line. */
  raise(): void;
  /** Makes the I/O thread look at the rings. */
  wake(): void;
  /** Whether the machine stops: output that nobody will take is dropped then. */
  readonly stopping: boolean;
}

export class SerialPort {
  readonly #words: Int32Array;
  readonly #base: number;
  readonly #transmit: ByteRing;
  readonly #receive: ByteRing;
  readonly #lock: SharedLock;
  readonly #host: SerialHost;

  constructor(
    words: Int32Array,
    base: number,
    transmit: ByteRing,
    receive: ByteRing,
    host: SerialHost,
  ) {
    this.#words = words;
    this.#base = base;
    this.#transmit = transmit;
    this.#receive = receive;
    this.#lock = new SharedLock(words, base + LOCK);
    this.#host = host;
  }

  #get(word: number): number {
    return Atomics.load(this.#words, this.#base + word);
  }

  #set(word: number, value: number): void {
    Atomics.store(this.#words, this.#base + word, value);
  }

  /** A byte from register `offset` (0..7). */
  read(offset: number): number {
    this.#lock.lock();
    const value = this.#readRegister(offset);
    this.#lock.unlock();
    return value;
  }

  #readRegister(offset: number): number {
    const dlab = (this.#get(LCR) & LCR_DLAB) !== 0;
    switch (offset) {
      case 0:
        return dlab ? this.#get(DIVISOR) & 0xff : this.#takeInput();
      case 1:
        return dlab ? this.#get(DIVISOR) >>> 8 : this.#get(IER);
      case 2:
        return this.#identifyInterrupt();
      case 3:
        return this.#get(LCR);
      case 4:
        return this.#get(MCR);
      case 5:
        return this.#lineStatus();
      case 6:
        return this.#modemStatus();
      default:
        return this.#get(SCR);
    }
  }

  #lineStatus(): number {
    const reads = this.#get(STATUS_READS) + 1;
    this.#set(STATUS_READS, reads);
    if (reads === POLLING_READS && this.#get(SERIAL_INPUT_POLLED) === 0) {
      this.#set(SERIAL_INPUT_POLLED, 1);
      this.#host.wake();
    }
    return LSR_TRANSMITTER_EMPTY | (this.#hasInput ? LSR_DATA_READY : 0);
  }

  get #hasInput(): boolean {
    return this.#get(LOOP_COUNT) > 0 || this.#receive.length > 0;
  }

  #takeInput(): number {
    if (this.#get(LOOP_COUNT) > 0) return this.#takeLooped();
    const byte = this.#receive.pop();
    this.#offerRoom();
    return byte === -1 ? 0 : byte;
  }

  #loop(value: number): void {
    const count = this.#get(LOOP_COUNT);
    if (count === LOOP_SIZE) return; // overrun: the byte is lost, as on the chip
    this.#set(LOOP_FIRST + count, value);
    this.#set(LOOP_COUNT, count + 1);
    if ((this.#get(IER) & IER_RECEIVED) !== 0) this.#host.raise();
  }

  #takeLooped(): number {
    const value = this.#get(LOOP_FIRST);
    const count = this.#get(LOOP_COUNT) - 1;
    for (let i = 0; i < count; i++) this.#set(LOOP_FIRST + i, this.#get(LOOP_FIRST + i + 1));
    this.#set(LOOP_COUNT, count);
    return value;
  }

  /** Tells the I/O thread, if it waits for room in the receive ring. */
  #offerRoom(): void {
    const isHalfEmpty = this.#receive.length * 2 <= this.#receive.capacity;
    if (this.#get(SERIAL_INPUT_STALLED) === 0 || !isHalfEmpty) return;
    this.#set(SERIAL_INPUT_STALLED, 0);
    this.#host.wake();
  }

  #clearInput(): void {
    this.#set(LOOP_COUNT, 0);
    this.#receive.drop(this.#receive.length);
    this.#offerRoom();
  }

  #identifyInterrupt(): number {
    const fifo = this.#get(FIFO_ON) !== 0 ? IIR_FIFO_ENABLED : 0;
    if ((this.#get(IER) & IER_RECEIVED) !== 0 && this.#hasInput) {
      return fifo | IIR_RECEIVED;
    }
    if ((this.#get(IER) & IER_THR_EMPTY) !== 0 && this.#get(THR_EMPTY_PENDING) !== 0) {
      this.#set(THR_EMPTY_PENDING, 0); // reading the source clears it
      return fifo | IIR_THR_EMPTY;
    }
    return fifo | IIR_NONE;
  }

  /** In loop mode the modem outputs appear as inputs: how Linux finds out that this is a UART. */
  #modemStatus(): number {
    const mcr = this.#get(MCR);
    if ((mcr & MCR_LOOP) === 0) return MSR_CONNECTED;
    return ((mcr & 0x02) << 3) | ((mcr & 0x01) << 5) | ((mcr & 0x04) << 4) | ((mcr & 0x08) << 4);
  }

  /** A byte to register `offset` (0..7). Sleeps while the transmit ring is full. */
  write(offset: number, value: number): void {
    this.#lock.lock();
    const dlab = (this.#get(LCR) & LCR_DLAB) !== 0;
    if (offset === 0 && !dlab) {
      this.#transmitByte(value);
    } else {
      this.#writeRegister(offset, value, dlab);
    }
    this.#lock.unlock();
  }

  #writeRegister(offset: number, value: number, dlab: boolean): void {
    switch (offset) {
      case 0:
        return this.#set(DIVISOR, (this.#get(DIVISOR) & 0xff00) | value);
      case 1:
        if (dlab) return this.#set(DIVISOR, (this.#get(DIVISOR) & 0xff) | (value << 8));
        return this.#enableInterrupts(value & 0x0f);
      case 2:
        this.#set(FIFO_ON, value & FCR_ENABLE);
        if ((value & FCR_CLEAR_RECEIVED) !== 0) this.#clearInput();
        return;
      case 3:
        return this.#set(LCR, value);
      case 4:
        return this.#set(MCR, value & 0x1f);
      case 7:
        return this.#set(SCR, value);
      default: // line and modem status are read-only
        return;
    }
  }

  #enableInterrupts(value: number): void {
    const before = this.#get(IER);
    this.#set(IER, value);
    const risen = value & ~before;
    if ((risen & IER_THR_EMPTY) !== 0) this.#set(THR_EMPTY_PENDING, 1); // the transmitter is always empty
    if (risen !== 0 && this.#interruptWaits()) this.#host.raise();
    if ((risen & IER_RECEIVED) !== 0) { // the guest may want input now
      this.#set(SERIAL_READER_RISES, this.#get(SERIAL_READER_RISES) + 1);
      this.#host.wake();
    }
  }

  #interruptWaits(): boolean {
    const ier = this.#get(IER);
    return ((ier & IER_RECEIVED) !== 0 && this.#hasInput) ||
      ((ier & IER_THR_EMPTY) !== 0 && this.#get(THR_EMPTY_PENDING) !== 0);
  }

  #transmitByte(value: number): void {
    this.#set(STATUS_READS, 0);
    if ((this.#get(MCR) & MCR_LOOP) !== 0) {
      this.#loop(value);
    } else {
      this.#send(value);
    }
    if ((this.#get(IER) & IER_THR_EMPTY) !== 0) {
      this.#set(THR_EMPTY_PENDING, 1);
      this.#host.raise();
    }
  }

  #send(value: number): void {
    while (!this.#transmit.push(value)) {
      if (this.#host.stopping) return;
      this.#announce(true);
      this.#lock.unlock(); // input and the other vCPUs go on while the host takes nothing
      this.#transmit.waitForRoom(ROOM_WAIT_MS);
      this.#lock.lock();
    }
    this.#announce(value === NEWLINE || this.#transmit.length * 2 > this.#transmit.capacity);
  }

  /** At most one wake-up per drain, and one more when it becomes urgent: not one per character. */
  #announce(urgent: boolean): void {
    if (urgent && Atomics.exchange(this.#words, this.#base + SERIAL_OUTPUT_URGENT, 1) === 0) {
      this.#set(SERIAL_OUTPUT_ANNOUNCED, 1);
      this.#host.wake();
    } else if (
      !urgent && Atomics.exchange(this.#words, this.#base + SERIAL_OUTPUT_ANNOUNCED, 1) === 0
    ) {
      this.#host.wake();
    }
  }
}
