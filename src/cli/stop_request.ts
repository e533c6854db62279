/** Who asked the run to end before the guest did. The first one counts: it decides the exit status. */

export type StopCause =
  /** The user, at the console. */
  | { readonly kind: "quit" }
  /** Nobody reads stdout any more. */
  | { readonly kind: "output-closed" }
  | { readonly kind: "timeout"; readonly limitMs: number }
  | { readonly kind: "signal"; readonly signal: StopSignal };

export const STOP_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
export type StopSignal = (typeof STOP_SIGNALS)[number];

/** One run's wish to end. */
export class StopRequest {
  readonly #abort = new AbortController();
  #cause: StopCause | undefined;
  #taker: ((signal: StopSignal) => void) | undefined;

  /** Fires with the first request; its reason is the cause. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get cause(): StopCause | undefined {
    return this.#cause;
  }

  request(cause: StopCause): void {
    if (this.#cause !== undefined) return;
    this.#cause = cause;
    this.#abort.abort(cause);
  }

  /** The next signal is for `taker`, and no request; those behind it are. Undefined: that one, too. */
  passNextTo(taker: ((signal: StopSignal) => void) | undefined): void {
    this.#taker = taker;
  }

  /**
   * Turns signals into requests as long as the process lives: it ends soon after what it was asked to do. `onSecond` gets
   * the first cause when one comes while stopping.
   */
  watchSignals(onSecond: (cause: StopCause) => void): void {
    for (const signal of STOP_SIGNALS) {
      Deno.addSignalListener(signal, () => {
        const taker = this.#taker;
        this.#taker = undefined;
        if (this.#cause !== undefined) onSecond(this.#cause);
        else if (taker !== undefined) taker(signal);
        else this.request({ kind: "signal", signal });
      });
    }
  }
}
