/** Where addresses were last heard from: moves, ageing, gone ports, and floods that must not drive others out. */
import {
  AGEING_MS,
  MacTable,
  NOWHERE,
  PORT_ENTRIES,
  TABLE_ENTRIES,
} from "../../src/machine/mac_table.ts";
import { assertEquals } from "../../src/std/assert.ts";

Deno.test("an address is found where it was last heard from", () => {
  const table = new MacTable();
  assertEquals(table.find(0x0200, 1, 0), NOWHERE);
  table.learn(0x0200, 1, 3, 0);
  table.learn(0x0201, 1, 4, 0); // differs in its first bytes only
  table.learn(0x0200, 0xffff_ffff, 5, 0); // and in its last
  assertEquals(
    [table.find(0x0200, 1, 0), table.find(0x0201, 1, 0), table.find(0x0200, 0xffff_ffff, 0)],
    [3, 4, 5],
  );
  table.learn(0x0200, 1, 4, 1);
  assertEquals([table.find(0x0200, 1, 1), table.size], [4, 3]);
});

Deno.test("an address that was not heard of for too long is not known any more", () => {
  const table = new MacTable();
  table.learn(0x0200, 1, 0, 0);
  table.learn(0x0200, 2, 0, 0);
  table.learn(0x0200, 2, 0, 1000);
  assertEquals(table.find(0x0200, 1, AGEING_MS), 0);
  assertEquals(table.find(0x0200, 1, AGEING_MS + 1), NOWHERE);
  assertEquals(table.find(0x0200, 2, AGEING_MS + 1), 0);
  table.age(AGEING_MS + 1);
  assertEquals(table.size, 1);
  assertEquals(table.find(0x0200, 2, AGEING_MS + 1), 0);
});

Deno.test("a port that is gone is forgotten with all its addresses, and others stay", () => {
  const table = new MacTable();
  for (let low = 0; low < 200; low++) table.learn(0x0200, low, low % 2, 0);
  table.forgetPort(1);
  assertEquals(table.size, 100);
  for (let low = 0; low < 200; low++) {
    assertEquals(table.find(0x0200, low, 0), low % 2 === 0 ? 0 : NOWHERE);
  }
});

Deno.test("a MAC flood fills its own port's share, drives nobody out and makes room when it ages", () => {
  const table = new MacTable();
  table.learn(0x0200, 7, 0, 0);
  for (let low = 1000; low < 101_000; low++) table.learn(0x0202, low, 1, 0);
  assertEquals(table.size, 1 + PORT_ENTRIES);
  table.learn(0x0200, 8, 2, 0);
  table.learn(0x0200, 7, 1, 0); // nor can it take an address over then
  assertEquals([table.find(0x0200, 7, 0), table.find(0x0200, 8, 0)], [0, 2]);
  table.age(AGEING_MS + 1);
  for (let low = 0; low < PORT_ENTRIES; low++) table.learn(0x0203, low, 1, AGEING_MS + 1);
  assertEquals([table.size, table.find(0x0203, 255, AGEING_MS + 1)], [PORT_ENTRIES, 1]);
});

Deno.test("floods from many ports fill the table and no more, and every entry comes back", () => {
  const table = new MacTable();
  const ports = TABLE_ENTRIES / PORT_ENTRIES + 5;
  const flood = () => {
    for (let port = 0; port < ports; port++) {
      for (let low = 0; low < 2 * PORT_ENTRIES; low++) table.learn(port * 2, low, port, 0);
    }
  };
  flood();
  assertEquals(table.size, TABLE_ENTRIES);
  for (let port = 0; port < ports; port++) table.forgetPort(port);
  assertEquals(table.size, 0);
  flood();
  assertEquals(table.size, TABLE_ENTRIES);
});
