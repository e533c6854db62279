/** What the machine asks of a transport, whichever it is. */
import type { AccessSize } from "../src/virtio/device.ts";

/** The answer to a register write that may take effect later (a reset waits for requests in flight). */
export interface Reply {
  done(): void;
}

/** The register side of one device. Lives on the I/O thread; must not throw for anything a guest does. */
export interface Transport {
  /** Bytes of its register window. */
  readonly windowSize: number;
  read(offset: number, size: AccessSize): number;
  write(offset: number, size: AccessSize, value: number, reply: Reply): void;
  /** Queues that may be kicked, in order; the machine binds an eventfd to each. */
  readonly queueCount: number;
  kick(queue: number): void;
  /** Finishes requests in flight and takes no more. */
  shutDown(done: () => void): void;
}
