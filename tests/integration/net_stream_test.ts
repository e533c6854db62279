/** Cards on Unix stream sockets: between two machines, with QEMU, and with a script that is the network. */
import { Machine } from "../../src/machine/machine.ts";
import { assert, assertEquals, assertThrows } from "../../src/std/assert.ts";
import { buildTinyGuest } from "../guest/build.ts";
import { CliProcess, runTinyCli, tinyArgs } from "../support/cli_process.ts";
import { missingProgram } from "../support/debian_program.ts";
import { ScriptNetwork } from "../support/script_network.ts";
import { delay, kvmTest, tinyConfig, until } from "../support/kvm.ts";

const LIMIT = { limitMs: 120_000 };
const NO_QEMU = await missingProgram("qemu-system-x86_64", "--version", "qemu-system-x86");

async function withDirectory(work: (path: string) => Promise<void>): Promise<void> {
  const path = Deno.makeTempDirSync({ prefix: "dinovisor-net-" });
  try {
    await work(path);
  } finally {
    Deno.removeSync(path, { recursive: true });
  }
}

async function start(words: string, net: string): Promise<CliProcess> {
  const cli = CliProcess.spawn(await tinyArgs(words, ["--net", net]), LIMIT);
  await cli.waitFor("ready\n");
  return cli;
}

kvmTest(
  "two machines exchange datagrams of every length, and neither leaves its socket",
  async () => {
    await withDirectory(async (path) => {
      await using echo = await start("test=net-echo", `listen=${path}/lan`);
      const client = await runTinyCli("test=net-client quit", ["--net", `socket=${path}/lan`]);
      assertEquals({ code: client.code, stdout: client.stdout }, {
        code: 0,
        stdout: "echoes 1472\n",
      });
      const { code, stdout } = await echo.ended;
      assertEquals({ code, stdout }, { code: 0, stdout: "ready\nanswered 1473\n" });
      assertEquals([...Deno.readDirSync(path)], []);
    });
  },
);

kvmTest("a machine finds one that starts later, and again one that takes its place", async () => {
  await withDirectory(async (path) => {
    const client = CliProcess.spawn(
      await tinyArgs("test=net-client quit count=100", ["--net", `socket=${path}/lan`]),
      LIMIT,
    );
    const first = await start("test=net-echo ip=1", `listen=${path}/lan`); // answers nobody
    first.kill("SIGKILL");
    await first.ended;
    await using echo = await start("test=net-echo", `listen=${path}/lan`); // takes the dead one's path over
    assertEquals((await client.ended).stdout, "echoes 100\n");
    assertEquals((await echo.ended).code, 0);
  });
});

for (const server of [true, false]) {
  kvmTest(
    `a machine and QEMU's -netdev stream exchange datagrams, QEMU as ${
      server ? "server" : "client"
    }`,
    async () => {
      await withDirectory(async (path) => {
        const qemu = server ? qemuPeer(path, "test=net-echo", server) : undefined;
        const net = server ? `socket=${path}/lan` : `listen=${path}/lan`;
        const words = server ? "test=net-client quit" : "test=net-echo";
        await using ours = CliProcess.spawn(await tinyArgs(words, ["--net", net]), LIMIT);
        if (!server) await ours.waitFor("ready\n");
        const theirs = await (await (qemu ?? qemuPeer(path, "test=net-client quit", server)))
          .output();
        const { code, stdout } = await ours.ended;
        const said = new TextDecoder().decode(theirs.stdout) +
          new TextDecoder().decode(theirs.stderr);
        assertEquals(code, 0);
        assert((server ? stdout : said).includes("echoes 1472"), said);
        assert((server ? said : stdout).includes("answered 1473"), said);
      });
    },
    { ...LIMIT, ignore: NO_QEMU },
  );
}

/** The tiny guest under QEMU microvm, with a card on the socket. */
async function qemuPeer(path: string, words: string, server: boolean): Promise<Deno.ChildProcess> {
  const stream = `stream,id=n,server=${server ? "on" : "off"},addr.type=unix,addr.path=${path}/lan`;
  return new Deno.Command("qemu-system-x86_64", {
    args: [
      ...["-M", "microvm,acpi=off,rtc=off", "-accel", "kvm", "-m", "64"],
      ...["-global", "virtio-mmio.force-legacy=false", "-nodefaults", "-no-user-config"],
      ...["-display", "none", "-serial", "stdio", "-no-reboot"],
      ...["-device", "isa-debug-exit,iobase=0xf4,iosize=1"],
      ...["-netdev", stream, "-device", "virtio-net-device,netdev=n"],
      ...["-kernel", await buildTinyGuest(), "-append", words],
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

kvmTest(
  "a script that is the network gets its frames back, however the stream is cut",
  async () => {
    await withDirectory(async (path) => {
      await using network = ScriptNetwork.listen(`${path}/lan`);
      await using echo = await start("test=net-echo", `socket=${path}/lan`);
      for (const cut of [1, 3, 4, 5, 1000, Infinity]) {
        const datagrams = [1, 2, 17, 18, 700, 1472].map((n) => network.datagram(n));
        await network.send(datagrams, cut);
        for (const sent of datagrams) {
          assert(network.isEcho(sent, await network.receive()), `cut ${cut}`);
        }
      }
      await network.send([network.datagram(4, "quit")], Infinity);
      assertEquals((await echo.ended).stdout, "ready\nanswered 37\n");
    });
  },
);

kvmTest("the link is pulled and plugged in by the machine's owner", async () => {
  await withDirectory(async (path) => {
    await using network = ScriptNetwork.listen(`${path}/lan`);
    const config = await tinyConfig({
      words: "test=net-echo",
      console: { mode: "file", path: `${path}/serial` },
      devices: [{ kind: "net", backend: { type: "socket", path: `${path}/lan` } }],
    });
    await using machine = await Machine.create(config);
    machine.start();
    await until("the guest is ready", () => readText(`${path}/serial`).includes("ready"));
    const echoes = async () => {
      const sent = network.datagram(100);
      await network.send([sent], Infinity);
      const got = await Promise.race([network.receive(), delay(300)]);
      return got !== undefined && network.isEcho(sent, got);
    };
    assert(await echoes());
    machine.setLink(0, false);
    await delay(100);
    await network.send([network.datagram(100)], Infinity); // lost
    await delay(100);
    machine.setLink(0, true);
    machine.announce(0); // the tiny guest knows nothing of it: no harm
    await delay(100);
    assert(await echoes());
    assertThrows(() => machine.setLink(1, true), Error, "the machine has 1");
    await network.send([network.datagram(4, "quit")], Infinity);
    assertEquals((await machine.exited).status, 0);
    assertEquals(readText(`${path}/serial`), "ready\nanswered 3\n");
  });
});

function readText(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

kvmTest("a stream of nonsense is cut off, and the next connection works", async () => {
  await withDirectory(async (path) => {
    await using network = ScriptNetwork.listen(`${path}/lan`);
    await using echo = await start("test=net-echo", `socket=${path}/lan`);
    for (
      const nonsense of [[0xff, 0xff, 0xff, 0xff], [0, 0, 0, 0], [0, 0, 0, 13], [0, 1, 0, 0x56]]
    ) {
      await network.sendBytes(Uint8Array.from(nonsense));
      assertEquals(await network.receive(), undefined, "the other end has closed");
      await network.reconnected();
    }
    const datagram = network.datagram(100);
    await network.send([datagram], Infinity);
    assert(network.isEcho(datagram, await network.receive()));
    await network.send([network.datagram(4, "quit")], Infinity);
    assertEquals((await echo.ended).code, 0);
  });
});

kvmTest("a network that does not read stops the guest's queue, and takes it up again", async () => {
  await withDirectory(async (path) => {
    await using network = ScriptNetwork.listen(`${path}/lan`);
    await using flood = CliProcess.spawn(
      await tinyArgs("test=net-send count=20000 size=1000", ["--net", `socket=${path}/lan`]),
      LIMIT,
    );
    await new Promise((resolve) => setTimeout(resolve, 1500)); // nobody reads: the sender has to wait
    assertEquals(flood.stdout, "");
    let frames = 0;
    for (; frames < 20_000; frames++) assertEquals((await network.receive())?.length, 1000);
    assertEquals((await flood.ended).code, 0);
  });
});
