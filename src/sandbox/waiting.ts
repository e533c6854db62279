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

/** Resolves when it is there. Rejects with the signal's reason, or what says that there is no guest any more. */
export async function waitFor(
  target: WaitTarget,
  asking: Asking,
  signal: AbortSignal | undefined,
): Promise<void> {
  if ("http" in target) new URL(target.http); // throws: it would not become one by waiting
  for (;;) {
    signal?.throwIfAborted();
    if (await isThere(target, asking)) return;
    await pause(signal);
  }
}

async function isThere(target: WaitTarget, asking: Asking): Promise<boolean> {
  if ("port" in target) return await succeeds(asking.port(target.port), isRefusal);
  if ("file" in target) return await succeeds(asking.file(target.file), isMissing);
  if ("command" in target) return await asking.command(target.command) === 0;
  let status = 0;
  const answered = asking.http(target.http).then((answer) => void (status = answer));
  if (!await succeeds(answered, isUnanswered)) return false;
  return target.status === undefined ? status < 500 : status === target.status;
}

/** Whether it does, or fails in a way that time may mend; rejects with what else goes wrong. */
async function succeeds(
  work: Promise<unknown>,
  isNotYet: (error: unknown) => boolean,
): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    if (isNotYet(error)) return false;
    throw error;
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof VmError && error.code === "PORT_REFUSED";
}

function isMissing(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound;
}

/** As `fetch` says it. */
function isUnanswered(error: unknown): boolean {
  return error instanceof TypeError;
}

async function pause(signal: AbortSignal | undefined): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const wake = (): void => resolve();
  const timer = setTimeout(wake, AGAIN_MS);
  signal?.addEventListener("abort", wake, { once: true });
  await promise;
  clearTimeout(timer);
  signal?.removeEventListener("abort", wake);
}
