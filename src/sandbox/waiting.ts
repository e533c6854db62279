/** Waiting for something to be there in the guest: asked again and again until it is. */
import { VmError } from "./errors.ts";

/** What to wait for. */
export type WaitTarget =
  /** Somebody listens on this TCP port of the guest. */
  | { readonly port: number }
  /** A GET of this URL is answered, with this status (any below 500 when left out). */
  | { readonly http: string; readonly status?: number }
  /** There is a file of that name. */
  | { readonly file: string }
  /** A shell command succeeds. */
  | { readonly command: string };

/** How the guest is asked. */
export interface Asking {
  port(port: number): Promise<void>;
  http(url: string): Promise<number>;
  file(path: string): Promise<void>;
  command(line: string): Promise<number>;
}

const AGAIN_MS = 100;
const NOT_YET: readonly (new (message: string) => Error)[] = [TypeError, Deno.errors.NotFound];

/** Resolves when it is there. Rejects with the signal's reason, or what says that there is no guest any more. */
export async function waitFor(
  target: WaitTarget,
  asking: Asking,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (;;) {
    signal?.throwIfAborted();
    if (await isThere(target, asking)) return;
    await pause(signal);
  }
}

async function isThere(target: WaitTarget, asking: Asking): Promise<boolean> {
  try {
    if ("port" in target) await asking.port(target.port);
    else if ("file" in target) await asking.file(target.file);
    else if ("command" in target) return await asking.command(target.command) === 0;
    else {
      const status = await asking.http(target.http);
      return target.status === undefined ? status < 500 : status === target.status;
    }
    return true;
  } catch (error) {
    if (error instanceof VmError && error.code === "PORT_REFUSED") return false;
    if (NOT_YET.some((kind) => error instanceof kind)) return false;
    throw error;
  }
}

async function pause(signal: AbortSignal | undefined): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, AGAIN_MS);
  signal?.addEventListener("abort", () => resolve(), { once: true });
  await promise;
  clearTimeout(timer);
}
