/** Rate limits: token buckets for bytes and packets (spec: none; what `--net …,rx-bytes=` asks for). */

/** How fast one direction may be. What is left out is not limited. */
export interface RateConfig {
  /** Bytes in a second, Ethernet headers included. */
  readonly bytesPerSecond?: number;
  /** Packets in a second; one that is segmented later counts once. */
  readonly packetsPerSecond?: number;
}

/** What may pass at once after a pause, as time: long enough for a timer's wake-up, short enough not to be felt. */
const BURST_MS = 100;

/** Fills at a steady rate, up to a burst. May go into debt by one packet, which is paid before the next. */
class TokenBucket {
  readonly #perMs: number;
  readonly #burst: number;
  #tokens: number;
  #at: number | undefined;

  constructor(perSecond: number) {
    this.#perMs = perSecond / 1000;
    this.#burst = Math.max(1, this.#perMs * BURST_MS);
    this.#tokens = this.#burst;
  }

  /** Milliseconds until the next packet may pass; 0: now. */
  delay(now: number): number {
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - (this.#at ?? now)) * this.#perMs);
    this.#at = now;
    return this.#tokens > 0 ? 0 : -this.#tokens / this.#perMs + 1;
  }

  spend(tokens: number): void {
    this.#tokens -= tokens;
  }
}

/** Both limits of one direction. */
export class RateLimit {
  readonly #bytes: TokenBucket | undefined;
  readonly #packets: TokenBucket | undefined;

  private constructor({ bytesPerSecond, packetsPerSecond }: RateConfig) {
    this.#bytes = bytesPerSecond === undefined ? undefined : new TokenBucket(bytesPerSecond);
    this.#packets = packetsPerSecond === undefined ? undefined : new TokenBucket(packetsPerSecond);
  }

  /** Undefined when there is nothing to limit. */
  static of(config: RateConfig | undefined): RateLimit | undefined {
    if (config?.bytesPerSecond === undefined && config?.packetsPerSecond === undefined) return;
    return new RateLimit(config);
  }

  /** Milliseconds until the next packet may pass; 0: now. */
  delay(now: number): number {
    return Math.max(this.#bytes?.delay(now) ?? 0, this.#packets?.delay(now) ?? 0);
  }

  /** A packet has passed. */
  spend(bytes: number): void {
    this.#bytes?.spend(bytes);
    this.#packets?.spend(1);
  }
}
