/**
 * Run inside a network namespace: sends datagrams to an echo and compares what comes back, or sends as fast as it can.
 *
 *   udp_peer.ts echo ADDRESS PORT FIRST LAST STEP    prints "N of N"
 *   udp_peer.ts blast ADDRESS PORT COUNT BYTES
 *   udp_peer.ts quit ADDRESS PORT
 *   udp_peer.ts serve ADDRESS PORT                   prints "ready"; the echo itself, until it is killed
 */
import { createSocket, type Socket } from "node:dgram";

const ATTEMPT_MS = 500;
const ATTEMPTS = 20;
/** Datagrams sent before others have a turn: more would only fill the socket's buffer. */
const BLAST = 64;

function payload(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + length * 7 + (i >> 8)) & 0xff);
}

/** Sends until the same bytes have come back. */
async function echoed(socket: Socket, address: string, port: number, bytes: Uint8Array) {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>();
    socket.once("message", resolve);
    socket.send(bytes, port, address);
    const timer = setTimeout(() => resolve(undefined), ATTEMPT_MS);
    const answer = await promise;
    clearTimeout(timer);
    socket.removeAllListeners("message");
    if (answer === undefined) continue;
    if (answer.length !== bytes.length) throw new Error(`${bytes.length} came as ${answer.length}`);
    const wrong = bytes.findIndex((byte, i) => byte !== answer[i]);
    if (wrong >= 0) throw new Error(`byte ${wrong} of ${bytes.length} is wrong`);
    return true;
  }
  return false;
}

function sendAll(socket: Socket, address: string, port: number, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => socket.send(bytes, port, address, () => resolve()));
}

async function main([mode, address = "", port = "0", ...numbers]: string[]): Promise<void> {
  const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
  const [first = 0, last = 0, step = 1] = numbers.map(Number);
  if (mode === "serve") {
    socket.on("message", (bytes, from) => socket.send(bytes, from.port, from.address));
    return void socket.bind(Number(port), address, () => console.log("ready"));
  }
  if (mode === "echo") {
    let sent = 0;
    let back = 0;
    for (let length = first; length <= last; length += step) {
      sent++;
      if (await echoed(socket, address, Number(port), payload(length))) back++;
    }
    console.log(`${back} of ${sent}`);
  } else if (mode === "blast") {
    const bytes = payload(last);
    for (let sent = 0; sent < first; sent += BLAST) {
      const turn = Array.from({ length: Math.min(BLAST, first - sent) });
      await Promise.all(turn.map(() => sendAll(socket, address, Number(port), bytes)));
    }
  } else {
    await sendAll(socket, address, Number(port), new TextEncoder().encode("quit"));
  }
  socket.close();
}

await main([...Deno.args]);
