/** The guest's consoles under load: bytes go in, come back and are summed in the guest; the window's size changes. */
import { assert, assertEquals } from "../../src/std/assert.ts";
import { firstDifference } from "../support/disk_image.ts";
import { byHost } from "../support/host_kind.ts";
import { guestTest, LONG, OUTPUT_MS, type ReadyGuest } from "../support/linux_guests.ts";

const KIB = 1024;
const MIB = KIB * KIB;
/** Less than a terminal's buffer in Linux, so that it is all there when the command ends. */
const LAST_BYTES = 3000;
const SYSRQ = 0x0f;
const ESCAPE_QUIT = "\x1dq";
/** Linux gives hvc0 16 bytes at a time (drivers/tty/hvc/hvc_console.h, N_OUTBUF): about 3 ms where emulated. */
const HVC_BYTES = byHost({
  hardware: 10 * MIB,
  nested: 10 * MIB,
  emulated: LONG ? 256 * KIB : 32 * KIB,
});
/** One exit a byte in both directions. */
const SERIAL_BYTES = byHost({ hardware: 64 * KIB, nested: 4 * KIB, emulated: KIB });

async function flood(
  guest: ReadyGuest,
  console: "virtio" | "serial",
  bytes: number,
): Promise<void> {
  const sent = randomBytes(bytes);
  const script = `stty raw -echo; echo ready; head -c ${bytes} | tee /tmp/in; sha256sum </tmp/in`;
  await using process = guest.start({ script, console });
  await process.waitFor("ready\n", { ms: OUTPUT_MS });
  await process.write(sent);
  const { code, stdoutBytes, stderr } = await process.ended;
  assertEquals(code, 0, stderr);
  // A stock kernel's decompressor may have spoken before.
  const begin = new TextDecoder("latin1").decode(stdoutBytes).indexOf("ready\n") + "ready\n".length;
  assertEquals(firstDifference(stdoutBytes.subarray(begin, begin + bytes), sent), -1, "differs at");
  const sum = new TextDecoder().decode(stdoutBytes.subarray(begin + bytes));
  assertEquals(sum, `${await sha256(sent)}  -\n`);
}

guestTest(
  "hvc0: a flood of bytes in and out at once arrives byte for byte",
  (guest) => flood(guest, "virtio", HVC_BYTES),
);

guestTest(
  "ttyS0: a flood of bytes in and out at once arrives byte for byte",
  (guest) => flood(guest, "serial", SERIAL_BYTES),
  { parts: ["serial port"] },
);

guestTest("ttyS0: what a command prints last arrives although it ends at once", async (guest) => {
  // The port's interrupt, which sends, on one CPU, and the command on the other: it ends before all is sent.
  const script = [
    "for irq in /proc/irq/*/smp_affinity; do echo 1 >$irq; done 2>/dev/null",
    "taskset -p 2 $$ >/dev/null",
    `head -c ${LAST_BYTES} /dev/zero | tr '\\0' x`,
  ].join("; ");
  const { code, stdout, stderr } = await guest.run({ script, console: "serial", vcpus: 2 });
  assertEquals(code, 0, stderr);
  assertEquals(stdout.match(/x+$/)?.[0].length, LAST_BYTES);
}, { parts: ["serial port"], vcpus: 2 });

guestTest("hvc0: the guest sees each change of the window's size", async (guest) => {
  const script = "while :; do stty size; sleep 1; done";
  await using process = guest.startOnTerminal({ script }, 91, 33);
  await process.waitFor("33 91", { ms: OUTPUT_MS });
  const tty = /\/dev\/\S+/.exec(process.stdout)?.[0] ?? "";
  for (const [columns, rows] of [["120", "50"], ["80", "25"]] as const) {
    const { success } = await new Deno.Command("stty", {
      args: ["-F", tty, "cols", columns, "rows", rows],
    }).output();
    assert(success, `stty on ${tty}`);
    await process.waitFor(`${rows} ${columns}`, { ms: OUTPUT_MS });
  }
  await process.write(ESCAPE_QUIT);
  assertEquals((await process.ended).code, 0);
});

/**
 * All values but Ctrl-O: on the console that is /dev/console, Linux takes it and the byte behind it for a SysRq
 * command (drivers/tty/hvc/hvc_console.c, __hvc_poll).
 */
function randomBytes(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65536) { // the most getRandomValues gives at once
    crypto.getRandomValues(bytes.subarray(at, at + 65536));
  }
  return bytes.map((byte) => byte === SYSRQ ? 0 : byte);
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}
