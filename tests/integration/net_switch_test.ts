/** Machines of one program on its switch: they talk, learn their ways, and a card that does not read holds up nobody. */
import { Machine } from "../../src/machine/machine.ts";
import { Switch } from "../../src/machine/switch.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import { assertNothingLeft, settledState } from "../support/host_state.ts";
import { delay, kvmTest } from "../support/kvm.ts";
import { NetGuest, strangerHears } from "../support/net_guest.ts";
import { ScriptNetwork } from "../support/script_network.ts";

const LIMIT = { limitMs: 120_000 };
/** 10.0.0.4, as the tiny guest reads numbers. */
const SECOND = 0x0a000004;
const COUNT = 100;

/** The test as one more card. */
function cardOn(lan: Switch): Promise<ScriptNetwork> {
  return ScriptNetwork.connect(`\0${lan.backend.switch}`);
}

async function talk(): Promise<void> {
  await using lan = new Switch();
  await using listener = await cardOn(lan);
  await using first = await NetGuest.echo(lan.backend);
  await using second = await NetGuest.echo(lan.backend, `ip=${SECOND}`);
  {
    await using client = await NetGuest.start(lan.backend, `test=net-client count=${COUNT}`);
    assertEquals(await client.end(), `echoes ${COUNT}\n`);
  }
  await using client = await NetGuest.start(
    lan.backend,
    `test=net-client quit count=${COUNT} ip=${SECOND}`,
  );
  assertEquals(await client.end(), `echoes ${COUNT}\n`);
  for (const echo of [first, second]) {
    const answered = Number(/answered (\d+)/.exec(await echo.end())?.[1]);
    assert(answered >= COUNT, `${answered} answers`); // more on a busy host, where clients ask again
  }
  await onlyRequests(listener);
}

/** Clients send to all, up to the word that ends the echoes; the answers go to them alone. */
async function onlyRequests(listener: ScriptNetwork): Promise<void> {
  for (let isOver = false, heard = 0; !isOver; heard++) {
    const frame = await listener.receive() ?? new Uint8Array();
    assert(frame.subarray(0, 6).every((byte) => byte === 0xff), "an answer came to a stranger");
    isOver = new TextDecoder().decode(frame.subarray(42)) === "quit";
    assert(!isOver || heard >= 2 * COUNT, `${heard} frames were heard`);
  }
}

kvmTest("machines of one program talk through its switch, and nothing is left", async () => {
  await talk(); // once for what the runtime keeps
  Machine.endIdleThreads();
  const before = await settledState();
  await talk();
  Machine.endIdleThreads();
  assertNothingLeft(before, await settledState());
}, LIMIT);

kvmTest("a card that does not read loses frames, whole ones, and others lose none", async () => {
  await using lan = new Switch();
  await using deaf = await cardOn(lan);
  await using sender = await cardOn(lan);
  await using reader = await cardOn(lan);
  const numbered = (number: number) => {
    const frame = new Uint8Array(1000 + number % 500).fill(0xff, 0, 6);
    frame[6] = 2;
    new DataView(frame.buffer).setUint32(14, number);
    return frame;
  };
  const numberOf = (frame: Uint8Array | undefined) => {
    const { buffer = new ArrayBuffer(), byteOffset = 0 } = frame ?? {};
    const number = new DataView(buffer, byteOffset).getUint32(14);
    assertEquals(frame?.slice(), numbered(number));
    return number;
  };
  await deaf.send([numbered(0)], Infinity); // once it is heard of it is connected
  assertEquals([numberOf(await sender.receive()), numberOf(await reader.receive())], [0, 0]);
  for (let number = 1; number <= 20_000; number++) {
    await sender.send([numbered(number)], Infinity);
    assertEquals(numberOf(await reader.receive()), number);
  }
  let last = 0, heard = 0;
  const end = (async () => { // it is lost, too, until there is room again
    for (; last < 20_001; await delay(20)) await sender.send([numbered(20_001)], Infinity);
  })();
  for (; last < 20_001; heard++) {
    const number = numberOf(await deaf.receive());
    assert(number > last, "in order");
    last = number;
  }
  await end;
  assert(heard > 300 && heard < 10_000, `${heard} frames were kept`);
}, LIMIT);

kvmTest("nonsense closes its card only, and a switch that is closed takes links down", async () => {
  const lan = new Switch();
  await using good = await cardOn(lan);
  await using other = await cardOn(lan);
  await using bad = await cardOn(lan);
  await bad.sendBytes(Uint8Array.of(0, 0, 0, 1, 0));
  assertEquals(await bad.receive(), undefined);
  await good.send([good.datagram(10)], Infinity);
  assertEquals((await other.receive())?.length, 52);
  await lan.close();
  await lan.close();
  assertEquals([await good.receive(), await other.receive()], [undefined, undefined]);
}, LIMIT);

kvmTest(
  "another process finds the switch's name, and is neither heard nor told anything",
  async () => {
    await using lan = new Switch();
    await using good = await cardOn(lan);
    await using other = await cardOn(lan);
    assertEquals(await strangerHears(lan.backend.switch), 0);
    await good.send([good.datagram(10)], Infinity);
    assertEquals((await other.receive())?.length, 52);
  },
  LIMIT,
);
