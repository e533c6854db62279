/** Linux with a network card: transfers in both directions whose bytes are checked, on a tap and through passt. */
import { assertEquals } from "../../src/std/assert.ts";
import { missingProgram } from "../support/debian_program.ts";
import { byHost } from "../support/host_kind.ts";
import { fetched, HostServer } from "../support/http_host.ts";
import { guestTest, LONG, OUTPUT_MS, type ReadyGuest } from "../support/linux_guests.ts";
import { namespaceRefusal, NetNamespace } from "../support/net_namespace.ts";

const MIB = 2 ** 20;
/** Where ring 0 is emulated Linux copies at about 1.5 MB/s. */
const BYTES = LONG ? 64 * MIB : byHost({ hardware: 64 * MIB, nested: MIB, emulated: MIB / 4 });

const ignore = namespaceRefusal();

/** Registers `work` for each kernel, with a namespace of the host's of its own. */
function netTest(
  name: string,
  work: (guest: ReadyGuest, network: NetNamespace) => Promise<void>,
  missing: string | undefined = ignore,
): void {
  guestTest(name, async (guest) => {
    using network = new NetNamespace();
    await work(guest, network);
  }, { missing });
}

/** Fetches `url` and serves what has come to whoever fetches it, until it is told that this is done. */
function fetchAndServe(url: string): string {
  return [
    "mkdir /tmp/www",
    `wget -q -O /tmp/www/file "${url}"`,
    "sha256sum </tmp/www/file",
    "httpd -p 80 -h /tmp/www",
    "echo serving",
    "read line",
  ].join("; ");
}

netTest(
  "Linux on a tap pings, fetches and serves by IPv4 and IPv6, with jumbo frames",
  async (guest, network) => {
    network.addTap("vm0", "10.0.0.1/24");
    network.ip("address add fd00::1/64 dev vm0 nodad");
    await using server = await HostServer.start(network, "::", 8000, BYTES);
    const script = [
      "echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad",
      "cat /sys/class/net/eth0/mtu",
      "ip link set eth0 mtu 9000 up",
      "ip address add 10.0.0.2/24 dev eth0",
      "ip address add fd00::2/64 dev eth0",
      "ping -q -c 2 10.0.0.1 >/dev/null && echo ping4",
      "ping -q -c 2 -s 8000 10.0.0.1 >/dev/null && echo jumbo",
      "ping -q -c 2 fd00::1 >/dev/null && echo ping6",
      "wget -q -O - http://10.0.0.1:8000/ | sha256sum",
      fetchAndServe("http://[fd00::1]:8000/"),
    ].join("; ");
    const flags = ["--net", "tap=vm0,mtu=9000"];
    await using process = guest.start({ script, flags, prefix: network.prefix });
    await process.waitFor("serving\n", { ms: OUTPUT_MS });
    const got = [
      await fetched(network, "http://10.0.0.2/file", OUTPUT_MS),
      await fetched(network, "http://[fd00::2]/file", OUTPUT_MS),
    ];
    await process.write("done\n");
    const { code, stdout } = await process.ended;
    const lines = stdout.split("\n");
    assertEquals(lines.slice(0, 6), ["9000", "ping4", "jumbo", "ping6", server.sum, server.sum]);
    const served = `${server.sum.split(" ")[0]} ${BYTES}`;
    assertEquals(got, [served, served]);
    assertEquals(code, 0);
  },
);

const noPasst = await missingProgram("passt", "--version", "passt");

netTest(
  "Linux behind passt gets an address, fetches from the host's loopback, and a published port answers",
  async (guest, network) => {
    // passt takes the host's address and route over: it wants an interface with a default route.
    network.addTap("ext0", "192.0.2.2/24");
    network.ip("route add default via 192.0.2.1 dev ext0");
    await using server = await HostServer.start(network, "127.0.0.1", 8000, BYTES);
    const script = [
      "ip link set eth0 up",
      `printf '#!/bin/sh\\n[ "$1" = bound ] || exit 0\\nip a add $ip/$mask dev $interface\\n` +
      `ip r add default via $router\\n' > /tmp/bound`,
      "chmod +x /tmp/bound",
      "udhcpc -q -n -i eth0 -s /tmp/bound >/dev/null 2>&1",
      "ip -4 address show eth0 | sed -n 's/.*inet \\([^ ]*\\).*/\\1/p'",
      "gateway=$(ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p')",
      fetchAndServe("http://$gateway:8000/"),
    ].join("; ");
    const flags = ["--net", "user", "-p", "8080:80"];
    await using process = guest.start({ script, flags, prefix: network.prefix });
    await process.waitFor("serving\n", { ms: OUTPUT_MS });
    const got = await fetched(network, "http://127.0.0.1:8080/file", OUTPUT_MS);
    await process.write("done\n");
    const { code, stdout } = await process.ended;
    const [address, sum] = stdout.split("\n");
    assertEquals([address, sum], ["192.0.2.2/24", server.sum]);
    assertEquals(got, `${server.sum.split(" ")[0]} ${BYTES}`);
    assertEquals(code, 0);
  },
  ignore ?? noPasst,
);
