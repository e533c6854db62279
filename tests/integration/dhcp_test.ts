/** The default guest behind passt has an address, a route and a name server when its command begins. */
import { assertEquals } from "../../src/std/assert.ts";
import { runCli } from "../support/cli_process.ts";
import { missingProgram } from "../support/debian_program.ts";
import { linuxTest } from "../support/kvm.ts";
import { namespaceRefusal, NetNamespace } from "../support/net_namespace.ts";
import { busyboxBytes } from "../support/root_files.ts";

const missing = namespaceRefusal() ?? await missingProgram("passt", "--version", "passt");

/** Looks at the card with busybox, which any root here has, in a guest that is run with `flags`. */
async function looksConfigured(flags: readonly string[]): Promise<void> {
  using network = new NetNamespace();
  network.addTap("ext0", "192.0.2.2/24");
  network.ip("route add default via 192.0.2.1 dev ext0");
  const script = "b=/bin/busybox; " +
    "$b ip -4 address show eth0 | $b sed -n 's/.*inet \\([^ ]*\\).*/\\1/p'; " +
    "$b ip route | $b head -n 1; $b test -e /etc/resolv.conf && echo resolv";
  const words = ["run", ...flags, "--net", "user", "--", "/bin/busybox", "sh", "-c", script];
  const { code, stdout, stderr } = await runCli(words, {
    prefix: network.prefix,
    limitMs: 120_000,
  });
  assertEquals(code, 0, stderr);
  assertEquals(
    stdout.trim().split("\n").map((line) => line.trim()),
    ["192.0.2.2/24", "default via 192.0.2.1 dev eth0", "resolv"],
  );
}

linuxTest(
  "a card that passt serves is configured before the command runs",
  () => looksConfigured([]),
  missing,
);

linuxTest("so it is in a root of the user's, by a busybox of ours", async () => {
  const root = await Deno.makeTempDir({ dir: "/var/tmp", prefix: "dinovisor-rootfs-" });
  try {
    await Deno.mkdir(`${root}/bin`);
    await Deno.mkdir(`${root}/etc`);
    await Deno.writeFile(`${root}/bin/busybox`, await busyboxBytes(), { mode: 0o755 });
    await looksConfigured(["--rootfs", `dir:${root},size=64M`, "-m", "144"]);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}, missing);
