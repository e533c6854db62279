/**
 * What a card on a tap carries, with the tiny guest's driver in ring 3 at the one end and the host's stack, or a sender
 * that never rests, at the other; beside QEMU microvm with the same tap in the same run. Run directly, as root:
 *
 *     deno run -A tests/bench/net.ts [--quick]
 */
import { buildTinyGuest } from "../guest/build.ts";
import { commandLine } from "../support/cli_process.ts";
import { NetNamespace } from "../support/net_namespace.ts";
import { qemu, qemuVersion } from "./monitors.ts";
import { markdown, type Row, type Sampler, takeTurns } from "./table.ts";

const TAP = "vm0";
const MEMORY_MIB = 64;
const BLAST = new URL("blast.c", import.meta.url).pathname;
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

function ours(kernel: string): Command {
  return (words) =>
    commandLine([
      ...["run", "-k", kernel, "-m", `${MEMORY_MIB}`, "--cmdline-only", words],
      ...["--net", `tap=${TAP}`],
    ]);
}

function theirs(kernel: string): Command {
  return (words) => [
    ...qemu().command({ kernel, cmdline: words, memoryMib: MEMORY_MIB }),
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

function cyclesPerSecond(): number {
  const mhz = /^cpu MHz\s*: ([\d.]+)/m.exec(Deno.readTextFileSync("/proc/cpuinfo"))?.[1];
  return Number(mhz) * 1e6;
}

async function compileBlast(directory: string): Promise<string> {
  const program = `${directory}/blast`;
  const { success, stderr } = await new Deno.Command("gcc", {
    args: ["-O2", "-o", program, BLAST],
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return program;
}

/** All rows. `scale` shortens the runs. */
export async function netRows(scale = 1, rounds = 3): Promise<Row[]> {
  const directory = Deno.makeTempDirSync({ prefix: "dinovisor-bench-" });
  using network = new NetNamespace();
  network.addTap(TAP, "10.0.0.1/24", "vnet_hdr");
  try {
    const kernel = await buildTinyGuest();
    const blast = await compileBlast(directory);
    const count = (n: number) => Math.round(n * scale);
    const loads: Load[] = [
      { name: "tx 60 B", words: `test=net-send size=60 count=${count(1_000_000)}`, blast: 0 },
      { name: "tx 1514 B", words: `test=net-send size=1514 count=${count(1_000_000)}`, blast: 0 },
      {
        name: "tx TSO 65000 B",
        words: `test=net-send size=65000 tso count=${count(100_000)}`,
        blast: 0,
      },
      { name: "rx 60 B", words: `test=net-receive size=60 count=${count(500_000)}`, blast: 60 },
      {
        name: "rx 1514 B",
        words: `test=net-receive size=1514 count=${count(500_000)}`,
        blast: 1514,
      },
    ];
    const monitors: [string, Command][] = [["dinovisor", ours(kernel)]];
    if (await qemuVersion() !== undefined) monitors.push(["QEMU", theirs(kernel)]);
    const rows: Row[] = [];
    for (const load of loads) rows.push(...await loadRows(network, load, monitors, blast, rounds));
    return rows;
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

/** One load's rows: rate, throughput and the monitor's own time, all out of the same runs. */
async function loadRows(
  network: NetNamespace,
  load: Load,
  monitors: readonly [string, Command][],
  blast: string,
  rounds: number,
): Promise<Row[]> {
  const hz = cyclesPerSecond();
  const samples = new Map<string, Sample[]>(monitors.map(([name]) => [name, []]));
  const samplers = monitors.map(([name, command]): Sampler => [name, async () => {
    const run = await measure(network, command(`${load.words} end=spin`), load, blast);
    const seconds = run.cycles / hz;
    const gigabytes = run.bytes / 1e9;
    samples.get(name)?.push({
      packetsPerSecond: run.ops / seconds,
      gigabytesPerSecond: gigabytes / seconds,
      secondsPerGigabyte: run.deviceMs / 1000 / gigabytes,
    });
    return run.ops / seconds;
  }]);
  const rate = await takeTurns(load.name, "packets/s", rounds, samplers);
  const column = (unit: string, pick: (sample: Sample) => number): Row => ({
    name: load.name,
    unit,
    samples: new Map([...samples].map(([name, values]) => [name, values.map(pick)])),
  });
  return [
    rate,
    column("GB/s", (sample) => sample.gigabytesPerSecond),
    column("s of monitor/GB", (sample) => sample.secondsPerGigabyte),
  ];
}

if (import.meta.main) {
  const quick = Deno.args.includes("--quick");
  console.log(markdown(await netRows(quick ? 0.2 : 1, quick ? 1 : 3)));
}
