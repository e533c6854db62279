/** Sockets between guest and host through the Unix-socket dialect, with the tiny guest. */
import { assert, assertEquals } from "../../src/std/assert.ts";
import { descriptorsOf, hostState, settledState } from "../support/host_state.ts";
import { delay, kvmTest, until } from "../support/kvm.ts";
import { VsockGuest } from "../support/vsock_guest.ts";
import {
  callUds,
  patternAt,
  receivePattern,
  sendPattern,
  socketSink,
  socketSource,
} from "../support/vsock_pattern.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const PORT = 80;

/** Listens on a host port as other programs do. */
function listenUds(guest: VsockGuest, port = PORT): Deno.UnixListener {
  return Deno.listen({ transport: "unix", path: `${guest.uds}_${port}` });
}

function isSocket(path: string): boolean {
  try {
    return Deno.lstatSync(path).isSocket === true;
  } catch {
    return false;
  }
}

/** Sends `bytes` and reads to the end; returns how many bytes too many came back. Closes the socket. */
async function askForEcho(conn: Deno.UnixConn, bytes: number): Promise<number> {
  const [got] = await Promise.all([
    receivePattern(socketSource(conn)),
    sendPattern(socketSink(conn), bytes),
  ]);
  conn.close();
  return got - bytes;
}

kvmTest("a gigabyte from the guest through one connection arrives as it was sent", async () => {
  let listener: Deno.UnixListener | undefined;
  await using guest = await VsockGuest.start(
    `test=vsock mode=source connect=${PORT} bytes=1G`,
    (guest) => listener = listenUds(guest),
  );
  const conn = await listener?.accept();
  listener?.close();
  assert(conn !== undefined);
  assertEquals(await receivePattern(socketSource(conn)), GIB);
  conn.close();
  const { out, resets, failures } = await guest.result();
  assertEquals({ out, resets, failures }, { out: GIB, resets: 0, failures: 0 });
});

kvmTest("a gigabyte to the guest through one connection arrives as it was sent", async () => {
  await using guest = await VsockGuest.start(`test=vsock mode=sink listen=${PORT} rxsize=65580`);
  await guest.ready();
  using conn = await callUds(guest.uds, PORT);
  assert(conn !== undefined);
  await sendPattern(socketSink(conn), GIB);
  const result = await guest.result();
  assertEquals([result["in"], result["failures"]], [GIB, 0]);
});

kvmTest(
  "200 connections at once from the guest, each both ways, get back what they sent",
  async () => {
    let listener: Deno.UnixListener | undefined;
    await using guest = await VsockGuest.start(
      `test=vsock mode=echo connect=${PORT} conns=200`,
      (guest) => listener = listenUds(guest),
    );
    assert(listener !== undefined);
    const calls: Promise<number>[] = [];
    for (let i = 0; i < 200; i++) {
      calls.push(askForEcho(await listener.accept(), 20_000 + i * 100));
    }
    listener.close();
    assertEquals(await Promise.all(calls), new Array(200).fill(0));
    const { connections, resets } = await guest.result();
    assertEquals({ connections, resets }, { connections: 200, resets: 0 });
  },
);

kvmTest("200 callers of the guest at once, each both ways, get back what they sent", async () => {
  await using guest = await VsockGuest.start(`test=vsock mode=echo listen=${PORT} total=200`);
  await guest.ready();
  const conns = await Promise.all(Array.from({ length: 200 }, () => callUds(guest.uds, PORT)));
  const results = await Promise.all(conns.map(async (conn, i) => {
    assert(conn !== undefined);
    return await askForEcho(conn, 20_000 + i * 100);
  }));
  assertEquals(results, new Array(200).fill(0));
  const { connections, failures } = await guest.result();
  assertEquals({ connections, failures }, { connections: 200, failures: 0 });
});

kvmTest("a slow reader on the host holds the guest up, and gets everything", async () => {
  let listener: Deno.UnixListener | undefined;
  await using guest = await VsockGuest.start(
    `test=vsock mode=source connect=${PORT} bytes=4M`,
    (guest) => listener = listenUds(guest),
  );
  using conn = await listener?.accept();
  listener?.close();
  assert(conn !== undefined);
  await delay(300); // by now the guest has no credit
  const piece = new Uint8Array(100_000);
  let got = 0;
  for (let n = await conn.read(piece); n !== null; n = await conn.read(piece)) {
    assertEquals(piece.subarray(0, Math.min(n, 60_000)), patternAt(got, Math.min(n, 60_000)));
    got += n;
    if (got < MIB) await delay(5);
  }
  assertEquals(got, 4 * MIB);
  conn.close();
  await guest.result();
}, { limitMs: 120_000 });

kvmTest(
  "a writer on the host waits for a guest that does not read, and nothing grows",
  async () => {
    await using guest = await VsockGuest.start(`test=vsock mode=stuck listen=${PORT} credit=65536`);
    await guest.ready();
    using conn = await callUds(guest.uds, PORT);
    assert(conn !== undefined);
    let taken = 0;
    const flood = (async () => {
      for (;;) taken += await conn.write(patternAt(0, 65_536));
    })().catch(() => {});
    await delay(200);
    const before = { taken, rss: hostState().rssMib };
    await delay(300);
    assertEquals(taken, before.taken);
    assert(taken < 2 * MIB, `${taken} bytes were taken for a guest that reads none`);
    assert(hostState().rssMib < before.rss + 8);
    await guest.machine.stop();
    await flood;
  },
);

kvmTest("a guest that resets its connections in the middle ends them on the host", async () => {
  let listener: Deno.UnixListener | undefined;
  await using guest = await VsockGuest.start(
    `test=vsock mode=abrupt connect=${PORT} conns=20 bytes=50K`,
    (guest) => listener = listenUds(guest),
  );
  assert(listener !== undefined);
  for (let i = 0; i < 20; i++) {
    using conn = await listener.accept();
    const got = await receivePattern(socketSource(conn)); // ends, whatever was on its way
    assert(got <= 51_200);
  }
  listener.close();
  const { connections } = await guest.result();
  assertEquals(connections, 20);
});

kvmTest("callers that go in the middle are noticed by the guest", async () => {
  await using guest = await VsockGuest.start(`test=vsock mode=echo listen=${PORT} total=20`);
  await guest.ready();
  for (let i = 0; i < 20; i++) {
    const conn = await callUds(guest.uds, PORT);
    await conn?.write(patternAt(0, 10_000));
    conn?.close(); // with the echo unread
  }
  const { connections } = await guest.result();
  assertEquals(connections, 20);
});

kvmTest(
  "5000 connections made and closed by each side leave no descriptor and no memory",
  async () => {
    let listener: Deno.UnixListener | undefined;
    await using guest = await VsockGuest.start(
      `test=vsock mode=source connect=${PORT} bytes=100 conns=32 total=5100`,
      (guest) => listener = listenUds(guest),
    );
    assert(listener !== undefined);
    const piece = new Uint8Array(128);
    const take = async (count: number) => {
      for (let i = 0; i < count; i++) {
        using conn = await listener?.accept();
        let got = 0;
        for (let n = await conn?.read(piece); n; n = await conn?.read(piece)) got += n;
        assertEquals(got, 100);
      }
    };
    await take(100);
    const before = hostState();
    await take(4968);
    const after = hostState();
    assert(after.fds <= before.fds + 64, `${before.fds} descriptors, then ${after.fds}`);
    assert(after.rssMib < before.rssMib + 64, `${before.rssMib} MiB, then ${after.rssMib}`);
    await take(32);
    listener.close();
    const { connections, out } = await guest.result();
    assertEquals({ connections, out }, { connections: 5100, out: 510_000 });
  },
  { limitMs: 120_000 },
);

kvmTest("2000 callers, one after the other, are served and leave nothing", async () => {
  await (await VsockGuest.start("test=idle"))[Symbol.asyncDispose](); // its threads wait for the next one
  const before = await settledState();
  {
    await using guest = await VsockGuest.start(`test=vsock mode=echo listen=${PORT} total=2000`);
    await guest.ready();
    for (let i = 0; i < 2000; i++) {
      using conn = await callUds(guest.uds, PORT);
      assert(conn !== undefined, `call ${i}`);
      await conn.write(patternAt(0, 10));
      assertEquals(await conn.read(new Uint8Array(20)), 10);
    }
    await guest.result();
  }
  const after = await settledState();
  assertEquals(after.fds, before.fds);
}, { limitMs: 120_000 });

kvmTest(
  "calls to a port nobody listens on, and to no port at all, find the socket closed",
  async () => {
    await using guest = await VsockGuest.start(`test=vsock mode=echo listen=${PORT}`);
    await guest.ready();
    assertEquals(await callUds(guest.uds, PORT + 1), undefined);
    for (const line of ["HELLO\n", "CONNECT\n", "CONNECT x\n", "x".repeat(33), "\n"]) {
      using conn = await Deno.connect({ transport: "unix", path: guest.uds });
      await conn.write(new TextEncoder().encode(line));
      assertEquals(await conn.read(new Uint8Array(10)).catch(() => null), null, line);
    }
    using conn = await callUds(guest.uds, PORT);
    assert(conn !== undefined, "the guest is still served");
  },
);

kvmTest("a caller may say CONNECT in pieces, and data right behind it", async () => {
  await using guest = await VsockGuest.start(`test=vsock mode=echo listen=${PORT}`);
  await guest.ready();
  using conn = await Deno.connect({ transport: "unix", path: guest.uds });
  for (const part of ["con", "nect ", `${PORT}\nhello`]) {
    await conn.write(new TextEncoder().encode(part));
    await delay(10);
  }
  let text = "";
  const bytes = new Uint8Array(100);
  while (!text.endsWith("hello")) {
    text += new TextDecoder().decode(bytes.subarray(0, await conn.read(bytes) ?? 0));
  }
  assertEquals(text, "OK 1073741824\nhello");
});

kvmTest("a caller that says nothing is sent away after two seconds", async () => {
  await using guest = await VsockGuest.start(`test=vsock mode=echo listen=${PORT}`);
  await guest.ready();
  const started = performance.now();
  using conn = await Deno.connect({ transport: "unix", path: guest.uds });
  assertEquals(await conn.read(new Uint8Array(1)).catch(() => null), null);
  const ms = performance.now() - started;
  assert(ms > 1900 && ms < 10_000, `${ms} ms`);
});

kvmTest("the socket file is there before the guest runs and gone with the machine", async () => {
  const guest = await VsockGuest.start(`test=vsock mode=echo listen=${PORT}`);
  const { uds } = guest;
  assert(isSocket(uds));
  await guest.machine.stop();
  assert(!isSocket(uds));
  await guest[Symbol.asyncDispose]();
  await until("no listener is left", () => descriptorsOf(uds).length === 0);
});
