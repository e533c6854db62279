/** The flattened device tree writer, byte for byte; what dtc says of x86's tree is in tests/integration. */
import assert from "node:assert/strict";
import { FdtWriter } from "../../src/arch/fdt.ts";

Deno.test("a small tree has exactly the bytes of the specification", () => {
  const tree = new FdtWriter();
  tree.beginNode("");
  tree.cells("a", 0x11223344);
  tree.beginNode("n@1");
  tree.strings("b", "xy");
  tree.flag("a");
  tree.endNode();
  tree.endNode();
  const blob = tree.finish([{ base: 0x1_0000_0002, size: 3 }], 7);
  const view = new DataView(blob.buffer);
  const words = Array.from(
    { length: Math.floor(blob.length / 4) },
    (_, i) => view.getUint32(i * 4),
  );
  const strings = [0x61, 0, 0x62, 0];
  assert.deepEqual(
    words,
    [
      ...[0xd00dfeed, blob.length, 72, 72 + 72, 40, 17, 16, 7, 4, 72],
      ...[1, 2, 0, 3, 0, 0, 0, 0],
      ...[1, 0],
      ...[3, 4, 0, 0x11223344],
      ...[1, 0x6e403100],
      ...[3, 3, 2, 0x78790000],
      ...[3, 0, 0],
      ...[2, 2, 9],
      ...[0x61006200],
    ].slice(0, words.length),
  );
  assert.equal(blob.length, 72 + 72 + 4);
  assert.deepEqual([...blob.slice(-4)], strings);
});

Deno.test("wide cells and lists are big-endian", () => {
  const tree = new FdtWriter();
  tree.beginNode("");
  tree.wideCells("w", 0x12_3456_789a);
  tree.strings("s", "a", "b");
  tree.endNode();
  const blob = tree.finish();
  const view = new DataView(blob.buffer);
  const start = view.getUint32(8) + 8;
  assert.deepEqual([view.getUint32(start + 12), view.getUint32(start + 16)], [0x12, 0x3456789a]);
  assert.deepEqual([...blob.slice(start + 32, start + 36)], [0x61, 0, 0x62, 0]);
});

Deno.test("a tree out of order, or with names nobody can read, is a bug of the caller", () => {
  const misuse: readonly ((tree: FdtWriter) => void)[] = [
    (tree) => tree.beginNode("root"),
    (tree) => tree.endNode(),
    (tree) => tree.flag("outside"),
    (tree) => tree.finish(),
    (tree) => (tree.beginNode(""), tree.finish()),
    (tree) => (tree.beginNode(""), tree.beginNode("a b")),
    (tree) => (tree.beginNode(""), tree.beginNode("")),
    (tree) => (tree.beginNode(""), tree.flag("a b")),
    (tree) => (tree.beginNode(""), tree.strings("a", "x\0y")),
    (tree) => (tree.beginNode(""), tree.beginNode("c"), tree.endNode(), tree.flag("late")),
    (tree) => (tree.beginNode(""), tree.endNode(), tree.beginNode("")),
  ];
  misuse.forEach((act, i) => assert.throws(() => act(new FdtWriter()), TypeError, `case ${i}`));
});
