/** Two ways to the agents of one guest, of which the first that is open is taken. */
import type { MachineStatus, VsockConnection, VsockListener } from "../machine/mod.ts";
import type { AgentMachine } from "./agent.ts";

/** The better agent may be up a moment after the other one: it gets so long. */
const PREFERENCE_MS = 1000;

/** What the first greeting has come by is where the calls go. */
export class FirstAgent implements AgentMachine {
  readonly #preferred: AgentMachine;
  readonly #other: AgentMachine;
  #taken: AgentMachine | undefined;

  /** `preferred` is taken when both are up at about the same time. */
  constructor(preferred: AgentMachine, other: AgentMachine) {
    this.#preferred = preferred;
    this.#other = other;
  }

  /** Of their machine. */
  get status(): MachineStatus {
    return this.#preferred.status;
  }

  /** Of both. */
  listen(from: { readonly vsock: number }): VsockListener {
    const [preferred, other] = [this.#preferred.listen(from), this.#other.listen(from)];
    const accept = async (): Promise<VsockConnection> => {
      const first = this.#accept(this.#preferred, preferred);
      // Without the one there is still the other: a guest may lack vsock, or the programs that the script needs.
      const late = this.#accept(this.#other, other).then(async (connection) => {
        await Promise.race([
          first.catch(() => {}),
          new Promise((resolve) => setTimeout(resolve, PREFERENCE_MS)),
        ]);
        return connection;
      });
      try {
        const { road, connection } = await Promise.any([first, late]);
        this.#taken ??= road;
        return connection;
      } catch (error) {
        throw error instanceof AggregateError ? error.errors[0] : error;
      }
    };
    const close = (): void => {
      preferred.close();
      other.close();
    };
    return {
      port: preferred.port,
      accept,
      close,
      async *[Symbol.asyncIterator]() {
        yield await accept();
      },
      [Symbol.asyncDispose]: () => Promise.resolve(close()),
    };
  }

  async #accept(
    road: AgentMachine,
    listener: VsockListener,
  ): Promise<{ readonly road: AgentMachine; readonly connection: VsockConnection }> {
    return { road, connection: await listener.accept() };
  }

  /** By the road that is taken. */
  async connect(to: { readonly vsock: number }): Promise<VsockConnection> {
    return await (this.#taken ?? this.#preferred).connect(to);
  }
}
