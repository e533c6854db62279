/** Sockets between guest and the machine's owner: Machine.connect and Machine.listen, with the tiny guest. */
import { type VsockListener } from "../../src/machine/vsock_host.ts";
import { Machine } from "../../src/machine/machine.ts";
import { MachineError } from "../../src/machine/machine_error.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "../../src/std/assert.ts";
import { settledState } from "../support/host_state.ts";
import { delay, kvmTest, tinyConfig, within } from "../support/kvm.ts";
import { assertWritesWait, VsockGuest } from "../support/vsock_guest.ts";
import { receivePattern, sendPattern, streamSink } from "../support/vsock_pattern.ts";

const MIB = 2 ** 20;
const PORT = 80;

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error = await assertRejects(() => work, MachineError);
  return error.code;
}

kvmTest("connect() gives streams both ways, with the end of each passed on", async () => {
  await using guest = await VsockGuest.start(`test=vsock mode=echo listen=${PORT}`);
  await guest.ready();
  await using connection = await guest.machine.connect({ vsock: PORT });
  const [got] = await Promise.all([
    receivePattern(connection.readable),
    sendPattern(streamSink(connection.writable), 3 * MIB),
  ]);
  assertEquals(got, 3 * MIB);
  const { connections, resets } = await guest.result();
  assertEquals({ connections, resets }, { connections: 1, resets: 0 });
});

kvmTest("listen() takes the guest's calls, 200 at once, each with its own bytes", async () => {
  let listener: VsockListener | undefined;
  await using guest = await VsockGuest.start(
    `test=vsock mode=source connect=${PORT} conns=200 bytes=100K`,
    ({ machine }) => listener = machine.listen({ vsock: PORT }),
  );
  assert(listener !== undefined);
  const calls: Promise<number>[] = [];
  for await (const { readable, close } of bound(listener)) {
    calls.push(receivePattern(readable).finally(close));
    if (calls.length === 200) listener.close();
  }
  assertEquals(await Promise.all(calls), new Array(200).fill(102_400));
  const { connections, out } = await guest.result();
  assertEquals({ connections, out }, { connections: 200, out: 200 * 102_400 });
});

/** The connections with `close` as a function of its own. */
async function* bound(listener: VsockListener) {
  for await (const call of listener) yield { readable: call.readable, close: () => call.close() };
}

kvmTest("a write waits while the guest does not read, and goes on when it does", async () => {
  await using guest = await VsockGuest.start(`test=vsock mode=stuck listen=${PORT} credit=65536`);
  await guest.ready();
  await using connection = await guest.machine.connect({ vsock: PORT });
  await assertWritesWait(connection, 65_536);
});

kvmTest("who does not read holds the guest up", async () => {
  let listener: VsockListener | undefined;
  await using guest = await VsockGuest.start(
    `test=vsock mode=source connect=${PORT} bytes=16M`,
    ({ machine }) => listener = machine.listen({ vsock: PORT }),
  );
  await using call = await listener?.accept();
  await delay(300);
  assertEquals(guest.machine.status, "running"); // it cannot have sent everything
  assert(call !== undefined);
  assertEquals(await receivePattern(call.readable), 16 * MIB);
  call.close();
  assertEquals((await guest.result())["out"], 16 * MIB);
});

kvmTest("what cannot be had has a code: port, listener, device, state", async () => {
  await using guest = await VsockGuest.start(`test=vsock mode=echo listen=${PORT}`);
  const { machine } = guest;
  await guest.ready();
  assertEquals(await codeOf(machine.connect({ vsock: PORT + 1 })), "VSOCK_REFUSED");
  assertEquals(await codeOf(machine.connect({ vsock: -1 })), "VSOCK_PORT");
  assertEquals(await codeOf(machine.connect({ vsock: 2 ** 32 })), "VSOCK_PORT");
  const listener = machine.listen({ vsock: 9 });
  const twice = assertThrows(() => machine.listen({ vsock: 9 }), MachineError);
  assertEquals(twice.code, "VSOCK_IN_USE");
  const accepting = codeOf(listener.accept());
  listener.close();
  assertEquals(await accepting, "CLOSED");
  machine.listen({ vsock: 9 }).close();
  await machine.stop();
  assertEquals(await codeOf(machine.connect({ vsock: PORT })), "STATE");
  await using without = await Machine.create(await tinyConfig({ words: "test=idle" }));
  assertEquals(await codeOf(without.connect({ vsock: PORT })), "NO_VSOCK");
});

kvmTest("a call can be given up", async () => {
  // The guest that sleeps before its driver is up never answers.
  await using machine = await Machine.create(
    await tinyConfig({
      words: "test=serial-echo",
      devices: [{ kind: "vsock", cid: 3 }],
    }),
  );
  machine.start();
  const reason = await machine.connect({ vsock: 1, signal: AbortSignal.timeout(100) })
    .then(() => undefined, (error) => error.name);
  assertEquals(reason, "TimeoutError");
});

kvmTest("the end of the machine ends streams and listeners, and leaves nothing open", async () => {
  await (await VsockGuest.start("test=idle"))[Symbol.asyncDispose](); // its threads wait for the next one
  const before = await settledState();
  const guest = await VsockGuest.start(`test=vsock mode=echo listen=${PORT}`);
  await guest.ready();
  const connection = await guest.machine.connect({ vsock: PORT });
  const reading = connection.readable.getReader().read().then(({ done }) => done, () => true);
  const accepting = codeOf(guest.machine.listen({ vsock: 9 }).accept());
  await guest.machine.stop();
  assertEquals([await reading, await accepting], [true, "CLOSED"]);
  await guest[Symbol.asyncDispose]();
  assertEquals((await settledState()).fds, before.fds);
});

/** Names of machines' own sockets, of this and all other processes here. */
function ownerSocketNames(): string[] {
  const names = Deno.readTextFileSync("/proc/net/unix").match(/@dinovisor-[-\w]+/g) ?? [];
  return names.filter((name) => !name.includes("_"));
}

kvmTest("strangers who find the names in /proc/net/unix get nowhere", async () => {
  const others = new Set(ownerSocketNames());
  await using guest = await VsockGuest.start(`test=vsock mode=echo listen=${PORT} total=2`);
  await guest.ready();
  await using listener = guest.machine.listen({ vsock: 9 });
  const accepted = listener.accept().then(() => "accepted", () => "closed");
  const name = ownerSocketNames().find((name) => !others.has(name)) ?? "";
  const script = `import socket, sys
for name in sys.argv[1:]:
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    s.connect("\\0" + name[1:])
    try:
        s.sendall(b"CONNECT ${PORT}\\n" + b"x" * 20)
        print(len(s.recv(100)))
    except OSError: print(0)`;
  const stranger = new Deno.Command("python3", { args: ["-c", script, name, `${name}_9`] });
  const { stdout } = await within(25_000, "the stranger", stranger.output());
  assertEquals(new TextDecoder().decode(stdout), "0\n0\n");
  listener.close();
  assertEquals(await within(5000, "the end of accept()", accepted), "closed");
});
