/** Linux switches a card's offloads off and on, one after the other, and what is fetched both ways stays the same. */
import { assert, assertEquals } from "../../src/std/assert.ts";
import { byHost } from "../support/host_kind.ts";
import { fetched, HostServer } from "../support/http_host.ts";
import { guestTest, LONG, OUTPUT_MS } from "../support/linux_guests.ts";
import { namespaceRefusal, NetNamespace } from "../support/net_namespace.ts";

const MIB = 2 ** 20;
/** Where ring 0 is emulated a full frame costs the guest some ten milliseconds. */
const BYTES = LONG
  ? byHost({ hardware: 64 * MIB, nested: 16 * MIB, emulated: 16 * MIB })
  : byHost({ hardware: 64 * MIB, nested: 2 * MIB, emulated: MIB / 4 });
/** The long way takes an hour with frames of the usual size there. */
const MTU = LONG ? 9000 : 1500;
/** Headers of IPv4 and TCP, with timestamps. */
const HEADER_BYTES = 52;
/** Full frames that carry so much. */
const FRAMES = Math.ceil(BYTES / (MTU - HEADER_BYTES));

interface Step {
  /** For `ethtool -K eth0`. rx-checksumming is not among them: Linux's driver has it fixed. */
  readonly words: string;
  /** Whether packets may be longer than frames on their way into the guest, and out of it. */
  readonly segments: { readonly in: boolean; readonly out: boolean };
}

const STEPS: readonly Step[] = [
  { words: "rx-gro-hw on", segments: { in: true, out: true } }, // as it is
  { words: "tso off", segments: { in: true, out: false } },
  { words: "tso on gso off", segments: { in: true, out: true } },
  { words: "gso on gro off", segments: { in: true, out: true } },
  { words: "gro on rx-gro-hw off", segments: { in: false, out: true } },
  { words: "rx-gro-hw on tx off", segments: { in: true, out: false } },
  { words: "rx-gro-hw off gso off gro off", segments: { in: false, out: false } },
];

/** Takes words for ethtool from its input; then fetches, and says that it can be fetched from. */
const SCRIPT = [
  `ip link set eth0 mtu ${MTU} up`,
  "ip address add 10.0.0.2/24 dev eth0; mkdir /tmp/www",
  "wget -q -O /tmp/www/file http://10.0.0.1:8000/; sha256sum < /tmp/www/file",
  "httpd -p 80 -h /tmp/www",
  "while read words; do ethtool -K eth0 $words >/dev/null || echo refused",
  'wget -q -O - http://10.0.0.1:8000/ | sha256sum; echo "now $words"; done',
].join("; ");

guestTest(
  "TCP both ways with each offload of the card off",
  async (guest) => {
    using network = new NetNamespace();
    network.addTap("vm0", "10.0.0.1/24");
    await using server = await HostServer.start(network, "10.0.0.1", 8000, BYTES);
    const flags = ["--net", `tap=vm0,mtu=${MTU}`];
    await using process = guest.start({ script: SCRIPT, flags, prefix: network.prefix });
    const expected: string[] = [];
    const sums: string[] = [];
    // Fewer than frames at least once: a busy host sends some again.
    const fewest = { in: Infinity, out: Infinity };
    for (const { words, segments } of STEPS) {
      const into = network.counter("vm0", "tx_packets");
      await process.write(`${words}\n`);
      await process.waitFor(`now ${words}\n`, { ms: OUTPUT_MS });
      const sent = network.counter("vm0", "tx_packets") - into;
      const before = network.counter("vm0", "rx_packets");
      sums.push(await fetched(network, "http://10.0.0.2/file", OUTPUT_MS));
      const received = network.counter("vm0", "rx_packets") - before;
      const count = `${words}: ${sent} packets in, ${received} out, for ${FRAMES} full frames each`;
      assert(segments.in || sent >= FRAMES, count);
      assert(segments.out || received >= FRAMES, count);
      if (segments.in) fewest.in = Math.min(fewest.in, sent);
      if (segments.out) fewest.out = Math.min(fewest.out, received);
      expected.push(server.sum, `now ${words}`);
    }
    await process.closeStdin();
    const { code, stdout } = await process.ended;
    const [served = "", ...lines] = stdout.trimEnd().split("\n");
    assertEquals(lines, expected);
    assert(sums.every((sum) => sum === `${served.split(" ")[0]} ${BYTES}`), sums.join("\n"));
    assert(fewest.in < FRAMES && fewest.out < FRAMES, JSON.stringify(fewest));
    assertEquals(code, 0);
  },
  { missing: namespaceRefusal() },
);
