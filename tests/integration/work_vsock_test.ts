/** socat in a Linux guest, and clients of Firecracker's dialect on the host: what is sent is what arrives. */
import { assert, assertEquals } from "../../src/std/assert.ts";
import { DiskDirectory, writtenPattern } from "../support/disk_image.ts";
import { byHost } from "../support/host_kind.ts";
import { guestTest, OUTPUT_MS } from "../support/linux_guests.ts";
import { delay, until } from "../support/kvm.ts";
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

guestTest(
  "a guest that listens is called by nobody when there is no vsock device",
  async (guest) => {
    const { code, stdout } = await guest.run({
      script: "socat -T 1 - VSOCK-CONNECT:2:80 < /dev/null && exit 1; exit 7",
    });
    assert(code === 7, stdout);
  },
);
