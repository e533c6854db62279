/** Credit counts modulo 2**32 (VSOCK-17, VSOCK-22, VSOCK-23). */
import { BUFFER_BYTES } from "../../devices/vsock/backlog.ts";
import { Credit, UPDATE_BYTES } from "../../devices/vsock/credit.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";

const TURN = 2 ** 32;

Deno.test("credit for the host goes on when its counts go round", () => {
  const credit = new Credit();
  credit.heard(1000, 0);
  let sent = 0;
  for (let i = 0; i < 20; i++) {
    const step = TURN / 16 + 7; // as if it had been sent in pieces
    credit.sent(step);
    sent += step;
    credit.heard(1000, sent % TURN);
    assertEquals(credit.free, 1000);
    credit.sent(400);
    sent += 400;
    assertEquals(credit.free, 600);
  }
  assert(sent > TURN);
});

Deno.test("credit of a guest that says it has passed on more than there was is none", () => {
  const credit = new Credit();
  credit.heard(1000, 0);
  credit.sent(10);
  credit.heard(1000, 11);
  assertEquals(credit.free, 0);
  credit.heard(0xffff_ffff, 10);
  assertEquals(credit.free, 0xffff_ffff);
});

Deno.test("the guest's bytes are taken up to the buffer, round and round", () => {
  const credit = new Credit();
  for (let total = 0; total < TURN + 10 * BUFFER_BYTES; total += BUFFER_BYTES) {
    assert(credit.received(BUFFER_BYTES));
    assert(!credit.received(1));
    credit.passedOn(BUFFER_BYTES - 1);
    assert(!credit.received(BUFFER_BYTES));
    credit.passedOn(1);
  }
});

Deno.test("an update is due when enough has been passed on since the last packet said so", () => {
  const credit = new Credit();
  credit.received(BUFFER_BYTES);
  credit.passedOn(UPDATE_BYTES - 1);
  assert(!credit.updateDue);
  credit.passedOn(1);
  assert(credit.updateDue);
  assertEquals(credit.announce(), UPDATE_BYTES);
  assert(!credit.updateDue);
});
