/**
 * A request to a server behind a Unix socket, by node:http: Deno's own client takes such a socket for a proxy and names
 * the whole URL, which small servers do not understand.
 */
import type { ClientRequest, IncomingMessage } from "node:http";

/** Answers that have no body, whatever their headers say (RFC 9110, 6.4.1). */
const NO_BODY: readonly number[] = [204, 205, 304];

/** Sends `request` to the server behind `socketPath`. Rejects with TypeError like `fetch`, or the signal's reason. */
export async function fetchFrom(socketPath: string, request: Request): Promise<Response> {
  // Not at the top: loading it takes 30 ms, and few sandboxes need it.
  const { request: begin } = await import("node:http");
  const { pathname, search, host } = new URL(request.url);
  const { signal } = request;
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const outgoing = begin({
    socketPath,
    agent: false,
    path: pathname + search,
    method: request.method,
    headers: { host, ...Object.fromEntries(request.headers) },
  }, resolve);
  outgoing.on("error", (cause: unknown) => {
    reject(new TypeError(`Cannot fetch ${request.url} from the guest`, { cause }));
  });
  const abort = (): void => {
    reject(signal.reason);
    outgoing.destroy();
  };
  signal.addEventListener("abort", abort, { once: true });
  try {
    await sendBody(outgoing, request);
    return responseOf(await promise, request.method);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** The answer may come before the end of the body, and end the connection: that is no error of ours. */
async function sendBody(outgoing: ClientRequest, { body }: Request): Promise<void> {
  const closed = new Promise<void>((resolve) => outgoing.once("close", resolve));
  for await (const chunk of body ?? []) {
    const written = new Promise<void>((resolve) => outgoing.write(chunk, () => resolve()));
    await Promise.race([written, closed]);
  }
  outgoing.end();
}

function responseOf(message: IncomingMessage, method: string): Response {
  const { statusCode = 0, statusMessage = "", rawHeaders } = message;
  const headers = new Headers();
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    headers.append(rawHeaders[i] ?? "", rawHeaders[i + 1] ?? "");
  }
  const isEmpty = method === "HEAD" || NO_BODY.includes(statusCode);
  if (isEmpty) message.resume();
  const body = isEmpty ? null : ReadableStream.from(bytesOf(message));
  return new Response(body, { status: statusCode, statusText: statusMessage, headers });
}

async function* bytesOf(message: IncomingMessage): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for await (const chunk of message) yield new Uint8Array(chunk);
}
