import { assertEquals, assertStringIncludes } from "@std/assert";
import { MarkReader } from "../../scripts/lab/end_mark.ts";
import { type LabOptions, parseOptions } from "../../scripts/lab/options.ts";
import { chosenMemoryMib, type LabMachine, qemuArguments } from "../../scripts/lab/qemu.ts";
import { quoted } from "../../scripts/lab/run_disk.ts";
import { chooseFrom, workScript } from "../../scripts/lab/work.ts";
import { CORE_SET } from "../../scripts/lab/core_set.ts";

const DEFAULTS: LabOptions = {
  work: { kind: "tests", choice: "core" },
  memoryMib: undefined,
  cpus: 1,
  limitMinutes: undefined,
  verbose: false,
  keep: false,
  rebuild: false,
  help: false,
};

Deno.test("the lab's options: the work, and how big it is", () => {
  const cases: readonly [string[], Partial<LabOptions>][] = [
    [[], {}],
    [["--"], {}],
    [["--", "--all"], { work: { kind: "tests", choice: "all" } }],
    [["boot", "7"], { work: { kind: "tests", choice: ["boot", "7"] } }],
    [["--run", "uname -a"], { work: { kind: "command", command: "uname -a" } }],
    [["--run=-x"], { work: { kind: "command", command: "-x" } }],
    [["--shell", "--memory", "3072", "--cpus=4", "--limit", "5"], {
      work: { kind: "shell" },
      memoryMib: 3072,
      cpus: 4,
      limitMinutes: 5,
    }],
    [["--keep", "--verbose", "--rebuild", "--help"], {
      keep: true,
      verbose: true,
      rebuild: true,
      help: true,
    }],
  ];
  for (const [words, expected] of cases) {
    assertEquals(parseOptions(words), { ...DEFAULTS, ...expected }, words.join(" "));
  }
});

Deno.test("the lab's options: what is wrong is said", () => {
  const cases: readonly [string[], string][] = [
    [["--al"], 'there is no option "--al"; see --help'],
    [["-x"], 'there is no option "-x"; see --help'],
    [["--all", "boot"], "--run, --all, --shell and WORD… exclude one another"],
    [["--all", "--run", "x"], "--run, --all, --shell and WORD… exclude one another"],
    [["--run="], "--run takes a command"],
    [["--memory", "512"], '--memory takes a whole number, 1024 or more, not "512"'],
    [["--memory=2G"], '--memory takes a whole number, 1024 or more, not "2G"'],
    [["--cpus", "0"], '--cpus takes a whole number, 1 to 255, not "0"'],
    [["--limit="], '--limit takes a whole number, 1 or more, not ""'],
  ];
  for (const [words, expected] of cases) assertEquals(parseOptions(words), expected);
});

const TOKEN = "5f0c";

/** Everything a reader makes of `text`, given to it in pieces of `size` bytes. */
function readInPieces(
  text: string,
  size: number,
): { output: string; begun: boolean; status?: number } {
  const bytes = new TextEncoder().encode(text);
  const reader = new MarkReader(TOKEN);
  const decoder = new TextDecoder();
  let all = { output: "", begun: false };
  for (let at = 0; at < bytes.length; at += size) {
    const { output, begun, status } = reader.push(bytes.subarray(at, at + size));
    all = { output: all.output + decoder.decode(output, { stream: true }), begun };
    if (status !== undefined) return { ...all, status };
  }
  return all;
}

Deno.test("marks are taken out of the work's output, however it is cut", () => {
  const text =
    `boot\n\x1ebegin ${TOKEN}\nok \x1e and \x1eend other 3\n… no line feed\x1eend ${TOKEN} 42\nlost`;
  for (let size = 1; size <= text.length; size++) {
    const output = "boot\nok \x1e and \x1eend other 3\n… no line feed";
    assertEquals(
      readInPieces(text, size),
      { output, begun: true, status: 42 },
      `pieces of ${size}`,
    );
  }
});

Deno.test("work that says nothing is two marks in a row", () => {
  const silent = `\x1ebegin ${TOKEN}\n\x1eend ${TOKEN} 0\n`;
  assertEquals(readInPieces(silent, 100), { output: "", begun: true, status: 0 });
});

Deno.test("what only looks like a mark is output, and an end without a status is none", () => {
  for (
    const text of [
      `\x1eend ${TOKEN} x\nyes\n`,
      `\x1eend ${TOKEN} 1234\nyes\n`,
      "\x1e\x1ebegin 5f0d\n",
    ]
  ) {
    for (const size of [1, 3, text.length]) {
      assertEquals(readInPieces(text, size), { output: text, begun: false }, JSON.stringify(text));
    }
  }
  // It may still become one: nothing is passed on before that is known.
  assertEquals(readInPieces(`a\x1eend ${TOKEN} 4`, 100), { output: "a", begun: false });
});

const MACHINE: LabMachine = {
  kernel: "/c/vmlinuz",
  image: "/c/root.ext4",
  runDisk: "/c/a,b/run.ext4",
  memoryMib: 3072,
  cpus: 2,
  sockets: { console: "/s/c", output: "/s/o", errors: "/s/e" },
  terminal: false,
  verbose: false,
};

Deno.test("QEMU's arguments: software SVM, disks whose changes are lost, no terminal unless asked for", () => {
  const words = qemuArguments(MACHINE);
  const line = words.join(" ");
  assertStringIncludes(line, "-cpu max -smp 2 -m 3072 -accel tcg,thread=multi");
  assertStringIncludes(line, "file=/c/a,,b/run.ext4,format=raw,if=none,snapshot=on");
  assertEquals(words.filter((word) => word.includes("snapshot=on")).length, 2);
  assertEquals(line.includes("virtconsole"), false);
  assertStringIncludes(qemuArguments({ ...MACHINE, terminal: true }).join(" "), "virtconsole");
});

Deno.test("the lab has room for guests of 5 GiB where this host has the memory", () => {
  const meminfo = (mib: number) => `MemTotal: 99999999 kB\nMemAvailable:   ${mib * 1024} kB\n`;
  assertEquals([9216, 9215, 1].map((mib) => chosenMemoryMib(meminfo(mib))), [7168, 3072, 3072]);
  assertEquals(chosenMemoryMib(""), 3072);
});

Deno.test("test files are chosen by a part of their name; one that fits none is said", () => {
  const files = [...CORE_SET, "tests/integration/x_test.ts", "tests/integration/y_test.ts"];
  assertEquals(chooseFrom(files, "all"), files);
  assertEquals(chooseFrom(files, "core"), CORE_SET);
  assertEquals(chooseFrom(files, ["y_", "x_"]), files.slice(-2));
  const message = 'no test file in tests/integration has "z_" in its name';
  assertEquals(chooseFrom(files, ["x_", "z_"]), message);
});

Deno.test("the core set boots one stock kernel, and no guest of gigabytes", () => {
  const script = workScript({ kind: "tests", choice: "core" }, ["tests/a_test.ts"]);
  const pattern = /'--filter' '\/(.*)\/' 'tests\/a_test.ts'$/.exec(script)?.[1] ?? "";
  const names = ["reboot ends", "2 vCPUs work", "64 MiB of memory"].flatMap((name) =>
    ["bookworm", "ours", "sid"].map((kernel) => `${name} on ${kernel}`)
  ).concat("entered by PVH");
  const filter = new RegExp(pattern);
  assertEquals(names.filter((name) => filter.test(name)), [
    "reboot ends on bookworm",
    "2 vCPUs work on bookworm",
    "entered by PVH",
  ]);
  const all = workScript({ kind: "tests", choice: "all" }, ["tests/a_test.ts"]);
  assertEquals(all, "exec 'deno' 'test' '--no-check' '-A' 'tests/a_test.ts'");
});

Deno.test("a word for the shell in the lab is quoted", () => {
  assertEquals(quoted("it's $HOME"), `'it'\\''s $HOME'`);
});
