/** The default guest behind passt has an address, a route and a name server when its command begins. */
import { assertEquals } from "../../src/std/assert.ts";
import { runCli } from "../support/cli_process.ts";
import { missingProgram } from "../support/debian_program.ts";
import { linuxTest } from "../support/kvm.ts";
import { namespaceRefusal, NetNamespace } from "../support/net_namespace.ts";

const missing = namespaceRefusal() ?? await missingProgram("passt", "--version", "passt");

linuxTest("a card that passt serves is configured before the command runs", async () => {
  using network = new NetNamespace();
  network.addTap("ext0", "192.0.2.2/24");
  network.ip("route add default via 192.0.2.1 dev ext0");
  const script =
    "ip -4 address show eth0 | sed -n 's/.*inet \\([^ ]*\\).*/\\1/p'; ip route | head -n 1; " +
    "test -e /etc/resolv.conf && echo resolv";
  const { code, stdout, stderr } = await runCli(
    ["run", "--net", "user", "--", "sh", "-c", script],
    {
      prefix: network.prefix,
      limitMs: 120_000,
    },
  );
  assertEquals(code, 0, stderr);
  assertEquals(
    stdout.trim().split("\n").map((line) => line.trim()),
    ["192.0.2.2/24", "default via 192.0.2.1 dev eth0", "resolv"],
  );
}, missing);
