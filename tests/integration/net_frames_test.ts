/** A script that is the network, by streams of frames: both ways, from card to card, and held up on either side. */
import { FrameStream } from "../../src/machine/frame_stream.ts";
import { Machine } from "../../src/machine/machine.ts";
import { MachineError } from "../../src/machine/machine_error.ts";
import { assert, assertEquals, assertRejects } from "../../src/std/assert.ts";
import { assertNothingLeft, settledState } from "../support/host_state.ts";
import { delay, kvmTest } from "../support/kvm.ts";
import { NetGuest, strangerHears } from "../support/net_guest.ts";
import { datagram, isEcho } from "../support/script_network.ts";

const LIMIT = { limitMs: 60_000 };
const LENGTHS = [1, 2, 17, 18, 700, 1472];

async function echoes(): Promise<void> {
  await using cable = new FrameStream();
  const writer = cable.writable.getWriter();
  const reader = cable.readable.getReader();
  for (let round = 0; round < 2; round++) { // a second card takes the place of the first
    await using echo = await NetGuest.echo(cable.backend);
    for (const bytes of LENGTHS) {
      const sent = datagram(round, bytes);
      await writer.write(sent);
      assert(isEcho(sent, (await reader.read()).value), `${bytes} bytes`);
    }
    await writer.write(datagram(round, 4, "quit"));
    assert((await reader.read()).value !== undefined);
    assertEquals(await echo.end(), `ready\nanswered ${LENGTHS.length + 1}\n`);
  }
}

kvmTest(
  "a script's streams are the network of one card after the other, and nothing is left",
  async () => {
    await echoes(); // once for what the runtime keeps
    Machine.endIdleThreads();
    const before = await settledState();
    await echoes();
    Machine.endIdleThreads();
    assertNothingLeft(before, await settledState());
  },
  LIMIT,
);

kvmTest(
  "a script that does not read stops the guest's sending, and gets every frame later",
  async () => {
    await using cable = new FrameStream();
    await using flood = await NetGuest.start(cable.backend, "test=net-send count=20000 size=1000");
    let hasEnded = false;
    flood.machine.exited.then(() => hasEnded = true);
    const reader = cable.readable.getReader();
    assertEquals((await reader.read()).value?.length, 1000); // it has begun
    await delay(1000);
    assert(!hasEnded, "somebody has taken 20 MB");
    for (let frames = 1; frames < 20_000; frames++) {
      assertEquals((await reader.read()).value?.length, 1000);
    }
    assertEquals((await flood.machine.exited).status, 0);
  },
  LIMIT,
);

kvmTest("a guest that does not read stops the script's writing, not the script", async () => {
  const cable = new FrameStream();
  const writer = cable.writable.getWriter();
  const early = writer.write(datagram(0, 1000)); // waits for a card
  await using _guest = await NetGuest.start(cable.backend, "test=idle end=spin");
  await early;
  let written = 0;
  const flood = (async () => {
    for (;; written++) await writer.write(datagram(written, 1000));
  })();
  flood.catch(() => {}); // looked at below
  let before = -1;
  while (before !== written) {
    before = written;
    await delay(300); // other work goes on
  }
  assert(written > 20 && written < 5000, `${written} frames were taken`);
  cable.close();
  cable.close();
  const { code } = await assertRejects(() => flood, MachineError);
  assertEquals(code, "CLOSED");
  assertEquals((await cable.readable.getReader().read()).done, true);
}, LIMIT);

kvmTest("what is no frame is refused, and another process is not let in", async () => {
  for (const bytes of [0, 13, 65536 + 54]) {
    await using cable = new FrameStream();
    const writer = cable.writable.getWriter();
    const { code } = await assertRejects(() => writer.write(new Uint8Array(bytes)), MachineError);
    assertEquals(code, "FRAME_LENGTH");
  }
  {
    await using lonely = new FrameStream();
    const write = lonely.writable.getWriter().write(datagram(0, 4)); // there is no card
    lonely.close();
    assertEquals((await assertRejects(() => write, MachineError)).code, "CLOSED");
  }
  await using cable = new FrameStream();
  const writer = cable.writable.getWriter();
  const first = writer.write(datagram(0, 4));
  assertEquals(await strangerHears(cable.backend.stream), 0);
  await using echo = await NetGuest.echo(cable.backend);
  await first; // it waited for the card
  await writer.write(datagram(0, 4, "quit"));
  assertEquals((await echo.machine.exited).status, 0);
}, LIMIT);
