/**
 * virtio-net: what a card on a tap carries, with the tiny guest's driver in ring 3 at the one end and the host's stack,
 * or a sender that never rests, at the other. Needs root, for the tap and its namespace.
 */
import { NetNamespace } from "../../support/net_namespace.ts";
import { dinovisor, qemu } from "../monitors.ts";
import { type Setting, tinyGuest } from "../setting.ts";
import { announce, type Row, type Sampler, takeTurns } from "../table.ts";

const TAP = "vm0";
const ROUNDS = 3;
const BLAST = new URL("../blast.c", import.meta.url).pathname;
const TICK_MS = 10;

interface Load {
  readonly name: string;
  /** Words for the guest. */
  readonly words: string;
  /** Bytes of the frames that the host sends meanwhile; 0: none. */
  readonly blast: number;
}

/** What one run measured. */
interface Sample {
  readonly packetsPerSecond: number;
  readonly gigabytesPerSecond: number;
  /** Processor time of the monitor, without the guest's own, for each gigabyte. */
  readonly secondsPerGigabyte: number;
}

type Command = (words: string) => string[];

function ours(tiny: string): Command {
  return (words) => [...dinovisor().command(tinyGuest(tiny, words)), "--net", `tap=${TAP}`];
}

function theirs(tiny: string): Command {
  return (words) => [
    ...qemu().command(tinyGuest(tiny, words)),
    ...["-netdev", `tap,id=n,ifname=${TAP},script=no,downscript=no,vhost=off`],
    ...["-device", "virtio-net-device,netdev=n"],
  ];
}

/** Ticks of each thread of `pid`, the busiest last: that is the guest's processor, which never rests. */
function threadTicks(pid: number): number[] {
  const ticks = [...Deno.readDirSync(`/proc/${pid}/task`)].map(({ name }) => {
    const stat = Deno.readTextFileSync(`/proc/${pid}/task/${name}/stat`).replace(/^.*\) /, "");
    const fields = stat.split(" ");
    return Number(fields[11]) + Number(fields[12]);
  });
  return ticks.sort((a, b) => a - b);
}

/** Runs a guest until it has printed its result. It spins afterwards, so that its threads can be looked at. */
async function measure(network: NetNamespace, command: string[], load: Load, blast: string) {
  const [program = "", ...args] = [...network.prefix, ...command];
  const child = new Deno.Command(program, {
    args,
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  let sender: Deno.ChildProcess | undefined;
  let said = "";
  let begin = 0;
  for await (const piece of child.stdout.pipeThrough(new TextDecoderStream())) {
    said += piece;
    if (said.includes("ready") && load.blast > 0) {
      sender ??= network.spawn(blast, TAP, String(load.blast));
    }
    if (begin === 0 && said.length > 0) begin = performance.now();
    if (said.includes("}")) break;
  }
  const device = threadTicks(child.pid).slice(0, -1).reduce((sum, ticks) => sum + ticks, 0);
  child.kill("SIGKILL");
  sender?.kill("SIGKILL");
  await Promise.all([
    child.status,
    sender?.status,
    sender?.stdout.cancel(),
    sender?.stderr.cancel(),
  ]);
  await child.stdin.abort().catch(() => {});
  const { ops, bytes, cycles } = JSON.parse(said.slice(said.indexOf("{")));
  return { ops, bytes, cycles, deviceMs: device * TICK_MS } as const;
}

async function compileBlast(directory: string): Promise<string> {
  const program = `${directory}/blast`;
  const { success, stderr } = await new Deno.Command("gcc", {
    args: ["-O2", "-o", program, BLAST],
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return program;
}

export async function netRows(setting: Setting): Promise<Row[]> {
  if (Deno.uid() !== 0) {
    console.error("net left out: only root may make a tap");
    return [];
  }
  const directory = Deno.makeTempDirSync({ prefix: "dinovisor-bench-" });
  using network = new NetNamespace();
  network.addTap(TAP, "10.0.0.1/24", "vnet_hdr");
  try {
    const blast = await compileBlast(directory);
    const monitors: [string, Command][] = [["dinovisor", ours(setting.tiny)]];
    if (setting.hasQemu) monitors.push(["QEMU", theirs(setting.tiny)]);
    const rows: Row[] = [];
    for (const load of loads(setting)) {
      rows.push(...await loadRows(setting, network, load, monitors, blast));
    }
    return rows;
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

function loads({ amount }: Setting): Load[] {
  const send = (words: string, count: number) => `test=net-send ${words} count=${amount(count)}`;
  const receive = (size: number) => ({
    name: `rx ${size} B`,
    words: `test=net-receive size=${size} count=${amount(500_000)}`,
    blast: size,
  });
  return [
    { name: "tx 60 B", words: send("size=60", 1_000_000), blast: 0 },
    { name: "tx 1514 B", words: send("size=1514", 1_000_000), blast: 0 },
    { name: "tx TSO 65000 B", words: send("size=65000 tso", 100_000), blast: 0 },
    receive(60),
    receive(1514),
  ];
}

/** One load's rows: rate, throughput and the monitor's own time, all out of the same runs. */
async function loadRows(
  setting: Setting,
  network: NetNamespace,
  load: Load,
  monitors: readonly [string, Command][],
  blast: string,
): Promise<Row[]> {
  const samples = new Map<string, Sample[]>(monitors.map(([name]) => [name, []]));
  const samplers = monitors.map(([name, command]): Sampler => [name, async () => {
    const run = await measure(network, command(`${load.words} end=spin`), load, blast);
    const seconds = run.cycles / setting.cyclesPerSecond;
    const gigabytes = run.bytes / 1e9;
    samples.get(name)?.push({
      packetsPerSecond: run.ops / seconds,
      gigabytesPerSecond: gigabytes / seconds,
      secondsPerGigabyte: run.deviceMs / 1000 / gigabytes,
    });
    return run.ops / seconds;
  }]);
  const name = `${load.name}, tap`;
  const rate = await takeTurns(
    { name, unit: "packets/s", better: "more" },
    setting.rounds(ROUNDS),
    samplers,
  );
  const column = (unit: string, better: Row["better"], pick: (sample: Sample) => number): Row =>
    announce({
      name,
      unit,
      better,
      samples: new Map([...samples].map(([name, values]) => [name, values.map(pick)])),
    });
  return [
    rate,
    column("GB/s", "more", (sample) => sample.gigabytesPerSecond),
    column("s of monitor/GB", "less", (sample) => sample.secondsPerGigabyte),
  ];
}
