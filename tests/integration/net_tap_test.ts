/** A card on a tap, with the tiny guest behind it: every byte checked, in network namespaces. */
import { assert, assertEquals } from "../../src/std/assert.ts";
import { CliProcess, runTinyCli, tinyArgs } from "../support/cli_process.ts";
import { delay, kvmTest } from "../support/kvm.ts";
import { namespaceRefusal, NetNamespace } from "../support/net_namespace.ts";

const PEER = new URL("../support/udp_peer.ts", import.meta.url).pathname;
const READER = new URL("../support/tap_reader.ts", import.meta.url).pathname;
const GUEST = "10.0.0.2";
const PORT = "7";
const ignore = namespaceRefusal();

function netTest(name: string, work: () => Promise<void>): void {
  kvmTest(name, work, { ignore, limitMs: 120_000 });
}

function peer(network: NetNamespace, ...words: readonly string[]): string {
  return network.exec(Deno.execPath(), "run", "-A", "--no-check", PEER, ...words);
}

/** A machine in `network`, until the guest is ready. */
async function start(network: NetNamespace, words: string, net: string): Promise<CliProcess> {
  const cli = CliProcess.spawn(await tinyArgs(words, ["--net", net]), {
    prefix: network.prefix,
    limitMs: 120_000,
  });
  await cli.waitFor("ready\n");
  return cli;
}

function fieldsOf(text: string): Record<string, string> {
  return Object.fromEntries(text.trimEnd().split("\n").map((line) => line.split(" ")));
}

netTest("a tap that is not there is made, brought up, and gone with the machine", async () => {
  using network = new NetNamespace();
  const cli = await start(network, "test=net-echo", "tap=vm0,mtu=2000");
  assert(/[<,]UP,.* mtu 2000 /.test(network.ip("link show vm0")), network.ip("link show vm0"));
  network.ip("address add 10.0.0.1/24 dev vm0");
  peer(network, "quit", GUEST, PORT);
  assertEquals((await cli.ended).code, 0);
  assert(!network.has("vm0"));
});

netTest(
  "the guest sees the address, the MTU, the link and what the kernel's tap can do",
  async () => {
    using network = new NetNamespace();
    network.addTap("vm0", "10.0.0.1/24");
    const { stdout, stderr } = await runTinyCli(
      "test=net-info",
      ["--net", "tap=vm0,mac=02:11:22:33:44:55,mtu=1400"],
      { prefix: network.prefix },
    );
    const { features = "0", mac, status, mtu } = fieldsOf(stdout);
    assertEquals({ mac, status, mtu }, { mac: "021122334455", status: "1", mtu: "1400" }, stderr);
    // CSUM, GUEST_CSUM, CTRL_GUEST_OFFLOADS, MTU, MAC, TSO both ways: every tap since Linux 2.6.27 has them.
    const wanted = 0x3bafn;
    assertEquals(BigInt(`0x${features}`) & wanted, wanted);
  },
);

netTest(
  "datagrams of every length come back as they were, checksums left to each other",
  async () => {
    using network = new NetNamespace();
    network.addTap("vm0", "10.0.0.1/24");
    await using cli = await start(network, "test=net-echo", "tap=vm0");
    assertEquals(peer(network, "echo", GUEST, PORT, "1", "1472", "1"), "1472 of 1472\n");
    peer(network, "quit", GUEST, PORT);
    assertEquals((await cli.ended).code, 0);
  },
);

for (const words of ["noevent", "noindirect", "wantirq"]) {
  netTest(`datagrams come back with ${words}`, async () => {
    using network = new NetNamespace();
    network.addTap("vm0", "10.0.0.1/24");
    await using _ = await start(network, `test=net-echo ${words}`, "tap=vm0");
    assertEquals(peer(network, "echo", GUEST, PORT, "1", "1472", "100"), "15 of 15\n");
  });
}

netTest("with an MTU of 9000 datagrams of 8972 bytes come back whole", async () => {
  using network = new NetNamespace();
  network.addTap("vm0", "10.0.0.1/24");
  await using _ = await start(network, "test=net-echo buffer=16K", "tap=vm0,mtu=9000");
  assertEquals(peer(network, "echo", GUEST, PORT, "1400", "8972", "631"), "13 of 13\n");
});

for (const pairs of [2, 5]) {
  netTest(`with ${pairs} queues a flow comes back on the pair it was sent on`, async () => {
    using network = new NetNamespace();
    network.addTap("vm0", "10.0.0.1/24", "multi_queue");
    network.ip("neigh add 10.0.0.3 lladdr 02:00:00:00:00:03 dev vm0");
    const words = ["run", "-A", "--no-check", PEER, "serve", "10.0.0.1", PORT];
    const server = network.spawn(Deno.execPath(), ...words);
    try {
      const reader = server.stdout.getReader();
      assertEquals(new TextDecoder().decode((await reader.read()).value), "ready\n");
      await reader.cancel();
      const { code, stdout, stderr } = await runTinyCli(
        `test=net-pairs pairs=${pairs} flows=${2 * pairs} rounds=20`,
        ["--net", `tap=vm0,queues=${pairs},mac=02:00:00:00:00:03`],
        { prefix: network.prefix, limitMs: 60_000 },
      );
      assertEquals({ code, stderr }, { code: 0, stderr: "" }, stdout);
      const each = new Array<string>(pairs).fill("answers 40");
      const expected = [`max_pairs ${pairs}`, ...each, "astray 0", `alone ${2 * pairs}`];
      assertEquals(stdout.trimEnd().split("\n"), expected);
    } finally {
      server.kill("SIGKILL");
      await server.stderr.cancel();
      await server.status;
    }
  });
}

netTest("packets with bad headers never reach the host", async () => {
  using network = new NetNamespace();
  network.addTap("vm0", "10.0.0.1/24");
  const { code, stderr } = await runTinyCli("test=net-bad count=3", ["--net", "tap=vm0"], {
    prefix: network.prefix,
  });
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
  assertEquals(network.counter("vm0", "rx_packets"), 3);
  assertEquals(network.counter("vm0", "rx_bytes"), 300);
  assertEquals(network.counter("vm0", "rx_errors") + network.counter("vm0", "rx_frame_errors"), 0);
});

netTest(
  "a frame longer than its room is known to be cut, though the kernel does not say so",
  () => {
    using network = new NetNamespace();
    network.addTap("vm0", "10.0.0.1/24");
    network.ip(`neigh add ${GUEST} lladdr 02:00:00:00:00:02 dev vm0`);
    // Room for 1000 bytes behind 30: 12 of header, 42 of Ethernet, IPv4 and UDP, and 976 of the datagram.
    const words = ["vm0", GUEST, "1000", "975", "976", "977", "1400"];
    const said = network.exec(Deno.execPath(), "run", "-A", "--no-check", READER, ...words);
    assertEquals(said, "1029 1030 1031 1031\n");
    return Promise.resolve();
  },
);

netTest("a recording has what passed in both directions, byte by byte", async () => {
  using network = new NetNamespace();
  network.addTap("vm0", "10.0.0.1/24");
  const path = Deno.makeTempFileSync({ prefix: "dinovisor-pcap-" });
  try {
    await using cli = await start(network, "test=net-echo", `tap=vm0,pcap=${path}`);
    assertEquals(peer(network, "echo", GUEST, PORT, "5", "1472", "489"), "4 of 4\n");
    peer(network, "quit", GUEST, PORT);
    assertEquals((await cli.ended).code, 0);
    const datagrams = recordedFrames(path).filter(({ frame }) =>
      frame[12] === 8 && frame[23] === 17
    );
    const lengths = [5, 494, 983, 1472].map((length) => 42 + length);
    assertEquals(datagrams.map(({ frame }) => frame.length), [
      ...lengths.flatMap((n) => [n, n]),
      46,
      46,
    ]);
    assertEquals(datagrams.map(({ outbound }) => outbound), datagrams.map((_, i) => i % 2 === 1));
    for (let i = 0; i < datagrams.length; i += 2) {
      assertEquals(datagrams[i]?.frame.slice(42), datagrams[i + 1]?.frame.slice(42));
    }
    assertEquals(new TextDecoder().decode(datagrams.at(-1)?.frame.slice(42)), "quit");
  } finally {
    Deno.removeSync(path);
  }
});

/** The frames of a pcapng file of one interface. */
function recordedFrames(path: string): { frame: Uint8Array; outbound: boolean }[] {
  const bytes = Deno.readFileSync(path);
  const view = new DataView(bytes.buffer);
  const frames: { frame: Uint8Array; outbound: boolean }[] = [];
  for (let at = 0; at < bytes.length; at += view.getUint32(at + 4, true)) {
    const total = view.getUint32(at + 4, true);
    assertEquals(view.getUint32(at + total - 4, true), total, "a block's length at its end");
    if (view.getUint32(at, true) !== 6) continue;
    const length = view.getUint32(at + 20, true);
    const outbound = view.getUint32(at + total - 12, true) === 2;
    frames.push({ frame: bytes.slice(at + 28, at + 28 + length), outbound });
  }
  return frames;
}

netTest("every frame of a flood reaches the host, small ones and segments of 64 KiB", async () => {
  using network = new NetNamespace();
  network.addTap("vm0", "10.0.0.1/24");
  const run = (words: string) =>
    runTinyCli(`test=net-send ${words}`, ["--net", "tap=vm0"], { prefix: network.prefix });
  assertEquals((await run("count=50000 size=64")).code, 0);
  assertEquals(network.counter("vm0", "rx_packets"), 50_000);
  assertEquals(network.counter("vm0", "rx_bytes"), 50_000 * 64);
  assertEquals((await run("count=2000 size=65000 tso")).code, 0);
  assertEquals(network.counter("vm0", "rx_bytes"), 50_000 * 64 + 2000 * 65_000);
});

netTest("what the guest sends is held to its limit", async () => {
  using network = new NetNamespace();
  network.addTap("vm0", "10.0.0.1/24");
  await using cli = CliProcess.spawn(
    await tinyArgs("test=net-send count=3000 size=1000", ["--net", "tap=vm0,tx-bytes=1M"]),
    { prefix: network.prefix },
  );
  const begin = performance.now();
  assertEquals((await cli.ended).code, 0);
  const seconds = (performance.now() - begin) / 1000;
  assert(seconds > 2.5, `3 MB at 1 MiB/s took ${seconds} s`);
  assertEquals(network.counter("vm0", "rx_packets"), 3000);
});

netTest(
  "what floods in is held to its limit",
  async () => {
    using network = new NetNamespace();
    network.addTap("vm0", "10.0.0.1/24");
    network.ip(`neighbour add ${GUEST} lladdr 02:00:00:00:00:02 dev vm0`);
    await using cli = await start(
      network,
      "test=net-receive count=1000 size=1000",
      "tap=vm0,mac=02:00:00:00:00:02,rx-packets=500",
    );
    const blast = ["blast", GUEST, PORT, "60000", "1200"];
    const flood = network.spawn(Deno.execPath(), "run", "-A", "--no-check", PEER, ...blast);
    const begin = performance.now();
    assertEquals((await cli.ended).code, 0);
    const seconds = (performance.now() - begin) / 1000;
    assert(seconds > 1.6, `1000 packets at 500 a second took ${seconds} s`);
    await flood.output();
  },
);

netTest("a tap in use is refused in words, and so is one that is given twice", async () => {
  using network = new NetNamespace();
  network.addTap("vm0", "10.0.0.1/24");
  await using _ = await start(network, "test=net-echo", "tap=vm0");
  const options = { prefix: network.prefix };
  const second = await runTinyCli("test=net-info", ["--net", "tap=vm0"], options);
  assertEquals(second.code, 125);
  assert(/attach to tap "vm0".*busy/i.test(second.stderr), second.stderr);
  assert(second.stderr.includes("hint: another machine uses it"), second.stderr);
  const twice = await runTinyCli("test=net-info", ["--net", "tap=a", "--net", "tap=a"], options);
  assertEquals(twice.code, 125);
  assert(twice.stderr.includes('cannot attach tap "a" twice [TAP_TWICE]'), twice.stderr);
});

netTest(
  "an interface that is deleted under a machine takes the link down, not the machine",
  async () => {
    using network = new NetNamespace();
    network.addTap("vm0", "10.0.0.1/24");
    await using cli = await start(network, "test=net-echo", "tap=vm0");
    network.ip("link delete vm0");
    await delay(300);
    const before = threadTicks(cli.pid);
    await delay(500);
    const ran = threadTicks(cli.pid).map((ticks, i) => ticks - (before[i] ?? 0)).sort((a, b) =>
      b - a
    );
    assert((ran[1] ?? 0) <= 5, `only the guest's processor is busy: ${ran}`);
    cli.kill("SIGTERM");
    await cli.ended;
  },
);

/** Time on processors, in 1/100 s, of each thread of a process. */
function threadTicks(pid: number): number[] {
  return [...Deno.readDirSync(`/proc/${pid}/task`)].map(({ name }) => Number(name)).sort()
    .map((thread) => {
      const stat = Deno.readTextFileSync(`/proc/${pid}/task/${thread}/stat`);
      const fields = stat.replace(/^.*\) /, "").split(" ");
      return Number(fields[11]) + Number(fields[12]); // utime and stime, see proc(5)
    });
}
