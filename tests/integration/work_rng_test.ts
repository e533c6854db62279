/** virtio-rng under Linux. */
import { assertEquals, assertStringIncludes } from "../../src/std/assert.ts";
import { assertBalanced } from "../support/balance.ts";
import { guestTest } from "../support/linux_guests.ts";

guestTest("/dev/hwrng gives balanced bytes, and the disk stays where it was", async (guest) => {
  const script = "cat /sys/class/misc/hw_random/rng_current; cat /sys/block/vda/serial; " +
    "echo; dd if=/dev/hwrng bs=64 count=64 2>/dev/null | xxd -p | tr -d '\\n'";
  const { code, stdout } = await guest.run({ script, flags: ["--rng", "on"] });
  assertEquals(code, 0, stdout);
  const [source = "", serial, hex = ""] = stdout.split("\n").map((line) => line.trim());
  assertStringIncludes(source, "virtio_rng");
  assertEquals(serial, "root");
  const bytes = Uint8Array.fromHex(hex);
  assertEquals(bytes.length, 4096);
  const ones = bytes.reduce((sum, byte) => sum + byte.toString(2).replaceAll("0", "").length, 0);
  assertBalanced(ones, bytes.length);
});
