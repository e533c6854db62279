/**
 * A second thread for tests that may use nothing: a worker from a `data:` address, which cannot import files. So
 * the code under test comes along as source text, with the module's constants it names.
 */

/** Words `[0]` and `[1]` of what the thread is given, before the test's own. */
const STARTED = 0;
const ENDED = 1;
export const THREAD_WORDS = 2;
const PATIENCE_MS = 10_000;

export interface FakeThreadCode {
  /** Classes and functions under test. */
  readonly parts: readonly { toString(): string }[];
  /** The module-level constants that `parts` name. */
  readonly constants: Readonly<Record<string, number>>;
  /** JavaScript to run; `words` is in scope. */
  readonly body: string;
}

/** Runs once, to the end of `body`. */
export class FakeThread implements Disposable {
  readonly #worker: Worker;
  readonly #words: Int32Array;

  /** `words` must be in shared memory, its first THREAD_WORDS unused. Returns when the thread runs. */
  constructor(words: Int32Array, code: FakeThreadCode) {
    this.#words = words;
    const constants = Object.entries(code.constants).map(([name, value]) =>
      `const ${name} = ${value};`
    );
    const source = `
      ${[...constants, ...code.parts.map(String)].join("\n")}
      self.onmessage = (event) => {
        const words = new Int32Array(event.data);
        Atomics.store(words, ${STARTED}, 1);
        Atomics.notify(words, ${STARTED});
        ${code.body}
        Atomics.store(words, ${ENDED}, 1);
        Atomics.notify(words, ${ENDED});
      };`;
    this.#worker = new Worker(`data:text/javascript,${encodeURIComponent(source)}`, {
      type: "module",
    });
    this.#worker.postMessage(words.buffer);
    this.#await(STARTED);
  }

  /** Waits for the end of `body`. */
  join(): void {
    this.#await(ENDED);
  }

  get ended(): boolean {
    return Atomics.load(this.#words, ENDED) !== 0;
  }

  #await(word: number): void {
    if (Atomics.wait(this.#words, word, 0, PATIENCE_MS) === "timed-out") {
      throw new Error(
        `A thread did not ${word === STARTED ? "start" : "end"} in ${PATIENCE_MS} ms`,
      );
    }
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}
