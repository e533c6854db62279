/** SOCK_SEQPACKET between guest and the machine's owner: a chunk is a message, with the tiny guest. */
import { Machine } from "../../src/machine/machine.ts";
import { MachineError } from "../../src/machine/machine_error.ts";
import type { VsockListener } from "../../src/machine/vsock_host.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "../../src/std/assert.ts";
import { delay, kvmTest, tinyConfig } from "../support/kvm.ts";
import { assertWritesWait, VsockGuest } from "../support/vsock_guest.ts";
import { patternAt, PatternCheck } from "../support/vsock_pattern.ts";

const KIB = 1024;
const MIB = 2 ** 20;
const PORT = 80;
const SEQPACKET = { vsock: PORT, type: "seqpacket" } as const;

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error = await assertRejects(() => work, MachineError);
  return error.code;
}

kvmTest("messages of any length come back from an echo as they were, each by itself", async () => {
  await using guest = await VsockGuest.start(`test=vsock seqpacket mode=echo listen=${PORT}`);
  await guest.ready();
  await using connection = await guest.machine.connect(SEQPACKET);
  const lengths = [1, 2, 31, 32, 33, 100, 4051, 4052, 4053, 4096, 10_000, 16_384, 1];
  const writer = connection.writable.getWriter();
  const writing = (async () => {
    for (const length of lengths) {
      await writer.write(patternAt(length, length));
      await writer.write(new Uint8Array());
    }
    await writer.close();
  })();
  const got: Uint8Array[] = [];
  for await (const message of connection.readable) got.push(message);
  await writing;
  assertEquals(got, lengths.map((length) => patternAt(length, length)));
  const { connections, resets, messages } = await guest.result();
  assertEquals({ connections, resets, messages }, {
    connections: 1,
    resets: 0,
    messages: lengths.length,
  });
});

for (const message of [1, 1000, 100_000, 256 * KIB]) {
  kvmTest(`the guest's messages of ${message} bytes arrive, one a chunk`, async () => {
    const bytes = Math.min(16 * MIB, message * 5000);
    let listener: VsockListener | undefined;
    await using guest = await VsockGuest.start(
      `test=vsock seqpacket mode=source connect=${PORT} message=${message} bytes=${bytes}`,
      ({ machine }) => listener = machine.listen(SEQPACKET),
    );
    await using call = await listener?.accept();
    await delay(100); // it runs out of credit meanwhile
    assertEquals(guest.machine.status, "running");
    const check = new PatternCheck();
    const lengths = new Map<number, number>();
    for await (const chunk of call?.readable ?? []) {
      check.look(chunk);
      lengths.set(chunk.length, (lengths.get(chunk.length) ?? 0) + 1);
    }
    assertEquals(check.bytes, bytes);
    const [whole, rest] = [Math.floor(bytes / message), bytes % message];
    assertEquals([...lengths], rest === 0 ? [[message, whole]] : [[message, whole], [rest, 1]]);
    call?.close();
    assertEquals((await guest.result())["resets"], 0);
  });
}

kvmTest("messages for the guest arrive whole, the longest ones too", async () => {
  const words = `test=vsock seqpacket mode=sink listen=${PORT} rxsize=65580`;
  await using guest = await VsockGuest.start(words);
  await guest.ready();
  await using connection = await guest.machine.connect(SEQPACKET);
  const writer = connection.writable.getWriter();
  let sent = 0;
  const lengths = [...Array(20).fill(64 * KIB), ...Array(500).fill(3), ...Array(20).fill(60_001)];
  for (const length of lengths) {
    await writer.write(patternAt(sent, length));
    sent += length;
  }
  const longest = new Uint8Array(256 * KIB);
  for (let at = 0; at < longest.length; at += 64 * KIB) {
    longest.set(patternAt(sent + at, 64 * KIB), at);
  }
  await writer.write(longest);
  await writer.close();
  const { messages, failures, in: received } = await guest.result();
  assertEquals({ messages, failures, received }, {
    messages: lengths.length + 1,
    failures: 0,
    received: sent + longest.length,
  });
});

kvmTest("a message waits while the guest does not read", async () => {
  const words = `test=vsock seqpacket mode=stuck listen=${PORT} credit=65536`;
  await using guest = await VsockGuest.start(words);
  await guest.ready();
  await using connection = await guest.machine.connect(SEQPACKET);
  await assertWritesWait(connection, 10_000);
});

kvmTest("a message that no guest, or not this one, has room for ends the writing", async () => {
  const words = `test=vsock seqpacket mode=sink listen=${PORT} credit=65536`;
  await using guest = await VsockGuest.start(words);
  await guest.ready();
  await using one = await guest.machine.connect(SEQPACKET);
  const tooLong = one.writable.getWriter().write(new Uint8Array(256 * KIB + 1));
  assertEquals(await codeOf(tooLong), "VSOCK_MESSAGE_LENGTH");
  await using other = await guest.machine.connect(SEQPACKET);
  await other.writable.getWriter().write(new Uint8Array(65_537));
  const ended = await other.readable.getReader().read().then(({ done }) => done, () => true);
  assert(ended, "the connection was reset");
});

kvmTest("the guest's calls for messages reach no listener for bytes, in any dialect", async () => {
  let listener: VsockListener | undefined;
  let unix: Deno.UnixListener | undefined;
  await using guest = await VsockGuest.start(
    `test=vsock seqpacket mode=source connect=${PORT} bytes=100`,
    ({ machine, uds }) => {
      listener = machine.listen({ vsock: PORT });
      unix = Deno.listen({ transport: "unix", path: `${uds}_${PORT}` });
    },
  );
  const { connections, resets, out } = await guest.result();
  assertEquals({ connections, resets, out }, { connections: 1, resets: 1, out: 0 });
  listener?.close();
  unix?.close();
});

kvmTest("what cannot be had of messages has a code: listener, type, port, feature", async () => {
  const words = `test=vsock seqpacket mode=echo listen=${PORT}`;
  await using guest = await VsockGuest.start(words);
  const { machine } = guest;
  await guest.ready();
  assertEquals(await codeOf(machine.connect({ vsock: PORT })), "VSOCK_REFUSED");
  assertEquals(await codeOf(machine.connect({ ...SEQPACKET, vsock: 81 })), "VSOCK_REFUSED");
  const wrong = { vsock: PORT, type: "dgram" as "stream" };
  assertEquals(await codeOf(machine.connect(wrong)), "VSOCK_TYPE");
  const listeners = [machine.listen({ vsock: 9 }), machine.listen({ vsock: 9, type: "seqpacket" })];
  const twice = () => machine.listen({ vsock: 9, type: "seqpacket" });
  assertEquals(assertThrows(twice, MachineError).code, "VSOCK_IN_USE");
  for (const listener of listeners) listener.close();
  using unix = await Deno.connect({ transport: "unix", path: guest.uds });
  await unix.write(new TextEncoder().encode(`SEQPACKET ${PORT}\n`));
  assertEquals(await unix.read(new Uint8Array(1)), null, "Firecracker's dialect has streams only");
  await machine.stop();
  await using bytesOnly = await VsockGuest.start(`test=vsock mode=echo listen=${PORT}`);
  await bytesOnly.ready();
  assertEquals(await codeOf(bytesOnly.machine.connect(SEQPACKET)), "VSOCK_REFUSED");
  await using without = await Machine.create(await tinyConfig({ words: "test=idle" }));
  assertEquals(await codeOf(without.connect(SEQPACKET)), "NO_VSOCK");
});
