/**
 * Run inside a network namespace, the host's end of transfers; prints `HASH BYTES` of what it serves or gets.
 *
 *   http_peer.ts serve ADDRESS PORT BYTES     until it is killed
 *   http_peer.ts fetch URL                    again and again until somebody answers
 */
const RETRY_MS = 200;

/** Bytes that no part of which looks like another, the same in every run. */
function content(length: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(length / 4);
  let state = 0x9e3779b9;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer);
}

async function report(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
  console.log(`${hash} ${bytes.length}`);
}

async function fetchAgain(url: string): Promise<Uint8Array<ArrayBuffer>> {
  for (;;) {
    try {
      const response = await fetch(url);
      const bytes = await response.bytes();
      if (response.ok) return bytes as Uint8Array<ArrayBuffer>;
    } catch {
      // not there yet
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

const [mode, first = "", port = "0", length = "0"] = Deno.args;
if (mode === "serve") {
  const body = content(Number(length));
  Deno.serve({
    hostname: first,
    port: Number(port),
    onListen: () => void report(body),
  }, () => new Response(body));
} else {
  await report(await fetchAgain(first));
}
