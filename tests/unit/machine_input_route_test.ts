import { assertEquals } from "@std/assert";
import { type InputKnowledge, InputRoute } from "../../src/machine/input_route.ts";

function route(known: Partial<InputKnowledge> = {}): InputRoute {
  return new InputRoute({ forVirtio: false, speaksFirst: false, ...known });
}

Deno.test("input waits while nobody is known to read", () =>
  assertEquals(route().target, "nobody"));

Deno.test("the guest that reads the serial port has it, until the virtio console speaks", () => {
  const tested = route();
  tested.readSerial();
  tested.settle();
  assertEquals(tested.target, "serial");
  tested.speak();
  assertEquals(tested.target, "virtio");
});

Deno.test("a silent driver that has been there for a while reads", () => {
  const tested = route();
  assertEquals(tested.settles, true);
  tested.settle();
  assertEquals(tested.target, "virtio");
});

Deno.test("a guest that comes to its virtio console does not read the serial port", () => {
  const tested = route({ forVirtio: true });
  tested.readSerial();
  assertEquals(tested.target, "nobody");
});

Deno.test("a guest that speaks first reads when it has spoken, however long its driver has been there", () => {
  const tested = route({ forVirtio: true, speaksFirst: true });
  assertEquals(tested.settles, false);
  tested.settle();
  assertEquals(tested.target, "nobody");
  tested.speak();
  assertEquals(tested.target, "virtio");
});
