/**
 * Networks and sockets that fail for real: interfaces and helpers that go, peers that hang up, no descriptors, files taken
 * away. The guest sees its link go down, the owner is told, nothing spins, and the machine goes on.
 */
import { PcapFile } from "../../devices/net/capture_backend.ts";
import { ConnectingSource } from "../../devices/net/socket_backend.ts";
import { StreamBackend } from "../../devices/net/stream_backend.ts";
import { FdChannel, FileChannel } from "../../src/machine/channels.ts";
import { Machine } from "../../src/machine/machine.ts";
import type { BackendFailure } from "../../src/machine/machine_options.ts";
import {
  assert,
  assertEquals,
  assertLessOrEqual,
  assertStringIncludes,
} from "../../src/std/assert.ts";
import { EpollLoop } from "../../src/loop/epoll_loop.ts";
import { ECONNREFUSED } from "../../src/sys/sys_error.ts";
import { UnixListener } from "../../src/sys/unix_listener.ts";
import { childPair } from "../../src/sys/unix_socket.ts";
import { IovecList } from "../../src/virtio/iovec_list.ts";
import { missingProgram } from "../support/debian_program.ts";
import { CliProcess, tinyArgs } from "../support/cli_process.ts";
import { DiskDirectory } from "../support/disk_image.ts";
import { kvmTest, tinyConfig, until } from "../support/kvm.ts";
import { ManualLoop } from "../support/manual_loop.ts";
import { Mounted, mountRefusal } from "../support/mounted.ts";
import { namespaceRefusal, NetNamespace } from "../support/net_namespace.ts";
import { ScriptNetwork } from "../support/script_network.ts";
import { ToldProcess } from "../support/told_process.ts";

const TAP_FAULTS = new URL("../support/tap_faults.ts", import.meta.url).pathname;
const FEW_DESCRIPTORS = new URL("../support/few_descriptors.ts", import.meta.url).pathname;
const WITH_TAPS = { ignore: namespaceRefusal() };
const noTmpfs = mountRefusal("tmpfs");
const NO_ROOM = new IovecList();
const noPasst = await missingProgram("passt", "--version", "passt");

/** Registers a test that needs no KVM, or an ignored one with the reason printed. */
function hostTest(name: string, ignore: string | undefined, fn: () => void | Promise<void>): void {
  if (ignore !== undefined) console.log(`ignored: ${ignore}`);
  Deno.test({ name, ignore: ignore !== undefined, fn });
}

for (const queues of [1, 2]) {
  hostTest(`a tap with ${queues} queues goes down, up, and away`, WITH_TAPS.ignore, () => {
    using network = new NetNamespace();
    network.addTap("vm0", "10.0.0.1/24", queues > 1 ? "multi_queue" : "");
    const words = ["run", "-A", "--no-check", TAP_FAULTS, "vm0", `${queues}`];
    const said = JSON.parse(network.exec(Deno.execPath(), ...words));
    assertEquals(said, {
      down: [true, 0, true], // what is sent is lost, as on a cable; the card is there
      lost: 0,
      up: [true, 1],
      gone: [true, 0, false],
      events: ["carrier false"],
      failures: [`Tap "vm0" is gone: the link stays down`],
    });
  });
}

kvmTest("a tap that is gone before the driver comes is a link that is down", async () => {
  using network = new NetNamespace();
  network.addTap("vm0", "10.0.0.1/24");
  using directory = new DiskDirectory();
  const serial = `${directory.path}/serial`;
  const config = await tinyConfig({
    words: "test=net-info",
    console: { mode: "file", path: serial },
    devices: [{ kind: "net", backend: { type: "tap", name: "vm0" } }],
  });
  await using told = new ToldProcess(config, network.prefix);
  await told.created();
  network.ip("link delete vm0");
  await told.start();
  const { reason, status } = await told.exit();
  assertEquals([reason, status], ["exit-register", 0]);
  assertEquals(told.failures, [`net0: Tap "vm0" is gone: the link stays down`]);
}, WITH_TAPS);

kvmTest(
  "the command line warns of a tap that is deleted under a guest that only sends",
  async () => {
    using network = new NetNamespace();
    network.addTap("vm0", "10.0.0.1/24");
    const words = "test=net-send count=300000 size=64";
    await using cli = CliProcess.spawn(await tinyArgs(words, ["--net", "tap=vm0"]), {
      prefix: network.prefix,
    });
    await until("frames arrive", () => network.counter("vm0", "rx_packets") > 100);
    network.ip("link delete vm0");
    const { code, stderr } = await cli.ended; // every buffer came back, or the guest would wait for ever
    assertEquals(code, 0);
    assertEquals(stderr, `warning: net0: Tap "vm0" is gone: the link stays down\n`);
  },
  WITH_TAPS,
);

kvmTest("passt dies: the link is down for good, the owner told, the machine goes on", async () => {
  const failures: BackendFailure[] = [];
  const config = await tinyConfig({
    words: "test=net-echo",
    devices: [{ kind: "net", backend: { type: "user" } }],
  });
  await using machine = await Machine.create(config, {
    events: { backendFailed: (failure) => failures.push(failure) },
  });
  machine.start();
  const [passt] = childrenNamed("passt");
  assert(passt !== undefined, "there is a passt");
  Deno.kill(passt, "SIGKILL");
  await until("the owner is told", () => failures.length > 0);
  assertEquals(failures, [{ device: "net0", message: "passt has ended: the link stays down" }]);
  assertEquals(machine.status, "running");
  await machine.stop();
  assertEquals(childrenNamed("passt"), [], "no zombie is left");
}, { ignore: noPasst });

kvmTest("passt goes with its machine", async () => {
  const config = await tinyConfig({
    words: "test=net-echo",
    devices: [{ kind: "net", backend: { type: "user" } }],
  });
  await using told = new ToldProcess(config);
  await told.start();
  const { pid } = told.process;
  const [passt] = childrenNamed("passt", pid);
  assert(passt !== undefined, "there is a passt");
  told.process.kill("SIGKILL");
  await told.process.ended;
  await until("passt has ended", () => !isRunning(passt));
}, { ignore: noPasst });

/** Processes of this name that are ours, or `parent`'s; zombies as well. */
function childrenNamed(name: string, parent = Deno.pid): number[] {
  return [...Deno.readDirSync("/proc")].map((entry) => Number(entry.name)).filter((pid) => {
    const stat = Number.isNaN(pid) ? "" : readText(`/proc/${pid}/stat`);
    const [, comm = "", rest = ""] = /^\d+ \((.*)\) (.*)/.exec(stat) ?? [];
    return comm.startsWith(name) && Number(rest.split(" ")[1]) === parent;
  });
}

function isRunning(pid: number): boolean {
  const [, state = "Z"] = /^\d+ \(.*\) (\S)/.exec(readText(`/proc/${pid}/stat`)) ?? [];
  return state !== "Z";
}

function readText(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

kvmTest("nonsense from a network is said once, however often it comes", async () => {
  using directory = new DiskDirectory();
  const path = `${directory.path}/lan`;
  await using network = ScriptNetwork.listen(path);
  const failures: BackendFailure[] = [];
  const serial = `${directory.path}/serial`;
  const config = await tinyConfig({
    words: "test=net-echo",
    console: { mode: "file", path: serial },
    devices: [{ kind: "net", backend: { type: "socket", path } }],
  });
  await using machine = await Machine.create(config, {
    events: { backendFailed: (failure) => failures.push(failure) },
  });
  machine.start();
  await until("the guest is ready", () => readText(serial).includes("ready"));
  for (let i = 0; i < 3; i++) {
    await network.sendBytes(new Uint8Array(4).fill(0xff));
    assertEquals(await network.receive(), undefined, "the other end has closed");
    await network.reconnected();
  }
  assertEquals(failures.map(({ device }) => device), ["net0"]);
  assertStringIncludes(failures[0]?.message ?? "", "sent what is no frame");
});

hostTest("a program that hangs up at once is called again twice a second", undefined, () => {
  const loop = new ManualLoop();
  let calls = 0;
  const source = new ConnectingSource(() => {
    const [ours, theirs] = childPair();
    theirs.close();
    calls++;
    return ours;
  }, loop);
  const backend = new StreamBackend(source, loop, () => {});
  const carriers: boolean[] = [];
  backend.attach({
    readable: () => backend.receive(0, NO_ROOM), // which finds that nobody is there
    writable: () => {},
    carrierChanged: (up) => carriers.push(up),
  });
  backend.listen(0, true);
  for (let ms = 0; ms < 5000; ms += 10) {
    backend.ready(1); // EPOLLIN: the end of the stream
    loop.advance(10);
  }
  backend.close();
  assert(calls >= 10 && calls <= 11, `${calls} calls in 5 seconds`);
  assertLessOrEqual(carriers.length, 2 * calls, "changes of the link");
});

hostTest("a program that comes back after a while is found at once", undefined, () => {
  const loop = new ManualLoop();
  const answers: (number | "there")[] = [ECONNREFUSED, "there", "there"];
  let calls = 0;
  const source = new ConnectingSource(() => {
    calls++;
    const answer = answers.shift() ?? ECONNREFUSED;
    return answer === "there" ? childPair()[0] : answer;
  }, loop);
  let connected = 0;
  const take = (fd: Disposable) => {
    connected++;
    fd[Symbol.dispose]();
  };
  source.seek(take);
  assertEquals([calls, connected], [1, 0]);
  loop.advance(500);
  assertEquals([calls, connected], [2, 1]);
  loop.advance(60_000);
  source.seek(take);
  assertEquals([calls, connected], [3, 2]);
  source.close();
});

for (const kind of ["vsock", "net"]) {
  hostTest(
    `${kind}: without descriptors callers wait, nothing spins, and they come in later`,
    undefined,
    () => {
      using directory = new DiskDirectory();
      const command = [Deno.execPath(), "run", "-A", "--no-check", FEW_DESCRIPTORS, kind];
      const { stdout, stderr } = new Deno.Command("sh", {
        args: ["-c", `ulimit -n 100; exec "$@"`, "sh", ...command, `${directory.path}/socket`],
        stdin: "null",
      }).outputSync();
      const text = new TextDecoder().decode(stdout);
      assert(text !== "", new TextDecoder().decode(stderr));
      const { crowded, arrived } = JSON.parse(text);
      assert(!crowded.arrived && arrived, text);
      assertLessOrEqual(crowded.told, 11, "ten looks a second");
      assertEquals(crowded.answered, false);
      assertEquals(crowded.calling.length, kind === "vsock" ? 1 : 0, "a guest's call gets RST");
      assertStringIncludes(crowded.message, "too many open files in this process (EMFILE)");
    },
  );
}

hostTest("a socket file that was taken away, or replaced, is none of ours", undefined, () => {
  using directory = new DiskDirectory();
  const path = `${directory.path}/socket`;
  const gone = new UnixListener(path);
  Deno.removeSync(path);
  gone.close();
  const first = new UnixListener(path);
  Deno.removeSync(path);
  using _second = new UnixListener(path); // another monitor's
  first.close();
  assert(Deno.lstatSync(path).isSocket, "the file of the second one stays");
});

kvmTest("machines end in order though their socket files are gone", async () => {
  using directory = new DiskDirectory();
  const [lan, uds] = [`${directory.path}/lan`, `${directory.path}/vm.sock`];
  const logs: string[] = [];
  const config = await tinyConfig({
    words: "test=idle end=hlt",
    devices: [
      { kind: "net", backend: { type: "socket", path: lan, listen: true } },
      { kind: "vsock", cid: 5, uds },
    ],
  });
  await using machine = await Machine.create(config, {
    events: { log: (line) => logs.push(line) },
  });
  machine.start();
  Deno.removeSync(lan);
  Deno.removeSync(uds);
  assertEquals((await machine.stop()).reason, "stopped");
  assertEquals(logs, []);
});

hostTest("a recording ends when its disk is full, and is said to", noTmpfs, async () => {
  await using small = await Mounted.mount({ type: "tmpfs", bytes: 256 * 1024 });
  const failures: string[] = [];
  const file = new PcapFile(small.outside("a.pcap"), (message) => failures.push(message));
  for (let i = 0; i < 1000; i++) file.add(1500, true);
  file.close();
  assertEquals(failures.length, 1);
  assert(/^Cannot go on with the recording .*os error 28/.test(failures[0] ?? ""), failures[0]);
});

hostTest(
  "a console's file on a full disk loses output, not the guest's time",
  noTmpfs,
  async () => {
    await using small = await Mounted.mount({ type: "tmpfs", bytes: 64 * 1024 });
    const failures = new Set<string>();
    const channel = new FileChannel(small.outside("log"), (message) => failures.add(message));
    for (let i = 0; i < 100; i++) assertEquals(channel.write(new Uint8Array(4096), 4096), 4096);
    channel.close();
    assertEquals(failures.size, 1);
    assertStringIncludes([...failures][0] ?? "", "Cannot write console file");
  },
);

hostTest("a port whose reader has gone loses output, and is said to", undefined, () => {
  using loop = new EpollLoop(0);
  const [ours, theirs] = childPair();
  const failures: string[] = [];
  const channel = new FdChannel(loop, -1, ours.number, (message) => {
    failures.push(message);
    loop.stop();
  });
  theirs.close();
  channel.write(new Uint8Array(10), 10);
  loop.run();
  for (let i = 0; i < 100; i++) assertEquals(channel.write(new Uint8Array(4096), 4096), 4096);
  channel.close();
  ours.close();
  assertEquals(failures.length, 1);
  assertStringIncludes(failures[0] ?? "", "nobody reads the other end (EPIPE)");
});

kvmTest("stdout on a full disk ends the run, with the reason", async () => {
  await using small = await Mounted.mount({ type: "tmpfs", bytes: 64 * 1024 });
  const prefix = [...small.prefix, "sh", "-c", `exec "$@" > ${small.path}/out`, "sh"];
  await using cli = CliProcess.spawn(await tinyArgs("test=serial bytes=1M"), { prefix });
  const { code, stderr } = await cli.ended;
  assertEquals(code, 141);
  assertStringIncludes(stderr, "Cannot write to stdout: no space left (ENOSPC)");
}, { ignore: noTmpfs });
