/** What a block device does with each kind of request (BLK). */
import {
  VIRTIO_BLK_F_DISCARD,
  VIRTIO_BLK_F_WRITE_ZEROES,
  VIRTIO_BLK_S_IOERR as IOERR,
  VIRTIO_BLK_S_OK as OK,
  VIRTIO_BLK_S_UNSUPP as UNSUPP,
  VIRTIO_BLK_T_DISCARD as DISCARD,
  VIRTIO_BLK_T_FLUSH as FLUSH,
  VIRTIO_BLK_T_GET_ID as GET_ID,
  VIRTIO_BLK_T_WRITE_ZEROES as WRITE_ZEROES,
} from "../../devices/block/abi.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import {
  blockCommand,
  blockHeader,
  blockRange,
  blockRead,
  blockStatus,
  blockWrite,
  sectorsOf,
} from "../support/block_requests.ts";
import { BlockStand, type BlockStandSetup } from "../support/block_stand.ts";
import { concat, pattern } from "../support/guest_ram.ts";
import { MMIO } from "../support/mmio_driver.ts";
import { type Cut, everyBytes, splitAt, splitBeforeLast, UNCUT } from "../support/segments.ts";

const CUTS: readonly Cut[] = [
  UNCUT,
  everyBytes(1),
  everyBytes(7),
  everyBytes(511),
  splitAt(1),
  splitAt(15),
  splitAt(16),
  splitAt(17),
  splitBeforeLast(1),
  splitBeforeLast(2),
];

function block(name: string, run: (stand: BlockStand) => void, setup: BlockStandSetup = {}): void {
  Deno.test(`block over mmio: ${name}`, () => {
    const stand = new BlockStand(MMIO, setup);
    run(stand);
    stand.checkInvariants();
  });
}

for (const cut of CUTS) {
  block(`BLK-08, VQ-SPLIT-05 IN gives the disk's bytes, ${cut.name}`, (stand) => {
    const answer = stand.call(blockRead(3, 512), { cut, layout: "indirect" });
    assertEquals(answer.response.slice(0, 512), sectorsOf(stand.disk, 3, 1));
    assertEquals([blockStatus(answer), answer.usedLength], [OK, 513]);
  });

  block(`BLK-09, VQ-SPLIT-05 OUT changes the disk's bytes, ${cut.name}`, (stand) => {
    const data = pattern(512, 9);
    const answer = stand.call(blockWrite(5, data), { cut, layout: "indirect" });
    assertEquals([blockStatus(answer), answer.usedLength], [OK, 1]);
    assertEquals(sectorsOf(stand.disk, 5, 1), data);
  });

  block(`BLK-11, VQ-SPLIT-05 GET_ID gives the serial, ${cut.name}`, (stand) => {
    const request = { readable: blockHeader(GET_ID), writable: 21 };
    const answer = stand.call(request, { cut, layout: "indirect" });
    assertEquals(text(answer.response.slice(0, 20)), "serial".padEnd(20, "\0"));
    assertEquals([blockStatus(answer), answer.usedLength], [OK, 21]);
  });

  block(`BLK-21, VQ-SPLIT-05 WRITE_ZEROES zeroes the range, ${cut.name}`, (stand) => {
    const request = blockCommand(WRITE_ZEROES, blockRange(4, 2));
    assertEquals(blockStatus(stand.call(request, { cut, layout: "indirect" })), OK);
    assertEquals(sectorsOf(stand.disk, 4, 2), new Uint8Array(1024));
  });
}

block("BLK-08 IN of the whole disk at once works", (stand) => {
  const answer = stand.call(blockRead(0, 64 * 512));
  assertEquals(answer.response.slice(0, -1), stand.disk.bytes);
  assertEquals(answer.usedLength, 64 * 512 + 1);
});

block("BLK-09 what was written is read back", (stand) => {
  const data = pattern(2048, 77);
  stand.call(blockWrite(60, data));
  assertEquals(stand.call(blockRead(60, 2048)).response.slice(0, -1), data);
});

block("BLK-10 FLUSH is answered, with or without stray data", (stand) => {
  assertEquals(blockStatus(stand.call(blockCommand(FLUSH))), OK);
  assertEquals(blockStatus(stand.call(blockCommand(FLUSH, pattern(512)))), OK);
  assertEquals(stand.call({ readable: blockHeader(FLUSH, 7), writable: 512 }).usedLength, 1);
});

for (const id of ["", "short", "exactly-twenty-chars", "more-than-twenty-characters-here"]) {
  block(
    `BLK-11 GET_ID of a serial of ${id.length} characters is NUL-padded or cut at 20`,
    (stand) => {
      const answer = stand.call({ readable: blockHeader(GET_ID), writable: 21 });
      assertEquals(text(answer.response.slice(0, 20)), id.slice(0, 20).padEnd(20, "\0"));
    },
    { id },
  );
}

for (const room of [0, 1, 19, 21, 512]) {
  block(`BLK-12 GET_ID with room for ${room} bytes fills what fits`, (stand) => {
    const answer = stand.call({ readable: blockHeader(GET_ID), writable: room + 1 });
    const filled = Math.min(room, 20);
    assertEquals([blockStatus(answer), answer.usedLength], [OK, filled + 1]);
    assertEquals(
      text(answer.response.slice(0, filled)),
      "serial".padEnd(20, "\0").slice(0, filled),
    );
  });
}

block("BLK-14 several segments are zeroed in one request", (stand) => {
  const ranges = concat(blockRange(1, 1), blockRange(10, 3, 1), blockRange(63, 1));
  assertEquals(blockStatus(stand.call(blockCommand(WRITE_ZEROES, ranges))), OK);
  assertEquals(stand.disk.log, ["zeroes 512+512", "zeroes 5120+1536 unmap", "zeroes 32256+512"]);
});

block("BLK-20 DISCARD leaves its neighbours alone", (stand) => {
  const before = sectorsOf(stand.disk, 2, 1);
  assertEquals(blockStatus(stand.call(blockCommand(DISCARD, blockRange(0, 2)))), OK);
  assertEquals(sectorsOf(stand.disk, 2, 1), before);
  assertEquals(stand.disk.log, ["discard 0+1024"]);
});

for (const type of [DISCARD, WRITE_ZEROES]) {
  block(`BLK-18 type ${type} with unknown flags is not supported`, (stand) => {
    for (const flags of [2, 0x8000_0000, 0xffff_ffff]) {
      stand.refuse(blockCommand(type, blockRange(0, 1, flags)), UNSUPP);
    }
  });

  block(`BLK-24, HD-75 type ${type} with bad segments fails and changes nothing`, (stand) => {
    const bad = [
      new Uint8Array(),
      pattern(15),
      pattern(17),
      blockRange(64, 1),
      blockRange(63, 2),
      blockRange(0, 0xffff_ffff),
      blockRange(2n ** 64n - 1n, 1),
      blockRange(2n ** 63n, 2),
      blockRange(2n ** 53n, 1),
      concat(blockRange(0, 1), blockRange(64, 1)),
      concat(...Array.from({ length: 33 }, () => blockRange(0, 1))),
    ];
    for (const payload of bad) stand.refuse(blockCommand(type, payload), IOERR);
  });

  block(`BLK-25 type ${type} over no sectors changes nothing`, (stand) => {
    stand.refuse(blockCommand(type, blockRange(0, 0)), OK);
    assertEquals(stand.disk.log, []);
  });

  block(
    `BLK-27 type ${type} is not supported by a disk that cannot`,
    (stand) => stand.refuse(blockCommand(type, blockRange(0, 1)), UNSUPP),
    { canDiscard: false, canWriteZeroes: false },
  );

  block(
    `BLK-27 type ${type} is not supported when the driver did not accept it`,
    (stand) => stand.refuse(blockCommand(type, blockRange(0, 1)), UNSUPP),
    { without: VIRTIO_BLK_F_DISCARD | VIRTIO_BLK_F_WRITE_ZEROES },
  );
}

block("BLK-19 unmap in a DISCARD is not supported", (stand) => {
  stand.refuse(blockCommand(DISCARD, blockRange(0, 1, 1)), UNSUPP);
});

block("BLK-17, HD-73 a read-only disk refuses every change", (stand) => {
  assert((stand.driver.offered() & (1n << 5n)) !== 0n, "RO is offered");
  stand.refuse(blockWrite(0, pattern(512)), IOERR);
  for (const type of [DISCARD, WRITE_ZEROES]) {
    stand.refuse(blockCommand(type, blockRange(0, 1)), IOERR);
  }
  assertEquals(blockStatus(stand.call(blockRead(0, 512))), OK);
  assertEquals(blockStatus(stand.call(blockCommand(FLUSH))), OK);
}, { readOnly: true });

for (const type of [2, 3, 5, 6, 7, 9, 10, 12, 14, 99, 0x8000_0000, 0xffff_ffff]) {
  block(`BLK-27, HD-72 type ${type} is not supported`, (stand) => {
    stand.refuse(blockCommand(type), UNSUPP);
  });
}

for (const type of [15, 16, 18, 20, 22, 24, 26]) {
  block(`BLK-28 zone type ${type} is not supported`, (stand) => {
    stand.refuse(blockCommand(type, pattern(512)), UNSUPP);
  });
}

for (const sector of [64n, 63n, 2n ** 32n, 2n ** 53n, 2n ** 55n, 2n ** 63n, 2n ** 64n - 1n]) {
  block(`BLK-29, HD-70 1024 bytes at sector ${sector} fail, and the disk stays`, (stand) => {
    stand.refuse(blockRead(sector, 1024), IOERR);
    stand.refuse(blockWrite(sector, pattern(1024)), IOERR);
    assertEquals(stand.disk.log, []);
  });
}

for (const bytes of [1, 511, 513, 1023]) {
  block(`BLK-30, HD-71 a transfer of ${bytes} bytes fails`, (stand) => {
    stand.refuse(blockRead(0, bytes), IOERR);
    stand.refuse(blockWrite(0, pattern(bytes)), IOERR);
  });
}

block("BLK-31 a transfer of nothing succeeds", (stand) => {
  stand.refuse(blockRead(0, 0), OK);
  stand.refuse(blockWrite(0, new Uint8Array()), OK);
});

block("BLK-32 half a block of a 4096-byte disk is served, and the other half stays", (stand) => {
  const neighbours = [sectorsOf(stand.disk, 8, 1), sectorsOf(stand.disk, 10, 6)];
  assertEquals(blockStatus(stand.call(blockWrite(9, pattern(512, 1)))), OK);
  assertEquals([sectorsOf(stand.disk, 8, 1), sectorsOf(stand.disk, 10, 6)], neighbours);
}, { logicalBlockBytes: 4096 });

block("BLK-15, BLK-43 a failing backend gives IOERR and used.len 1", (stand) => {
  for (const failing of ["read", "write", "flush", "discard", "zeroes"]) {
    stand.disk.failing = failing;
    const request = {
      read: blockRead(0, 512),
      write: blockWrite(0, pattern(512)),
      flush: blockCommand(FLUSH),
      discard: blockCommand(DISCARD, blockRange(0, 1)),
      zeroes: blockCommand(WRITE_ZEROES, blockRange(0, 1)),
    }[failing];
    assert(request !== undefined);
    stand.refuse(request, IOERR);
  }
});

block("BLK-16 the status is the last byte, in the descriptor of the data too", (stand) => {
  const answer = stand.call(blockRead(0, 512)); // one writable descriptor of 513 bytes
  assertEquals(answer.response[512], OK);
});

block("short transfers by the host are carried on to the end", (stand) => {
  stand.disk.maxTransfer = 700;
  const data = pattern(4096, 31);
  assertEquals(blockStatus(stand.call(blockWrite(8, data), { cut: everyBytes(333) })), OK);
  const answer = stand.call(blockRead(8, 4096), { cut: everyBytes(199) });
  assertEquals(answer.response.slice(0, -1), data);
  assertEquals(answer.usedLength, 4097);
});

block("a host file that has shrunk gives IOERR", (stand) => {
  stand.disk.maxTransfer = 0;
  stand.refuse(blockRead(8, 512), IOERR);
});

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
