/** The order in which modules are loaded. */
import { assertEquals, assertThrows } from "../../src/std/assert.ts";
import { InitramfsError } from "../../src/guest/initramfs/errors.ts";
import { loadOrder, type ModuleNeeds } from "../../src/guest/initramfs/load_order.ts";

function order(modules: Readonly<Record<string, Partial<ModuleNeeds>>>): string {
  const nothing = { depends: [], before: [], after: [] };
  const map = new Map(
    Object.entries(modules).map(([name, needs]) => [name, { ...nothing, ...needs }]),
  );
  return loadOrder(map).join(" ");
}

Deno.test("load order: as given where nothing is needed", () => {
  assertEquals(order({}), "");
  assertEquals(order({ c: {}, a: {}, b: {} }), "c a b");
});

Deno.test("load order: dependencies come before those who need them, once", () => {
  assertEquals(
    order({ net: { depends: ["failover", "ring"] }, failover: {}, ring: {} }),
    [
      "failover",
      "ring",
      "net",
    ].join(" "),
  );
  assertEquals(
    order({ d: { depends: ["b", "c"] }, c: { depends: ["a"] }, b: { depends: ["a"] }, a: {} }),
    "a c b d",
  );
});

Deno.test("load order: names that are not there, built in ones, are passed over", () => {
  assertEquals(order({ a: { depends: ["virtio"], before: ["crc"], after: ["x"] } }), "a");
});

Deno.test("load order: soft dependencies are kept before and after", () => {
  assertEquals(order({ a: { before: ["z"] }, b: { after: ["a"] }, z: {} }), "b z a");
});

Deno.test("load order: a circle of soft dependencies is cut, hard ones still hold", () => {
  assertEquals(order({ a: { before: ["b"] }, b: { before: ["a"] } }), "a b");
  assertEquals(order({ a: { before: ["b"] }, b: { depends: ["a"] } }), "a b");
  assertEquals(order({ a: { depends: ["c"], after: ["c"] }, c: {} }), "c a");
});

Deno.test("load order: a circle is an error that names its modules, and only those", () => {
  const error = assertThrows(
    () => order({ user: { depends: ["a"] }, a: { depends: ["b"] }, b: { depends: ["a"] }, x: {} }),
    InitramfsError,
    "they need each other: a -> b -> a",
  );
  assertEquals(error.code, "INITRD_MODULE_CYCLE");
  assertThrows(() => order({ self: { depends: ["self"] } }), InitramfsError, "self -> self");
});
