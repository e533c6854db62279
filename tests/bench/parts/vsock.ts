/**
 * virtio-vsock through its socket file, with the ring-3 tiny guest at the one end and this isolate at the other: bytes a
 * second each way through one connection, the processor time of the whole process (guest, I/O thread and this end
 * together), and the round trip of a byte. QEMU's needs vhost, which not every host has: ours only.
 */
import { processorMs } from "../../support/host_state.ts";
import { VsockGuest } from "../../support/vsock_guest.ts";
import { callUds, patternAt } from "../../support/vsock_pattern.ts";
import type { Setting } from "../setting.ts";
import { announce, type Row } from "../table.ts";

const PORT = 80;
const GIB = 2 ** 30;
const CHUNK = 64 * 1024;
const ROUND_TRIPS = 20_000;
const ROUNDS = 3;
/** A buffer of the guest that holds a packet of 64 KiB with its header. */
const WHOLE_PACKET = 44 + CHUNK;
const COLUMN = "dinovisor";

/** One transfer. */
interface Transfer {
  readonly bytes: number;
  readonly seconds: number;
  readonly processorSeconds: number;
}

export async function vsockRows(setting: Setting): Promise<Row[]> {
  const bytes = setting.amount(GIB);
  const rows: Row[] = [];
  for (
    const [name, transfer] of [
      ["vsock, guest to host", () => guestToHost(bytes)],
      ["vsock, host to guest, 4 KiB buffers", () => hostToGuest(bytes, 4096)],
      ["vsock, host to guest, 64 KiB buffers", () => hostToGuest(bytes, WHOLE_PACKET)],
    ] as const
  ) {
    const transfers: Transfer[] = [];
    for (let i = 0; i < setting.rounds(ROUNDS); i++) transfers.push(await transfer());
    rows.push(...transferRows(name, transfers));
  }
  const trips: number[] = [];
  for (let i = 0; i < setting.rounds(ROUNDS); i++) {
    trips.push(await roundTripMicroseconds(setting.amount(ROUND_TRIPS)));
  }
  rows.push(row("vsock, round trip of a byte", "µs", "less", trips));
  return rows;
}

function transferRows(name: string, transfers: readonly Transfer[]): Row[] {
  const rate = transfers.map(({ bytes, seconds }) => bytes / 1e9 / seconds);
  const cost = transfers.map(({ bytes, processorSeconds }) => processorSeconds / (bytes / 1e9));
  return [
    row(name, "GB/s", "more", rate),
    row(name, "processor s/GB", "less", cost),
  ];
}

function row(name: string, unit: string, better: Row["better"], values: number[]): Row {
  return announce({ name, unit, better, samples: new Map([[COLUMN, values]]) });
}

/** Runs `work` with both clocks. */
async function timed(bytes: number, work: () => Promise<void>): Promise<Transfer> {
  const started = performance.now(), processor = processorMs();
  await work();
  const seconds = (performance.now() - started) / 1000;
  return { bytes, seconds, processorSeconds: (processorMs() - processor) / 1000 };
}

async function guestToHost(bytes: number): Promise<Transfer> {
  let listener: Deno.UnixListener | undefined;
  await using guest = await VsockGuest.start(
    `test=vsock mode=source connect=${PORT} bytes=${bytes}`,
    (guest) => listener = Deno.listen({ transport: "unix", path: `${guest.uds}_${PORT}` }),
  );
  using conn = await listener?.accept();
  listener?.close();
  const piece = new Uint8Array(4 * CHUNK);
  const transfer = await timed(bytes, async () => {
    while (await conn?.read(piece));
  });
  await guest.machine.stop();
  return transfer;
}

async function hostToGuest(bytes: number, bufferBytes: number): Promise<Transfer> {
  await using guest = await VsockGuest.start(
    `test=vsock mode=sink listen=${PORT} rxsize=${bufferBytes}`,
  );
  await guest.ready();
  using conn = await callUds(guest.uds, PORT);
  return await timed(bytes, async () => {
    for (let at = 0; at < bytes;) {
      const rest = patternAt(at, Math.min(CHUNK, bytes - at));
      for (let done = 0; done < rest.length;) done += await conn?.write(rest.subarray(done)) ?? 0;
      at += rest.length;
    }
    await conn?.closeWrite();
    await guest.machine.exited;
  });
}

/** To an echo in this isolate, and so through its event loop, too. */
async function roundTripMicroseconds(count: number): Promise<number> {
  let listener: Deno.UnixListener | undefined;
  await using guest = await VsockGuest.start(
    `test=vsock-bench connect=${PORT} ops=${count}`,
    (guest) => listener = Deno.listen({ transport: "unix", path: `${guest.uds}_${PORT}` }),
  );
  using conn = await listener?.accept();
  listener?.close();
  const bytes = new Uint8Array(64);
  const started = performance.now();
  let trips = 0;
  for (let n = await conn?.read(bytes); n; n = await conn?.read(bytes)) {
    await conn?.write(bytes.subarray(0, n));
    trips++;
  }
  const microseconds = (performance.now() - started) * 1000 / trips;
  await guest.machine.exited;
  return microseconds;
}
