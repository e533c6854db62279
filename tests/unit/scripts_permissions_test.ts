import { assertEquals } from "@std/assert";

Deno.test("the unit tier runs without any permission", () => {
  const names = ["read", "write", "net", "env", "sys", "run", "ffi"] as const;
  const states = names.map((name) => [name, Deno.permissions.querySync({ name }).state]);
  assertEquals(states.filter(([, state]) => state === "granted"), []);
});
