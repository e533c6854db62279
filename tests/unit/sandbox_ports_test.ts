/** Calls to a port of a guest whose agent does not answer. */
import type { VsockConnection } from "../../src/machine/mod.ts";
import { GuestPorts } from "../../src/sandbox/guest_ports.ts";
import { assertEquals, assertRejects } from "../../src/std/assert.ts";

Deno.test("a call that is given up rejects with the signal's reason, and hangs up", async () => {
  const asked = Promise.withResolvers<void>();
  let isClosed = false;
  const open = (): Promise<VsockConnection> => {
    const { readable, writable } = new TransformStream<Uint8Array<ArrayBuffer>>();
    const close = (): void => {
      if (!isClosed) writable.close();
      isClosed = true;
    };
    return Promise.resolve({
      readable,
      writable: new WritableStream({ write: () => asked.resolve() }),
      close,
      [Symbol.asyncDispose]: () => Promise.resolve(close()),
    });
  };
  const reason = new Error("enough");
  const limit = new AbortController();
  const call = new GuestPorts({ open }).connect(80, limit.signal);
  await asked.promise;
  limit.abort(reason);
  assertEquals([await assertRejects(() => call), isClosed], [reason, true]);
});
