/** The virtio console's sizes and named ports, in a machine of this process. */
import { O_NONBLOCK, O_RDWR } from "../../src/abi/linux.ts";
import type { ChannelConfig } from "../../src/virtio/device_kind.ts";
import { Machine } from "../../src/machine/machine.ts";
import { openFile, type OwnedFd } from "../../src/sys/fd.ts";
import { assertEquals } from "../../src/std/assert.ts";
import { DiskDirectory } from "../support/disk_image.ts";
import { kvmTest, tinyConfig, until } from "../support/kvm.ts";

function textOf(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

kvmTest("a console's size follows the window, with an interrupt for each change", async () => {
  using directory = new DiskDirectory();
  const serial = `${directory.path}/serial`;
  const config = await tinyConfig({
    words: "test=console-size count=3",
    console: { mode: "file", path: serial },
    devices: [{ kind: "console", ports: [{ channel: { type: "null" } }] }],
  });
  await using machine = await Machine.create(config, {
    terminal: { isTty: false, columns: 100, rows: 30 },
  });
  machine.start();
  await until("the first size is there", () => textOf(serial) === "size 100x30\n");
  machine.resize(132, 43);
  await until("the second size is there", () => textOf(serial).includes("size 132x43\n"));
  machine.resize(1, 65535);
  const { status } = await machine.exited;
  const sizes = "size 100x30\nsize 132x43\nsize 1x65535\n";
  assertEquals({ status, text: textOf(serial) }, { status: 0, text: sizes });
});

/** A pair of named pipes: what the test writes is a port's input, what it reads is its output. */
class PipePair implements Disposable {
  readonly #stack = new DisposableStack();
  readonly #input: OwnedFd;
  readonly #output: OwnedFd;
  readonly #toPort: Deno.FsFile;
  readonly #outputPath: string;

  constructor(directory: DiskDirectory, name: string) {
    const paths = ["in", "out"].map((end) => `${directory.path}/${name}.${end}`);
    new Deno.Command("mkfifo", { args: paths }).outputSync();
    const [inputPath = "", outputPath = ""] = paths;
    this.#outputPath = outputPath;
    this.#input = this.#stack.use(openFile(inputPath, O_RDWR | O_NONBLOCK));
    this.#output = this.#stack.use(openFile(outputPath, O_RDWR | O_NONBLOCK));
    this.#toPort = this.#stack.use(Deno.openSync(inputPath, { write: true }));
  }

  get channel(): ChannelConfig {
    return { type: "fds", input: this.#input.number, output: this.#output.number };
  }

  send(text: string): void {
    this.#toPort.writeSync(new TextEncoder().encode(text));
  }

  /** Reads until `length` characters have come. */
  async receive(length: number): Promise<string> {
    using file = await Deno.open(this.#outputPath, { read: true });
    let text = "";
    const bytes = new Uint8Array(65536);
    while (text.length < length) {
      const count = await file.read(bytes);
      text += new TextDecoder().decode(bytes.subarray(0, count ?? 0));
    }
    return text;
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}

kvmTest("lines sent to a named port come back on it, and on no other", async () => {
  using directory = new DiskDirectory();
  const serial = `${directory.path}/serial`;
  using agent = new PipePair(directory, "agent");
  using other = new PipePair(directory, "other");
  const config = await tinyConfig({
    words: "test=ports port=org.dinovisor.agent",
    console: { mode: "file", path: serial },
    devices: [{
      kind: "console",
      ports: [
        { console: true, channel: { type: "null" } },
        { name: "other", channel: other.channel },
        { name: "org.dinovisor.agent", channel: agent.channel },
      ],
    }],
  });
  await using machine = await Machine.create(config);
  other.send("not for the agent\n");
  machine.start();
  await until("the port is found", () => textOf(serial).includes("ready\n"));
  const lines = Array.from({ length: 300 }, (_, i) => `line ${i} ${"x".repeat(i % 100)}\n`);
  const expected = lines.map((line) => `echo: ${line}`).join("");
  const received = agent.receive(expected.length);
  for (const line of lines) agent.send(line);
  assertEquals(await received, expected);
  agent.send("quit\n");
  const { status } = await machine.exited;
  assertEquals(status, 0);
  const ports = textOf(serial).match(/port [12] name .*/g);
  assertEquals(ports, ["port 1 name other", "port 2 name org.dinovisor.agent"]);
});
