/**
 * Programs in a Linux guest, and clients of Firecracker's dialect or the machine's owner on the host: what is sent is
 * what arrives.
 */
import { Machine } from "../../src/machine/machine.ts";
import type { VsockConnection } from "../../src/machine/vsock_host.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import { DiskDirectory, writtenPattern } from "../support/disk_image.ts";
import { byHost } from "../support/host_kind.ts";
import { guestTest, OUTPUT_MS, type ReadyGuest } from "../support/linux_guests.ts";
import { delay, SLOWNESS, until } from "../support/kvm.ts";
import { callUds, socketSource } from "../support/vsock_pattern.ts";

/** A guest whose ring 0 is emulated copies about a megabyte a second. */
const BYTES = byHost({ hardware: 64, nested: 4, emulated: 0.25 }) * 2 ** 20;

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

async function readAll(conn: Deno.UnixConn): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  for await (const part of socketSource(conn)) parts.push(part.slice());
  return await new Response(new Blob(parts as BlobPart[])).bytes();
}

guestTest("socat: the guest calls the host, both ways, with half close", async (guest) => {
  using directory = new DiskDirectory();
  const uds = `${directory.path}/vm.sock`;
  const listener = Deno.listen({ transport: "unix", path: `${uds}_80` });
  const script = `head -c ${BYTES} /dev/zero | tr '\\0' v > /tmp/x; sha256sum < /tmp/x; ` +
    "socat -t 600 - VSOCK-CONNECT:2:80 < /tmp/x | sha256sum; socat - VSOCK-CONNECT:2:81 < /tmp/x || echo refused";
  const run = guest.run({ script, flags: ["--vsock", `cid=5,uds=${uds}`] });
  const ended = run.then(({ stdout, stderr }): never => {
    throw new Error(`The guest ended without a call: ${stdout}${stderr}`);
  });
  ended.catch(() => {}); // its end after the call is none of our business here
  const conn = await Promise.race([listener.accept(), ended]);
  const sent = await readAll(conn); // to the end, which is only the guest's own
  const answer = writtenPattern(BYTES, 3);
  for (let done = 0; done < answer.length;) done += await conn.write(answer.subarray(done));
  conn.close();
  listener.close();
  const { code, stdout } = await run;
  const [first, second, third] = stdout.split("\n").filter((line) => !line.includes("socat["));
  assertEquals(code, 0, stdout);
  assertEquals(sent.length, BYTES);
  assertEquals(first, `${await sha256(sent)}  -`);
  assertEquals(second, `${await sha256(answer)}  -`);
  assertEquals(third, "refused");
});

guestTest("socat: a raw client and socat call the guest, one after the other", async (guest) => {
  using directory = new DiskDirectory();
  const uds = `${directory.path}/vm.sock`;
  const script = "for i in 1 2; do socat -u VSOCK-LISTEN:52,reuseaddr - | sha256sum; done";
  await using process = guest.start({ script, flags: ["--vsock", `cid=5,uds=${uds}`] });
  const bytes = writtenPattern(BYTES, 9);
  const expected = `${await sha256(bytes)}  -`;
  let conn: Deno.UnixConn | undefined;
  await until("the guest listens", async () => {
    conn = await callUds(uds, 52).catch(() => undefined);
    return conn !== undefined;
  }, OUTPUT_MS);
  for (let done = 0; done < bytes.length;) done += await conn?.write(bytes.subarray(done)) ?? 0;
  conn?.close();
  await process.waitFor(expected, { ms: OUTPUT_MS });
  const path = `${directory.path}/call`;
  const call = new TextEncoder().encode("CONNECT 52\n");
  Deno.writeFileSync(path, call);
  Deno.writeFileSync(path, bytes, { append: true });
  await until("the guest listens again, and socat gets through", async () => {
    await delay(500); // a call that is refused costs the guest as much as one that is taken
    const { stdout, success } = await socat(["-t", "600", "-", `UNIX-CONNECT:${uds}`], path);
    return success && stdout.startsWith("OK ");
  }, OUTPUT_MS);
  const { code, stdout } = await process.ended;
  assertEquals(code, 0);
  assertEquals(stdout.split("\n").filter((line) => line.includes(expected)).length, 2, stdout);
});

/** The host's own socat, with a file as input. Throws when there is none: the Debian package is called socat, too. */
async function socat(
  args: string[],
  input: string,
): Promise<{ readonly stdout: string; readonly success: boolean }> {
  const child = new Deno.Command("socat", { args, stdin: "piped", stdout: "piped", stderr: "null" })
    .spawn();
  const feeding = Deno.open(input).then((file) => file.readable.pipeTo(child.stdin)).catch(
    () => {},
  );
  const { stdout, success } = await child.output();
  await feeding;
  return { stdout: new TextDecoder().decode(stdout), success };
}

/**
 * Around the payload that fits into one buffer of Linux's driver (4096 bytes with the header, or without), around that of
 * one packet of the guest's, and the longest message that Linux takes.
 */
const MESSAGES = [1, 4051, 4052, 4053, 4096, 2, 65_535, 65_536, 65_537, 262_144, 3]
  .map((length, number) => writtenPattern(length + 3, 100 + number).subarray(0, length)); // it is made of words

/** A machine of this process with `script` in it, to which `talk` has SOCK_SEQPACKET connections; what it printed. */
async function withMessages(
  guest: ReadyGuest,
  script: string,
  talk: (machine: Machine) => Promise<void>,
): Promise<string[]> {
  using directory = new DiskDirectory();
  const output = `${directory.path}/console`;
  const config = guest.config({ script }, output);
  const devices = [...config.devices, { kind: "vsock", cid: 5 } as const];
  await using machine = await Machine.create({ ...config, devices });
  const text = () => Deno.readTextFileSync(output).replaceAll("\r", "");
  const ended = machine.exited.then(({ reason }): never => {
    throw new Error(`The guest ended early (${reason}): ${text()}`);
  });
  ended.catch(() => {}); // once all is said it may end
  await Promise.race([talk(machine), ended]);
  const { reason } = await machine.exited;
  assert(reason === "exit-register" || reason === "poweroff", `${reason}: ${text()}`);
  return text().trimEnd().split("\n");
}

/** Sends all messages and ends the output; what came back until the guest did, each message by itself. */
async function exchange(connection: VsockConnection): Promise<Uint8Array<ArrayBuffer>[]> {
  const writing = (async () => {
    const writer = connection.writable.getWriter();
    for (const message of MESSAGES) await writer.write(message);
    await writer.close();
  })();
  const got: Uint8Array<ArrayBuffer>[] = [];
  for await (const message of connection.readable) got.push(message);
  await writing;
  return got;
}

/** Length and hash of each, which can be compared where a difference of this many bytes could not be printed. */
async function described(messages: readonly Uint8Array<ArrayBuffer>[]): Promise<string[]> {
  return await Promise.all(
    messages.map(async (message) => `${message.length} ${await sha256(message)}`),
  );
}

/** As `sha256sum` prints the files of `directory` that `work messages` makes. */
async function messageSums(directory: string): Promise<string[]> {
  const names = MESSAGES.map((_, number) => `${directory}/${String(number).padStart(4, "0")}`);
  return await Promise.all(
    MESSAGES.map(async (message, number) => `${await sha256(message)}  ${names[number]}`),
  );
}

/** Calls the guest until something there listens. */
async function called(machine: Machine, port: number): Promise<VsockConnection> {
  for (const deadline = performance.now() + OUTPUT_MS * SLOWNESS;;) {
    try {
      return await machine.connect({ vsock: port, type: "seqpacket" });
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await delay(500); // a call that is refused costs the guest as much as one that is taken
    }
  }
}

guestTest("messages keep their boundaries both ways, whoever calls", async (guest) => {
  const script = "mkdir /tmp/a /tmp/b; work messages call 80 /tmp/a; sha256sum /tmp/a/*; " +
    "work messages answer 81 /tmp/b; sha256sum /tmp/b/*";
  const lines = await withMessages(guest, script, async (machine) => {
    await using listener = machine.listen({ vsock: 80, type: "seqpacket" });
    machine.start();
    const expected = await described(MESSAGES);
    assertEquals(await described(await exchange(await listener.accept())), expected);
    assertEquals(await described(await exchange(await called(machine, 81))), expected);
  });
  assertEquals(lines, [
    `${MESSAGES.length} messages`,
    ...await messageSums("/tmp/a"),
    `${MESSAGES.length} messages`,
    ...await messageSums("/tmp/b"),
  ]);
}, { parts: ["serial port"] });

guestTest("socat with type=5 reads each message whole and sends one a write", async (guest) => {
  // What it reads is what it writes: EXEC would join messages, a socket of the same type does not.
  const script = "socat -b 262144 -t 600 VSOCK-CONNECT:2:80,type=5 VSOCK-LISTEN:81,type=5";
  await withMessages(guest, script, async (machine) => {
    await using listener = machine.listen({ vsock: 80, type: "seqpacket" });
    machine.start();
    await using one = await listener.accept();
    await using other = await called(machine, 81);
    const writer = one.writable.getWriter();
    const writing = (async () => {
      for (const message of MESSAGES) await writer.write(message);
      await writer.close();
    })();
    const got: Uint8Array<ArrayBuffer>[] = [];
    for await (const message of other.readable) got.push(message);
    await writing;
    assertEquals(await described(got), await described(MESSAGES));
    await other.writable.close();
    for await (const message of one.readable) throw new Error(`${message.length} bytes too many`);
  });
}, { parts: ["serial port"] });

guestTest(
  "a guest that listens is called by nobody when there is no vsock device",
  async (guest) => {
    const { code, stdout } = await guest.run({
      script: "socat -T 1 - VSOCK-CONNECT:2:80 < /dev/null && exit 1; exit 7",
    });
    assert(code === 7, stdout);
  },
);
