/** What cards may be connected to within this process, as configuration. */
import { checkConnection, connectionClaims } from "../../devices/net/connection.ts";
import type { NetBackendConfig } from "../../devices/mod.ts";
import { assertEquals } from "../../src/std/assert.ts";

const NAME = "dinovisor-01234567-89ab-cdef-0123-456789abcdef";

function codes(connection: NetBackendConfig): string[] {
  const found: string[] = [];
  checkConnection(connection, (code) => found.push(code));
  return found;
}

Deno.test("switches and streams are named by what their makers say, and by nothing else", () => {
  assertEquals(codes({ type: "switch", switch: NAME }), []);
  assertEquals(codes({ type: "stream", stream: NAME, token: "" }), []);
  for (const name of ["", "lan", `${NAME}0`, `\0${NAME}`, "/tmp/lan"]) {
    assertEquals(codes({ type: "switch", switch: name }), ["NET_SWITCH"]);
    assertEquals(codes({ type: "stream", stream: name, token: "" }), ["NET_STREAM"]);
  }
});

Deno.test("a switch has room for many cards, a stream for one", () => {
  assertEquals(connectionClaims({ type: "switch", switch: NAME }), []);
  const [claim] = connectionClaims({ type: "stream", stream: NAME, token: "" });
  assertEquals([claim?.resource, claim?.alone], [`stream:${NAME}`, true]);
});
