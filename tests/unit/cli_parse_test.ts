import { assertEquals, assertMatch, assertStringIncludes } from "../../src/std/assert.ts";
import { problemsText } from "../../src/cli/errors.ts";
import { type CommandName, COMMANDS, FLAGS, flagsOf } from "../../src/cli/flags.ts";
import { asksFor, parseWords } from "../../src/cli/parse.ts";
import { readRunSettings, type RunSettings } from "../../src/cli/run_settings.ts";

const PLAIN = { json: false, verbose: false };

function settingsOf(...words: string[]): RunSettings {
  const { settings, problems } = readRunSettings(parseWords("run", words));
  assertEquals(problems, []);
  return settings;
}

/** What the user is shown for `words`. */
function errorsOf(...words: string[]): string {
  return problemsText(readRunSettings(parseWords("run", words)).problems, PLAIN);
}

const DEFAULTS: RunSettings = {
  memoryMib: 128,
  vcpus: 1,
  disks: [],
  nets: [],
  console: { mode: "auto" },
  discovery: "auto",
  quiet: false,
  verbose: false,
  json: false,
  dryRun: false,
};

Deno.test("run without flags has the contract's defaults", () => {
  assertEquals(settingsOf(), DEFAULTS);
});

const COMMAND = { words: ["x"], interactive: false, env: [], envFiles: [] };

const READ: readonly (readonly [words: readonly string[], settings: Partial<RunSettings>])[] = [
  [["-k", "vmlinux"], { kernel: "vmlinux" }],
  [["-kvmlinux"], { kernel: "vmlinux" }],
  [["-k=vmlinux"], { kernel: "vmlinux" }],
  [["--kernel", "vmlinux"], { kernel: "vmlinux" }],
  [["--kernel=a=b"], { kernel: "a=b" }],
  [["--kernel", "6"], { kernel: "6" }],
  [["--initrd", "i.cpio"], { initrd: "i.cpio" }],
  [["--cmdline", "a=1 b c.d=2"], { cmdline: "a=1 b c.d=2" }],
  [["--cmdline=-x"], { cmdline: "-x" }],
  [["--cmdline-only", "a b"], { cmdlineOnly: "a b" }],
  [["-m", "1G"], { memoryMib: 1024 }],
  [["-m256"], { memoryMib: 256 }],
  [["-m64M"], { memoryMib: 64 }],
  [["--mem", "512MiB"], { memoryMib: 512 }],
  [["-c", "4"], { vcpus: 4 }],
  [["-c2"], { vcpus: 2 }],
  [["--cpus=3"], { vcpus: 3 }],
  [["--disk", "a,ro,id=x", "--disk=b,direct,queues=4", "--disk=c,overlay"], {
    disks: [
      { kind: "block", path: "a", readOnly: true, direct: false, id: "x" },
      { kind: "block", path: "b", readOnly: false, direct: true, queues: 4 },
      { kind: "block", path: "c", readOnly: false, direct: false, overlay: true },
    ],
  }],
  [["--net", "none", "--net", "none"], {}],
  [["--net", "user", "-p", "8080:80", "-p0.0.0.0:1:2", "--publish=[::1]:3:4"], {
    nets: [{
      kind: "net",
      backend: {
        type: "user",
        forwards: [
          { hostPort: 8080, guestPort: 80 },
          { address: "0.0.0.0", hostPort: 1, guestPort: 2 },
          { address: "::1", hostPort: 3, guestPort: 4 },
        ],
      },
    }],
  }],
  [["--net", "socket=/a", "--net", "listen=b"], {
    nets: [
      { kind: "net", backend: { type: "socket", path: "/a" } },
      { kind: "net", backend: { type: "socket", path: "b", listen: true } },
    ],
  }],
  [["--net", "tap=tap0", "--net=tap=t1,mac=02:00:00:00:00:01,mtu=9000,queues=2,tx-bytes=1M"], {
    nets: [
      { kind: "net", backend: { type: "tap", name: "tap0" } },
      {
        kind: "net",
        backend: { type: "tap", name: "t1", queues: 2 },
        mac: "02:00:00:00:00:01",
        mtu: 9000,
        sendRate: { bytesPerSecond: 1048576 },
      },
    ],
  }],
  [["--vsock", "cid=3"], { vsock: { kind: "vsock", cid: 3 } }],
  [["--vsock=cid=77,uds=/a,b"], { vsock: { kind: "vsock", cid: 77, uds: "/a,b" } }],
  [["--rng", "none"], {}],
  [["--rng", "on"], { rng: { kind: "rng" } }],
  [["--rng", "on,rate=500"], { rng: { kind: "rng", bytesPerSecond: 500 } }],
  [["--rng=on,rate=64KiB"], { rng: { kind: "rng", bytesPerSecond: 65536 } }],
  [["--console", "serial"], { console: { mode: "serial" } }],
  [["--console", "virtio"], { console: { mode: "virtio" } }],
  [["--console", "off"], { console: { mode: "off" } }],
  [["--console", "file=a=b.log"], { console: { mode: "file", path: "a=b.log" } }],
  [["--discovery", "fdt"], { discovery: "fdt" }],
  [["--discovery=acpi"], { discovery: "acpi" }],
  [["--discovery=cmdline"], { discovery: "cmdline" }],
  [["--discovery=auto"], { discovery: "auto" }],
  [["--timeout", "30s"], { timeoutMs: 30_000 }],
  [["--timeout=1500ms"], { timeoutMs: 1500 }],
  [["--report", "r.json"], { report: "r.json" }],
  [["-q"], { quiet: true }],
  [["--quiet"], { quiet: true }],
  [["-v"], { verbose: true }],
  [["--verbose", "--json", "--dry-run"], { verbose: true, json: true, dryRun: true }],
  [["-qm1G"], { quiet: true, memoryMib: 1024 }],
  [["-q", "-q", "--quiet"], { quiet: true }],
  [["--", "ls", "-l", "--mem", "--", "x"], {
    command: { ...COMMAND, words: ["ls", "-l", "--mem", "--", "x"] },
  }],
  [["-it"], {}],
  [["-it", "--", "x"], { command: { ...COMMAND, interactive: true, tty: true } }],
  [["--interactive", "--no-tty", "--", "x"], {
    command: { ...COMMAND, interactive: true, tty: false },
  }],
  [["-eA=1", "-e", "B", "--env=C=a=b", "--env-file", "f", "--env-file=g", "--", "x"], {
    command: { ...COMMAND, env: ["A=1", "B", "C=a=b"], envFiles: ["f", "g"] },
  }],
  [["-w/tmp", "-u", "bob:100", "--", "x"], {
    command: { ...COMMAND, workdir: "/tmp", user: "bob:100" },
  }],
];

for (const [words, expected] of READ) {
  Deno.test(`run reads ${words.join(" ")}`, () => {
    assertEquals(settingsOf(...words), { ...DEFAULTS, ...expected });
  });
}

const ERRORS: readonly (readonly [words: readonly string[], text: string])[] = [
  [
    ["--quite"],
    "error: unknown flag --quite [FLAG_UNKNOWN]\nhint: did you mean --quiet? all flags: dinovisor help run",
  ],
  [
    ["--memory=1G"],
    "error: unknown flag --memory [FLAG_UNKNOWN]\nhint: did you mean --mem? all flags: dinovisor help run",
  ],
  [
    ["--no-mem=1G"],
    "error: unknown flag --no-mem [FLAG_UNKNOWN]\nhint: did you mean --mem? all flags: dinovisor help run",
  ],
  [
    ["--bogus"], // three of five letters are not --cpus
    "error: unknown flag --bogus [FLAG_UNKNOWN]\nhint: all flags: dinovisor help run",
  ],
  [["-x"], "error: unknown flag -x [FLAG_UNKNOWN]\nhint: all flags: dinovisor help run"],
  [["-5"], "error: unknown flag -5 [FLAG_UNKNOWN]\nhint: all flags: dinovisor help run"],
  [
    ["--rebuild"],
    "error: unknown flag --rebuild [FLAG_UNKNOWN]\nhint: it belongs to dinovisor kernel build",
  ],
  [
    ["--mem"],
    'error: flag --mem needs a value [FLAG_VALUE_MISSING]\nhint: write --mem SIZE; a value that starts with "-" is written --mem=-…',
  ],
  [
    ["--mem", "1G", "--mem=2G"],
    "error: flag --mem is given 2 times [FLAG_REPEATED]\nhint: give --mem once",
  ],
  [
    ["--quiet=false"],
    "error: flag --quiet takes no value [FLAG_TAKES_NO_VALUE]\nhint: write --quiet alone, or leave it out",
  ],
  [
    ["vmlinux"],
    'error: unexpected argument "vmlinux" [ARGUMENT_UNEXPECTED]\nhint: a kernel is given with --kernel vmlinux, a command for the guest after --',
  ],
  [
    ["--cmdline", "a", "--cmdline-only", "b"],
    "error: flags --cmdline and --cmdline-only exclude each other [FLAG_CONFLICT]\nhint: put all words into --cmdline-only",
  ],
  [
    ["-qv"],
    "error: flags --quiet and --verbose exclude each other [FLAG_CONFLICT]\nhint: leave one of them out",
  ],
  [
    ["--tty", "--no-tty", "--", "x"],
    "error: flags --tty and --no-tty exclude each other [FLAG_CONFLICT]\nhint: leave both out: it is a terminal where ours are",
  ],
  [
    ["-w", "tmp", "--", "x"],
    'error: cannot use --workdir "tmp": it is no path from the guest\'s root [WORKDIR_INVALID]\nhint: write --workdir /tmp',
  ],
  [
    ["-u", "bob:", "--", "x"],
    'error: cannot use --user "bob:": it is not USER or USER:GROUP [USER_INVALID]\nhint: names and ids are possible: --user nobody, --user 1000:100',
  ],
  [
    ["-eA=1"],
    "error: flag --env is for a command, and there is none [FLAG_NEEDS_CMD]\nhint: write one behind the flags: -- CMD",
  ],
  [
    ["--no-tty=1", "--", "x"],
    "error: flag --no-tty takes no value [FLAG_TAKES_NO_VALUE]\nhint: write --no-tty alone, or leave it out",
  ],
  [
    ["--no-mem", "--", "x"],
    "error: unknown flag --no-mem [FLAG_UNKNOWN]\nhint: did you mean --mem? all flags: dinovisor help run",
  ],
  [
    ["--cpus", "0"],
    "error: cannot use --cpus 0: 1 to 32 are possible [CPUS_INVALID]\nhint: dinovisor doctor shows what this host's KVM allows",
  ],
  [
    ["--cpus", "two"],
    'error: cannot read --cpus "two": it is no whole number [CPUS_INVALID]\nhint: write --cpus 1',
  ],
  [
    ["--console", "tty"],
    'error: cannot read --console "tty": it is not one of serial, virtio, file=PATH, off [CONSOLE_INVALID]\nhint: write --console serial',
  ],
  [
    ["--console", "file="],
    'error: cannot read --console "file=": it is not one of serial, virtio, file=PATH, off [CONSOLE_INVALID]\nhint: write --console serial',
  ],
  [
    ["--discovery", "pci"],
    'error: cannot read --discovery "pci": it is not one of auto, fdt, acpi, cmdline [DISCOVERY_INVALID]\nhint: leave --discovery out: auto looks at the kernel',
  ],
  [
    ["--disk", "a,rw"],
    'error: cannot read disk "a,rw": "rw" is not one of ro, direct, overlay, id=ID, queues=N [DISK_INVALID]\nhint: a comma cannot be part of the path: rename the file, or use a link',
  ],
  [
    ["--disk", "a,queues=two"],
    'error: cannot read disk "a,queues=two": "queues=two" is not one of ro, direct, overlay, id=ID, queues=N [DISK_INVALID]\nhint: a comma cannot be part of the path: rename the file, or use a link',
  ],
  [
    ["--disk", ",ro"],
    'error: cannot read disk ",ro": it names no file [DISK_INVALID]\nhint: write --disk PATH[,ro]',
  ],
  [
    ["--net", "wifi"],
    'error: cannot connect --net "wifi": "wifi" is not one of tap=NAME, user, socket=PATH, listen=PATH, none [NET_INVALID]\nhint: write --net user, or leave --net out',
  ],
  [
    ["-p", "80"],
    'error: cannot publish "80": it is not [ADDR:]HOST:GUEST with two ports [PUBLISH_INVALID]\nhint: write -p 8080:80, or -p 0.0.0.0:8080:80 for everybody',
  ],
  [
    ["--net", "tap=t", "-p", "8080:80"],
    "error: cannot publish ports without --net user [PUBLISH_NEEDS_USER]\nhint: add --net user; on a tap the guest's ports are reached by its own address",
  ],
  [
    ["--vsock", "3"],
    'error: cannot read --vsock "3": it is not cid=N[,uds=PATH] [VSOCK_INVALID]\n' +
    "hint: write --vsock cid=3, or --vsock cid=3,uds=/tmp/vm.sock for other programs to connect to",
  ],
  [
    ["--timeout", "30"],
    'error: cannot read --timeout "30": it is no time [TIMEOUT_INVALID]\nhint: add a unit: --timeout 30s',
  ],
  [
    ["--"],
    "error: no command follows -- [CMD_MISSING]\nhint: write one, as in dinovisor run -- uname -a, or leave -- out to attach the console",
  ],
  [
    ["-k", "v", "--", "ls"],
    'error: cannot run "ls" in a guest with a kernel of your own [CMD_NEEDS_DEFAULT_GUEST]\nhint: commands are run by the agent of the default guest: leave --kernel out',
  ],
];

for (const [words, text] of ERRORS) {
  Deno.test(`run refuses ${words.join(" ")}`, () => assertEquals(errorsOf(...words), text));
}

Deno.test("a value is missing when nothing, an empty word or another flag follows", () => {
  const takers = flagsOf("run").filter((flag) => flag.value !== undefined);
  for (const { name, short } of takers) {
    const spellings = [`--${name}`, ...(short === undefined ? [] : [`-${short}`])];
    for (const spelling of spellings) {
      for (const words of [[spelling], [`${spelling}=`], [spelling, ""], [spelling, "--json"]]) {
        const { problems, operands } = parseWords("run", words);
        const label = words.join(" ");
        assertEquals(problems.map(({ code, field }) => `${code} ${field}`), [
          `FLAG_VALUE_MISSING --${name}`,
        ], label);
        assertEquals(operands, [], label);
      }
    }
  }
});

Deno.test("every flag of every command is parsed, and given twice only if it may be", () => {
  for (const { name: command } of COMMANDS) {
    for (const flag of flagsOf(command)) {
      const once = flag.value === undefined ? [`--${flag.name}`] : [`--${flag.name}`, "x"];
      const codes = (words: readonly string[]) =>
        parseWords(command, words).problems.map((problem) => problem.code)
          .filter((code) => code !== "ARGUMENT_MISSING");
      assertEquals(codes(once), [], `${command} --${flag.name}`);
      const mayRepeat = flag.value === undefined || flag.repeat !== undefined;
      assertEquals(codes([...once, ...once]), mayRepeat ? [] : ["FLAG_REPEATED"]);
      if (flag.short !== undefined) {
        const { values } = parseWords(command, [`-${flag.short}`, ...once.slice(1)]);
        assertEquals([...values.keys()], [flag.name]);
      }
    }
  }
});

Deno.test("flags of one command are unique", () => {
  for (const { name } of COMMANDS) {
    const names = flagsOf(name).flatMap((flag) => [flag.name, ...(flag.short ?? "")]);
    assertEquals(names.length, new Set(names).size, name);
  }
  assertEquals(FLAGS.every((flag) => flag.commands.length > 0), true);
});

Deno.test("all problems are listed at once, flags first", () => {
  const text = errorsOf(
    "--quite",
    "--mem",
    "banana",
    "--cpus=0",
    "--disk",
    "a,rw",
    "--net",
    "wifi",
  );
  assertEquals([...text.matchAll(/\[([A-Z_]+)\]/g)].map(([, code]) => code), [
    "FLAG_UNKNOWN",
    "MEM_INVALID",
    "CPUS_INVALID",
    "DISK_INVALID",
    "NET_INVALID",
  ]);
});

Deno.test("settings with problems keep the defaults, so that the rest can be checked too", () => {
  const { settings } = readRunSettings(parseWords("run", ["--mem=x", "--cpus=2", "--disk=a,rw"]));
  assertEquals(settings, { ...DEFAULTS, vcpus: 2 });
});

Deno.test("words after -- are the guest's", () => {
  assertEquals(asksFor(["run", "--", "ls", "--help"], "help"), false);
  assertEquals(asksFor(["-h", "--", "ls"], "help"), true);
  assertEquals(asksFor(["run", "--json"], "json"), true);
  assertEquals(asksFor(["run", "-v"], "verbose"), true);
});

const OPERANDS: readonly (readonly [CommandName, readonly string[], readonly string[]])[] = [
  ["kernel check", [], ["ARGUMENT_MISSING"]],
  ["kernel check", ["a"], []],
  ["kernel check", ["a", "b"], ["ARGUMENT_UNEXPECTED"]],
  ["kernel initrd", [], ["ARGUMENT_MISSING"]],
  ["kernel initrd", ["a", "-o", "b", "--module", "x", "--module", "y", "--append=c"], []],
  ["kernel initrd", ["a", "-ob", "-o", "c"], ["FLAG_REPEATED"]],
  ["completion", [], ["ARGUMENT_MISSING"]],
  ["doctor", ["x"], ["ARGUMENT_UNEXPECTED"]],
  ["doctor", ["--", "x"], ["ARGUMENT_UNEXPECTED"]],
  ["doctor", ["--mem", "1G"], ["FLAG_UNKNOWN"]],
  ["help", ["kernel", "build"], []],
  ["version", ["--json"], []],
];

Deno.test("commands take the arguments they say they take", () => {
  for (const [command, words, codes] of OPERANDS) {
    const { problems } = parseWords(command, words);
    assertEquals(problems.map((problem) => problem.code), codes, `${command} ${words.join(" ")}`);
    for (const { hint } of problems) assertMatch(hint ?? "", /./);
  }
});

Deno.test("words that look like properties of objects are unknown flags", () => {
  for (const word of ["--__proto__=1", "--constructor=1", "--mem.x=1", "--_=1", "--toString"]) {
    const { problems } = parseWords("run", [word]);
    assertStringIncludes(problems.map((problem) => problem.code).join(), "FLAG_UNKNOWN", word);
  }
});
