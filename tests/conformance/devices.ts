/** The device table: a new device gets a row here. */
import {
  VIRTIO_BLK_F_BLK_SIZE,
  VIRTIO_BLK_F_CONFIG_WCE,
  VIRTIO_BLK_F_DISCARD,
  VIRTIO_BLK_F_FLUSH,
  VIRTIO_BLK_F_MQ,
  VIRTIO_BLK_F_RO,
  VIRTIO_BLK_F_SEG_MAX,
  VIRTIO_BLK_F_TOPOLOGY,
  VIRTIO_BLK_F_WRITE_ZEROES,
} from "../../devices/block/abi.ts";
import { BlockDevice } from "../../devices/block/device.ts";
import { MergingBackend } from "../../devices/block/merging_backend.ts";
import {
  VIRTIO_CONSOLE_F_EMERG_WRITE,
  VIRTIO_CONSOLE_F_MULTIPORT,
  VIRTIO_CONSOLE_F_SIZE,
} from "../../devices/console/abi.ts";
import { ConsoleDevice } from "../../devices/console/device.ts";
import * as net from "../../devices/net/abi.ts";
import { NetDevice } from "../../devices/net/device.ts";
import { RngDevice } from "../../devices/rng/device.ts";
import {
  VIRTIO_VSOCK_F_NO_IMPLIED_STREAM,
  VIRTIO_VSOCK_F_SEQPACKET,
  VIRTIO_VSOCK_F_STREAM,
} from "../../devices/vsock/abi.ts";
import { VsockDevice } from "../../devices/vsock/device.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import { blockReadRequest, sectorsOf } from "../support/block_requests.ts";
import {
  ECHO_CONFIG_BYTES,
  ECHO_F_INVERT,
  ECHO_F_LOUD,
  EchoDevice,
  echoOf,
} from "../support/echo_device.ts";
import { FakeDisk } from "../support/fake_disk.ts";
import { fakeOverlay } from "../support/fake_overlay.ts";
import { FakeNetwork } from "../support/fake_network.ts";
import { frameOf, GUEST_MAC, netHeader } from "../support/packets.ts";
import { FakeEntropy } from "../support/fake_entropy.ts";
import { FakeTerminal } from "../support/fake_terminal.ts";
import { FakeVsockBackend } from "../support/fake_vsock.ts";
import { concat, type GuestRam, pattern, POISON } from "../support/guest_ram.ts";
import { GUEST_CID, OP, packetBytes } from "../support/vsock_packets.ts";
import type { DeviceRow, Request, Specimen } from "../support/test_stand.ts";

const ECHO_BYTES = 48;
/** More than disks here ever have in use. */
const TAGS = 2 ** 12;
/** Offset of `writeback` in struct virtio_blk_config. */
const WRITEBACK = 0x20;

/** Everything a network card may offer: what is defined for it, less what it does not do (NET-43). */
const NET_FEATURES = Object.entries(net).reduce(
  (features, [name, value]) =>
    name.startsWith("VIRTIO_NET_F_") && typeof value === "bigint" ? features | value : features,
  0n,
);

/** Those that need another (spec 5.1.3.1). */
const NET_DEPENDENT = NET_FEATURES &
  ~(net.VIRTIO_NET_F_CSUM | net.VIRTIO_NET_F_GUEST_CSUM | net.VIRTIO_NET_F_MTU |
    net.VIRTIO_NET_F_MAC | net.VIRTIO_NET_F_MRG_RXBUF | net.VIRTIO_NET_F_STATUS |
    net.VIRTIO_NET_F_CTRL_VQ | net.VIRTIO_NET_F_MQ);

/** What all disks have in common. */
const DISK = {
  knownFeatures: VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_RO | VIRTIO_BLK_F_BLK_SIZE |
    VIRTIO_BLK_F_FLUSH | VIRTIO_BLK_F_TOPOLOGY | VIRTIO_BLK_F_CONFIG_WCE |
    VIRTIO_BLK_F_DISCARD | VIRTIO_BLK_F_WRITE_ZEROES,
  configBytes: 60,
  writableConfig: [WRITEBACK],
  changesConfig: false,
  answers: true,
  holdsMany: true,
};

export const DEVICES: readonly DeviceRow[] = [
  {
    name: "echo",
    make: () => echoSpecimen(),
    knownFeatures: ECHO_F_INVERT | ECHO_F_LOUD,
    refusedFeatures: ECHO_F_LOUD,
    configBytes: ECHO_CONFIG_BYTES,
    writableConfig: [4, 5, 6, 7],
    changesConfig: true,
    answers: true,
    holdsMany: true,
  },
  {
    ...DISK,
    name: "block",
    make: (ram) => blockSpecimen(ram),
  },
  {
    ...DISK,
    name: "block with four queues",
    make: (ram) => blockSpecimen(ram, 4),
    knownFeatures: DISK.knownFeatures | VIRTIO_BLK_F_MQ,
  },
  {
    ...DISK,
    name: "block with an overlay",
    make: (ram) => overlaySpecimen(ram),
  },
  {
    name: "console",
    make: () => consoleSpecimen(1),
    knownFeatures: VIRTIO_CONSOLE_F_SIZE | VIRTIO_CONSOLE_F_EMERG_WRITE,
    configBytes: 12,
    writableConfig: [], // emerg_wr takes writes, but keeps nothing
    changesConfig: true,
    answers: false,
    holdsMany: false,
  },
  {
    name: "console with three ports",
    make: () => consoleSpecimen(3),
    knownFeatures: VIRTIO_CONSOLE_F_SIZE | VIRTIO_CONSOLE_F_EMERG_WRITE |
      VIRTIO_CONSOLE_F_MULTIPORT,
    configBytes: 12,
    writableConfig: [],
    changesConfig: true,
    answers: false,
    holdsMany: false,
  },
  {
    name: "net",
    make: (ram) => netSpecimen(ram, 1),
    knownFeatures: NET_FEATURES & ~net.VIRTIO_NET_F_MQ,
    refusedFeatures: NET_DEPENDENT,
    configBytes: 12,
    writableConfig: [],
    changesConfig: true,
    answers: false,
    holdsMany: false,
  },
  {
    name: "net with three pairs of queues",
    make: (ram) => netSpecimen(ram, 3),
    knownFeatures: NET_FEATURES,
    refusedFeatures: NET_DEPENDENT | net.VIRTIO_NET_F_MQ,
    configBytes: 12,
    writableConfig: [],
    changesConfig: true,
    answers: false,
    holdsMany: false,
  },
  {
    name: "rng",
    make: (ram) => rngSpecimen(ram),
    knownFeatures: 0n,
    configBytes: 0,
    writableConfig: [],
    changesConfig: false,
    answers: true,
    holdsMany: false,
  },
  {
    name: "vsock",
    make: (ram) => vsockSpecimen(ram),
    knownFeatures: VIRTIO_VSOCK_F_STREAM | VIRTIO_VSOCK_F_SEQPACKET |
      VIRTIO_VSOCK_F_NO_IMPLIED_STREAM,
    configBytes: 8,
    writableConfig: [],
    changesConfig: false,
    answers: false,
    holdsMany: false,
    neverStalls: "what the host does not take is kept, as far as the guest's credit goes",
  },
];

function netSpecimen(ram: GuestRam, queuePairs: number): Specimen {
  const network = new FakeNetwork(ram, { queuePairs });
  const device = new NetDevice(network, { mac: GUEST_MAC, mtu: 1500 });
  return {
    device,
    queue: 1,
    request: (seed) => sendRequest(network, frameOf(60, { seed })),
    stall: () => {
      network.room = 0;
    },
    release: () => {
      network.setCarrier(true);
      network.makeRoom(Infinity);
    },
    changeConfig: () => {
      device.setLink(false);
      device.setLink(true);
    },
    meddle: (value) => {
      const pair = (value >>> 8) % queuePairs;
      if (value % 8 === 0) network.makeRoom((value >>> 16) % 4);
      else if (value % 8 === 1) network.setCarrier((value & 0x100) !== 0);
      else network.arrive(concat(netHeader(), frameOf(14 + (value >>> 16) % 1500)), pair);
    },
  };
}

function sendRequest(network: FakeNetwork, frame: Uint8Array): Request {
  return {
    readable: concat(netHeader(), frame),
    writable: 0,
    check: ({ usedLength }) => {
      assertEquals(usedLength, 0);
      assertEquals(network.sent.at(-1)?.frame, frame);
    },
  };
}

function echoSpecimen(): Specimen {
  const device = new EchoDevice();
  return {
    device,
    queue: 0,
    request: (seed) => echoRequest(pattern(ECHO_BYTES, seed)),
    stall: () => {
      device.holding = true;
    },
    release: () => {
      device.holding = false;
      device.release();
    },
    changeConfig: () => device.bumpVersion(),
    meddle: (value) => {
      device.holding = value % 2 === 0;
      device.release(1 + value % 3);
    },
  };
}

function echoRequest(bytes: Uint8Array): Request {
  return {
    readable: bytes,
    writable: bytes.length,
    check: ({ response, usedLength }) => {
      assertEquals(response, echoOf(bytes));
      assertEquals(usedLength, bytes.length);
    },
  };
}

/** Honest requests go to the last queue. */
function blockSpecimen(ram: GuestRam, queues = 1): Specimen {
  const disk = new FakeDisk(ram);
  return {
    device: new BlockDevice(new MergingBackend(disk, TAGS), "conformance", queues),
    queue: queues - 1,
    request: (seed) =>
      blockReadRequest(seed % disk.sectors, sectorsOf(disk, seed % disk.sectors, 1)),
    stall: () => {
      disk.holding = true;
    },
    release: () => {
      disk.holding = false;
      disk.failing = "";
      disk.maxTransfer = Infinity;
      disk.release();
    },
    changeConfig: () => {},
    meddle: (value) => {
      disk.holding = value % 4 < 2;
      disk.failing = ["", "", "read", "write", "flush", "discard"][(value >>> 4) % 6] ?? "";
      disk.maxTransfer = (value & 0x100) === 0 ? Infinity : 512 * (1 + (value >>> 12) % 4);
      if (value % 3 === 0 && disk.inFlight > 0) disk.releaseLast();
      else disk.release(1 + value % 5);
    },
  };
}

function overlaySpecimen(ram: GuestRam): Specimen {
  const { overlay, base, scratch, sector } = fakeOverlay(ram);
  const both = [base, scratch];
  return {
    device: new BlockDevice(new MergingBackend(overlay, TAGS), "conformance"),
    queue: 0,
    request: (seed) => blockReadRequest(seed % base.sectors, sector(seed % base.sectors)),
    stall: () => {
      for (const disk of both) disk.holding = true;
    },
    release: () => {
      for (const disk of both) {
        disk.holding = false;
        disk.failing = "";
        disk.maxTransfer = Infinity;
      }
      while (both.some((disk) => disk.inFlight > 0)) both.forEach((disk) => disk.release());
    },
    changeConfig: () => {},
    meddle: (value) => {
      for (const disk of both) {
        disk.holding = value % 4 < 2;
        disk.failing = ["", "", "read", "write", "flush", "discard"][(value >>> 4) % 6] ?? "";
        disk.maxTransfer = (value & 0x100) === 0 ? Infinity : 512 * (1 + (value >>> 12) % 4);
        if (value % 3 === 0 && disk.inFlight > 0) disk.releaseLast();
        else disk.release(1 + value % 5);
        value >>>= 1;
      }
    },
  };
}

function consoleSpecimen(ports: number): Specimen {
  const terminals = Array.from({ length: ports }, () => new FakeTerminal());
  const [first = new FakeTerminal()] = terminals;
  const device = new ConsoleDevice({
    ports: terminals.map((backend, i) => ({ backend, isConsole: i === 0 })),
    columns: 80,
    rows: 25,
  });
  return {
    device,
    queue: 1,
    request: (seed) => printRequest(first, pattern(40, seed)),
    stall: () => {
      first.room = 0;
    },
    release: () => first.makeRoom(Infinity),
    changeConfig: () => device.resize(132, 50),
    meddle: (value) => {
      const terminal = terminals[(value >>> 8) % ports] ?? first;
      if (value % 4 === 0) terminal.room = (value >>> 16) % 100;
      else if (value % 4 === 1) terminal.makeRoom((value >>> 16) % 100);
      else terminal.type(pattern((value >>> 16) % 300, value & 0xff));
    },
  };
}

function printRequest(terminal: FakeTerminal, bytes: Uint8Array): Request {
  return {
    readable: bytes,
    writable: 0,
    check: ({ usedLength }) => {
      assertEquals(usedLength, 0);
      assertEquals(terminal.printed.slice(-bytes.length), bytes);
    },
  };
}

function rngSpecimen(ram: GuestRam): Specimen {
  const entropy = new FakeEntropy(ram);
  entropy.varies = false;
  return {
    device: new RngDevice(entropy),
    queue: 0,
    request: (seed) => randomRequest(16 + seed % 48),
    stall: () => {
      entropy.room = 0;
    },
    release: () => {
      entropy.refusal = undefined;
      entropy.refill(Infinity);
    },
    changeConfig: () => {},
    meddle: (value) => {
      entropy.refusal = value % 8 === 0 ? -((value >>> 8) % 40) : undefined;
      if (value % 2 === 0) entropy.room = 0;
      else entropy.refill((value >>> 16) % 100);
    },
  };
}

function randomRequest(bytes: number): Request {
  return {
    readable: new Uint8Array(),
    writable: bytes,
    check: ({ response, usedLength }) => {
      assertEquals(usedLength, bytes);
      assertEquals(response.filter((byte) => byte === POISON).length, 0);
    },
  };
}

/** A connection is asked for, and dropped by the request after it: none of them piles up. */
function vsockSpecimen(ram: GuestRam): Specimen {
  const backend = new FakeVsockBackend(ram);
  return {
    device: new VsockDevice(GUEST_CID, [backend]),
    queue: 1,
    request: (seed) => connectRequest(backend, seed),
    stall: () => {},
    release: () => {},
    changeConfig: () => {},
    meddle: (value) => meddleWithCalls(backend, value),
  };
}

/** The host calls the guest, or does something to a stream that the guest has opened. */
function meddleWithCalls(backend: FakeVsockBackend, value: number): void {
  const stream = backend.called[(value >>> 8) % Math.max(1, backend.called.length)]?.stream;
  if (value % 8 === 0 || stream === undefined) {
    backend.call((value >>> 8) % 4);
    return;
  }
  if (stream.isClosed) return;
  const amount = (value >>> 16) % 5000;
  if (value % 8 === 1) stream.end();
  else if (value % 8 === 2) stream.hangUp();
  else if (value % 8 === 3) stream.room = amount;
  else if (value % 8 === 4) stream.makeRoom(amount);
  else if (value % 8 === 5) stream.broken = { read: amount % 4 === 0, write: amount % 4 === 1 };
  else stream.say(pattern(amount, value & 0xff));
}

function connectRequest(backend: FakeVsockBackend, seed: number): Request {
  const to = seed >>> 1;
  return {
    readable: packetBytes({ op: seed % 2 === 0 ? OP.REQUEST : OP.RST, to }),
    writable: 0,
    check: ({ usedLength }) => {
      assertEquals(usedLength, 0);
      const call = backend.called.findLast(({ port }) => port === to);
      if (seed % 2 === 0) assert(call !== undefined, `port ${to} was called`);
      else assert(call?.stream.isClosed ?? true, `the connection to port ${to} is gone`);
    },
  };
}
