/**
 * vsock, measured with the ring-3 tiny guest: round trip of one byte, bytes a second each way through one connection,
 * and the processor time of this process (guest, I/O thread and the program at the other end together) for a GB.
 * Self-contained: `deno run -A tests/bench/vsock.ts`. Prints one JSON object for each measurement.
 */
import { processorMs } from "../support/host_state.ts";
import { VsockGuest } from "../support/vsock_guest.ts";
import { callUds, patternAt } from "../support/vsock_pattern.ts";

const PORT = 80;
const GIB = 2 ** 30;
const CHUNK = 64 * 1024;
const ROUND_TRIPS = 20_000;

interface Measurement {
  readonly name: string;
  readonly bytes: number;
  readonly seconds: number;
  readonly processorSeconds: number;
}

function show({ name, bytes, seconds, processorSeconds }: Measurement): void {
  const gb = bytes / 1e9;
  console.log(JSON.stringify({
    name,
    gbPerSecond: Number((gb / seconds).toFixed(2)),
    processorSecondsPerGb: Number((processorSeconds / gb).toFixed(2)),
  }));
}

/** Runs `work` with both clocks. */
async function timed(name: string, bytes: number, work: () => Promise<void>): Promise<void> {
  const started = performance.now(), processor = processorMs();
  await work();
  const seconds = (performance.now() - started) / 1000;
  show({ name, bytes, seconds, processorSeconds: (processorMs() - processor) / 1000 });
}

async function guestToHost(): Promise<void> {
  let listener: Deno.UnixListener | undefined;
  await using guest = await VsockGuest.start(
    `test=vsock mode=source connect=${PORT} bytes=${GIB}`,
    (guest) => listener = Deno.listen({ transport: "unix", path: `${guest.uds}_${PORT}` }),
  );
  using conn = await listener?.accept();
  listener?.close();
  const bytes = new Uint8Array(4 * CHUNK);
  await timed("guest to host, 64 KiB packets", GIB, async () => {
    while (await conn?.read(bytes));
  });
  conn?.close();
  await guest.machine.exited;
}

async function hostToGuest(bufferBytes: number): Promise<void> {
  await using guest = await VsockGuest.start(
    `test=vsock mode=sink listen=${PORT} rxsize=${bufferBytes}`,
  );
  await guest.ready();
  using conn = await callUds(guest.uds, PORT);
  await timed(`host to guest, buffers of ${bufferBytes}`, GIB, async () => {
    for (let at = 0; at < GIB;) {
      const rest = patternAt(at, CHUNK);
      for (let done = 0; done < rest.length;) done += await conn?.write(rest.subarray(done)) ?? 0;
      at += rest.length;
    }
    await conn?.closeWrite();
    await guest.machine.exited;
  });
}

/** To an echo in this isolate, and so through its event loop, too. */
async function roundTrip(): Promise<void> {
  let listener: Deno.UnixListener | undefined;
  await using guest = await VsockGuest.start(
    `test=vsock-bench connect=${PORT} ops=${ROUND_TRIPS}`,
    (guest) => listener = Deno.listen({ transport: "unix", path: `${guest.uds}_${PORT}` }),
  );
  const conn = await listener?.accept();
  listener?.close();
  const bytes = new Uint8Array(64);
  const started = performance.now();
  let trips = 0;
  for (let n = await conn?.read(bytes); n; n = await conn?.read(bytes)) {
    await conn?.write(bytes.subarray(0, n));
    trips++;
  }
  const microseconds = (performance.now() - started) * 1000 / trips;
  conn?.close();
  await guest.machine.exited;
  console.log(
    JSON.stringify({ name: "round trip of a byte", trips, us: Math.round(microseconds) }),
  );
}

if (import.meta.main) {
  await guestToHost();
  await hostToGuest(4096);
  await hostToGuest(44 + CHUNK);
  await roundTrip();
}
