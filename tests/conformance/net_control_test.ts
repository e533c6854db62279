/** Features, configuration and commands of a network card (NET-01 to NET-12, NET-42, NETC, HD-80). */
import {
  VIRTIO_NET_F_CTRL_GUEST_OFFLOADS,
  VIRTIO_NET_F_CTRL_MAC_ADDR,
  VIRTIO_NET_F_CTRL_RX,
  VIRTIO_NET_F_CTRL_RX_EXTRA,
  VIRTIO_NET_F_CTRL_VLAN,
  VIRTIO_NET_F_GUEST_ANNOUNCE,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_MQ,
  VIRTIO_NET_F_MTU,
} from "../../devices/net/abi.ts";
import { OFFLOAD_CSUM, OFFLOAD_USO4 } from "../../devices/net/backend.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import { concat, littleEndian } from "../support/guest_ram.ts";
import { MMIO } from "../support/mmio_driver.ts";
import { NetStand, type NetStandSetup } from "../support/net_stand.ts";
import { BROADCAST, frameOf, GUEST_MAC, netHeader } from "../support/packets.ts";

const [OK, ERR] = [0, 1];
const OTHER = Uint8Array.of(2, 0, 0, 0, 0, 1);
const GROUP = Uint8Array.of(1, 0, 0x5e, 0, 0, 1);
const UNLISTED_GROUP = Uint8Array.of(0x33, 0x33, 0, 0, 0, 2);

function netTest(
  id: string,
  outcome: string,
  run: (stand: NetStand) => void,
  setup?: NetStandSetup,
) {
  Deno.test(`net: ${id} ${outcome}`, () => {
    const stand = new NetStand(MMIO, setup);
    stand.offer(new Array<number>(40).fill(2048));
    run(stand);
    stand.checkInvariants();
  });
}

function to(address: Uint8Array, vlan?: number) {
  return concat(netHeader(), frameOf(60, { to: address, ...(vlan === undefined ? {} : { vlan }) }));
}

/** A command's bytes. */
function command(commandClass: number, number: number, ...data: readonly Uint8Array[]) {
  return concat(Uint8Array.of(commandClass, number), ...data);
}

function table(...addresses: readonly Uint8Array[]) {
  return concat(littleEndian(addresses.length, 4), ...addresses);
}

netTest(
  "NET-03, NET-04, NET-12",
  "the configuration has the address and the link, and is read-only",
  (stand) => {
    assertEquals(stand.config(0, 8), concat(GUEST_MAC, littleEndian(1, 2)));
    for (let i = 0; i < 12; i++) stand.driver.transport.writeConfig(i, 1, 0x77);
    assertEquals(stand.config(0, 8), concat(GUEST_MAC, littleEndian(1, 2)));
  },
);

netTest("NET-05, NET-06", "queue pairs and MTU are in the configuration", (stand) => {
  assertEquals(stand.config(8, 4), concat(littleEndian(3, 2), littleEndian(9000, 2)));
}, { queuePairs: 3, mtu: 9000 });

netTest("NET-04", "the link going down and up again is a change each", (stand) => {
  stand.driver.transport.acknowledge(3);
  stand.device.setLink(false);
  assertEquals(stand.config(6, 2), littleEndian(0, 2));
  assertEquals(stand.driver.transport.interruptStatus() & 2, 2);
  stand.driver.transport.acknowledge(3);
  stand.device.setLink(false);
  assertEquals(stand.driver.transport.interruptStatus() & 2, 0, "no change");
  stand.network.setCarrier(false);
  stand.device.setLink(true);
  assertEquals(stand.config(6, 2), littleEndian(0, 2), "the other end is still out");
  stand.network.setCarrier(true);
  assertEquals(stand.config(6, 2), littleEndian(1, 2));
  assertEquals(stand.driver.transport.interruptStatus() & 2, 2);
});

netTest(
  "NET-42, NET-43",
  "a backend without offloads offers none, nor anything else it has not",
  (stand) => {
    const offered = stand.driver.offered();
    for (const bit of [0n, 1n, 2n, 7n, 8n, 9n, 10n, 11n, 12n, 13n, 14n, 54n, 55n, 56n]) {
      assertEquals(offered & (1n << bit), 0n, `bit ${bit}`);
    }
    assertEquals(offered & (VIRTIO_NET_F_MTU | VIRTIO_NET_F_MQ), 0n);
    for (const bit of [50n, 51n, 52n, 53n, 57n, 59n, 60n, 61n, 62n, 63n, 64n, 65n, 69n, 70n]) {
      assertEquals(offered & (1n << bit), 0n, `bit ${bit}`);
    }
  },
  { offloads: 0 },
);

netTest(
  "NET-42",
  "HOST_USO is offered only when the backend cuts datagrams of both IP versions",
  (stand) => {
    assertEquals(stand.driver.offered() & (1n << 56n), 0n);
    assertEquals(stand.driver.offered() & (1n << 54n), 1n << 54n);
  },
  { offloads: OFFLOAD_CSUM | OFFLOAD_USO4 },
);

netTest("NET-01", "without MQ the control queue is queue 2", (stand) => {
  const { driver } = stand;
  driver.bringUp({ size: 16, features: driver.offered() & ~VIRTIO_NET_F_MQ });
  const ask = { readable: command(0, 0, Uint8Array.of(1)), writable: 1 };
  assertEquals(driver.call(driver.queue(2), ask).response[0], OK);
}, { queuePairs: 3 });

netTest(
  "NET-01, NETC-16, NETC-17, NETC-18",
  "pairs are used as far as the driver says",
  (stand) => {
    stand.offer([2048, 2048, 2048], 1);
    stand.network.arrive(to(GUEST_MAC), 1);
    assertEquals(stand.received(1), [], "only the first pair until a command comes");
    assertEquals(stand.send(to(OTHER), 0)?.pair, 0);
    for (const count of [0, 4, 0xffff]) {
      assertEquals(stand.command(command(4, 0, littleEndian(count, 2))), ERR, `${count}`);
    }
    assertEquals(stand.command(command(4, 0, littleEndian(3, 2))), OK);
    assertEquals(stand.network.pairsInUse, 3);
    assertEquals(stand.received(1).length, 1);
    assertEquals(stand.send(to(OTHER), 2)?.pair, 2);
    assertEquals(stand.command(command(4, 0, littleEndian(1, 2))), OK);
    stand.network.arrive(to(GUEST_MAC), 1);
    assertEquals(stand.received(1), []);
  },
  { queuePairs: 3 },
);

netTest(
  "NETC-19",
  "what is sent on a pair is answered on it, whichever pair its flow was on before",
  (stand) => {
    assertEquals(stand.command(command(4, 0, littleEndian(3, 2))), OK);
    for (let pair = 0; pair < 3; pair++) stand.offer(new Array<number>(20).fill(2048), pair);
    for (let round = 0; round < 12; round++) {
      const pair = (round * 2) % 3;
      const frame = concat(netHeader(), frameOf(60 + round, { to: OTHER }));
      const sent = stand.send(frame, pair);
      assert(sent !== undefined && sent.frame.length === 60 + round, `round ${round}`);
      stand.network.answer(sent, concat(netHeader(), frameOf(100 + round, { to: GUEST_MAC })));
      const got = [0, 1, 2].map((index) => stand.received(index).map(({ length }) => length));
      assertEquals(got, [0, 1, 2].map((index) => index === pair ? [112 + round] : []));
    }
  },
  { queuePairs: 3 },
);

netTest(
  "NETC-01, NETC-02, HD-80",
  "bad commands are answered with ERR where there is room",
  (stand) => {
    const bad = [
      Uint8Array.of(0xff, 0),
      Uint8Array.of(0, 9, 1),
      Uint8Array.of(0),
      Uint8Array.of(0, 0),
      Uint8Array.of(0, 0, 2),
      command(1, 1, Uint8Array.of(1, 2, 3, 4, 5)),
      command(1, 0, littleEndian(1, 4)),
      command(1, 0, littleEndian(0xffff_ffff, 4), new Uint8Array(60)),
      command(1, 0, table(OTHER), littleEndian(0xffff_ffff, 4)),
      command(1, 0, littleEndian(0, 4)),
      command(2, 0, littleEndian(4096, 2)),
      command(2, 0, littleEndian(0xffff, 2)),
      command(2, 2, littleEndian(1, 2)),
      command(3, 1),
      command(4, 0, littleEndian(1, 2)),
      command(5, 0, littleEndian(1n << 10n, 8)),
      command(5, 0, littleEndian(1, 4)),
    ];
    for (const bytes of bad) assertEquals(stand.command(bytes), ERR, bytes.toString());
    assertEquals(
      stand.command(command(0, 0, Uint8Array.of(1)), 0),
      undefined,
      "no room for an answer",
    );
    assert(!stand.accepts(to(OTHER)), "and nothing has changed");
  },
);

netTest("NETC-03", "commands of features that were not negotiated are refused", (stand) => {
  for (
    const bytes of [
      command(0, 0, Uint8Array.of(1)),
      command(0, 2, Uint8Array.of(1)),
      command(1, 0, table(), table()),
      command(1, 1, OTHER),
      command(2, 0, littleEndian(1, 2)),
      command(3, 0),
      command(4, 0, littleEndian(1, 2)),
      command(5, 0, littleEndian(0, 8)),
    ]
  ) assertEquals(stand.command(bytes), ERR, bytes.toString());
  assert(stand.accepts(to(OTHER)), "without CTRL_RX everything arrives");
  assert(stand.accepts(to(GUEST_MAC, 5)), "without CTRL_VLAN every VLAN");
}, {
  without: VIRTIO_NET_F_CTRL_RX | VIRTIO_NET_F_CTRL_RX_EXTRA | VIRTIO_NET_F_CTRL_VLAN |
    VIRTIO_NET_F_CTRL_MAC_ADDR | VIRTIO_NET_F_GUEST_ANNOUNCE | VIRTIO_NET_F_CTRL_GUEST_OFFLOADS,
});

netTest(
  "NETC-07, NETC-10",
  "after reset the own address and broadcast arrive, nothing else",
  (stand) => {
    const wanted = [GUEST_MAC, BROADCAST, OTHER, GROUP].map((mac) => stand.accepts(to(mac)));
    assertEquals(wanted, [true, true, false, false]);
  },
);

netTest("NETC-04, NETC-05, NETC-06", "receive modes do what they say, in their order", (stand) => {
  const all = [GUEST_MAC, OTHER, GROUP, BROADCAST];
  const expect = (what: string, ...expected: boolean[]) =>
    assertEquals(all.map((mac) => stand.accepts(to(mac))), expected, what);
  const mode = (number: number, on: boolean) =>
    assertEquals(stand.command(command(0, number, Uint8Array.of(on ? 1 : 0))), OK);
  mode(1, true);
  expect("ALLMULTI", true, false, true, true);
  mode(3, true);
  expect("NOMULTI wins over ALLMULTI and spares broadcast", true, false, false, true);
  mode(5, true);
  expect("NOBCAST", true, false, false, false);
  mode(2, true);
  expect("ALLUNI", true, true, false, false);
  mode(4, true);
  expect("NOUNI wins over ALLUNI", false, false, false, false);
  mode(0, true);
  expect("PROMISC wins over all", true, true, true, true);
  for (const number of [0, 1, 2, 3, 4, 5]) mode(number, false);
  expect("all off again", true, false, false, true);
});

netTest("NETC-08, NETC-10", "both address tables count from the command on", (stand) => {
  assertEquals(stand.command(command(1, 0, table(OTHER), table(GROUP))), OK);
  assertEquals(
    [OTHER, GROUP, UNLISTED_GROUP].map((mac) => stand.accepts(to(mac))),
    [true, true, false],
  );
  assertEquals(stand.command(command(1, 0, table(), table(UNLISTED_GROUP))), OK);
  assertEquals(
    [OTHER, GROUP, UNLISTED_GROUP].map((mac) => stand.accepts(to(mac))),
    [false, false, true],
  );
  assertEquals(stand.command(command(1, 0, table(OTHER), table())), OK);
  stand.bringUp();
  stand.offer([2048, 2048, 2048]);
  assert(!stand.accepts(to(OTHER)), "NETC-07: empty after a reset");
});

netTest("NETC-11", "more addresses than fit count as all", (stand) => {
  const many = Array.from({ length: 1000 }, (_, i) => Uint8Array.of(4, 0, 0, 0, i >> 8, i & 0xff));
  assertEquals(stand.command(command(1, 0, table(...many), table(GROUP))), OK);
  assert(stand.accepts(to(OTHER)));
  assert(!stand.accepts(to(UNLISTED_GROUP)), "the other table has room");
  assert(stand.accepts(to(GROUP)), "and is read from its place");
});

netTest(
  "NETC-09, NET-03",
  "a new address is in the configuration and in the filter at once",
  (stand) => {
    assertEquals(stand.command(command(1, 1, OTHER)), OK);
    assertEquals(stand.config(0, 6), OTHER);
    assertEquals([OTHER, GUEST_MAC].map((mac) => stand.accepts(to(mac))), [true, false]);
    stand.bringUp();
    assertEquals(stand.config(0, 6), GUEST_MAC, "a reset brings the first one back");
  },
);

netTest("NETC-12, NETC-13, NETC-14", "VLANs arrive when they are listed", (stand) => {
  const arrives = () => [0, 1, 31, 32, 4095].map((id) => stand.accepts(to(GUEST_MAC, id)));
  assertEquals(arrives(), [false, false, false, false, false]);
  assert(stand.accepts(to(GUEST_MAC)), "untagged");
  for (const id of [1, 32, 4095]) {
    assertEquals(stand.command(command(2, 0, littleEndian(id, 2))), OK);
  }
  assertEquals(arrives(), [false, true, false, true, true]);
  assertEquals(stand.command(command(2, 1, littleEndian(32, 2))), OK);
  assertEquals(arrives(), [false, true, false, false, true]);
});

netTest("NETC-15", "announce sets a bit that the driver's answer clears", (stand) => {
  stand.driver.transport.acknowledge(3);
  stand.device.announce();
  assertEquals(stand.config(6, 2), littleEndian(3, 2));
  assertEquals(stand.driver.transport.interruptStatus() & 2, 2);
  assertEquals(stand.command(command(3, 0)), OK);
  assertEquals(stand.config(6, 2), littleEndian(1, 2));
});

netTest(
  "NETC-20, NETC-21",
  "guest offloads go off and on again, each with what it needs",
  (stand) => {
    const set = (mask: bigint) => stand.command(command(5, 0, littleEndian(mask, 8)));
    assertEquals(stand.network.offloads, 0x6f, "all at the start");
    assertEquals(set(2n), OK);
    assertEquals(stand.network.offloads, 1);
    assertEquals(set(0n), OK);
    assertEquals(stand.network.offloads, 0);
    assertEquals(set(1n << 7n), ERR, "TSO4 without CSUM");
    assertEquals(set(2n | 1n << 46n), ERR, "a tunnel");
    assertEquals(set(2n | 1n << 7n | 1n << 54n), OK);
    assertEquals(stand.network.offloads, 1 | 2 | 0x20);
  },
);

netTest("NETC-20", "an offload that was not negotiated stays off", (stand) => {
  const mask = littleEndian(2n | VIRTIO_NET_F_GUEST_TSO4, 8);
  assertEquals(stand.command(command(5, 0, mask)), ERR);
}, { without: VIRTIO_NET_F_GUEST_TSO4 });
