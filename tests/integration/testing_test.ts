/** `dinovisor test` and `bootForTest`, as somebody with a kernel of their own has them: in a folder that knows nothing of us. */
import { install } from "../../scripts/install.ts";
import { bootForTest, GuestFailure, type TestVm, VmError } from "../../src/testing.ts";
import { assert, assertEquals, assertRejects } from "../../src/std/assert.ts";
import { assertNothingLeft, settledState } from "../support/host_state.ts";
import { kvmTest, within } from "../support/kvm.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const EXAMPLE = `${ROOT}tests/examples/tiny_kernel`;
const decoder = new TextDecoder();

interface Said {
  readonly code: number;
  /** stdout, then stderr. */
  readonly text: string;
}

async function run(
  program: string,
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Said> {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args: [...args],
    cwd,
    stdin: "null",
    env: { NO_COLOR: "1", ...env },
  }).output();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

/** By the command that the first comment of kernel.c gives. */
async function buildKernel(folder: string): Promise<string> {
  const source = Deno.readTextFileSync(`${EXAMPLE}/kernel.c`);
  const [, command = ""] = /^ \* {5}(gcc [^*]*(?:\* {7}[^*]*)*?kernel\.elf)$/m.exec(source) ?? [];
  Deno.copyFileSync(`${EXAMPLE}/kernel.c`, `${folder}/kernel.c`);
  const script = `${command.replaceAll(/\\\n \* +/g, " ")} -Wall -Wextra -Werror`;
  const { code, text } = await run("sh", ["-c", script], folder);
  assertEquals(code, 0, `${script}\n${text}`);
  return `${folder}/kernel.elf`;
}

/** A folder with the kernel, which goes again. */
async function withKernel(work: (folder: string, kernel: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "dinovisor testing " }); // with blanks in its path
  try {
    await work(folder, await buildKernel(folder));
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

const WRONG = `import { assertConsole, bootForTest } from "@dinovisor/dinovisor/testing";
import { word } from "mine/word.ts";
for (const command of ["crash", "fail", "off"]) {
  Deno.test(command, async (t) => {
    await using vm = await bootForTest();
    await vm.console.waitFor("> ");
    await vm.console.type(\`\${word}\\n\${command}\\n\`);
    await vm.assertExit();
    await assertConsole(t, vm);
  });
}
`;

kvmTest("dinovisor test runs the example, and tells what is wrong with another", async () => {
  await withKernel(async (folder, kernel) => {
    const cli = (args: readonly string[]): Promise<Said> =>
      run(Deno.execPath(), ["run", "-A", `${ROOT}main.ts`, "test", ...args], folder);
    const right = await cli([EXAMPLE, "-k", "kernel.elf", "-m", "16M"]);
    assertEquals(right.code, 0, right.text);
    assert(/^ok \| 2 passed/m.test(right.text), right.text);

    Deno.writeTextFileSync(`${folder}/wrong_test.ts`, WRONG);
    Deno.mkdirSync(`${folder}/words`);
    Deno.writeTextFileSync(`${folder}/words/word.ts`, 'export const word: string = "once";\n');
    Deno.writeTextFileSync(
      `${folder}/deno.jsonc`,
      '{ "imports": { "mine/": "./words/", }, /* ours */ "fmt": {} }',
    );
    const wrong = await cli(["wrong_test.ts", "-k", kernel]);
    assertEquals(wrong.code, 1, wrong.text);
    assert(/^FAILED \| 0 passed \| 3 failed/m.test(wrong.text), wrong.text);
    for (
      const part of [
        "GuestFailure: Guest crashed instead of ending with status 0: the guest faulted",
        "GuestFailure: Guest ended with status 3, not 0",
        "its console, all:\n  | tiny kernel\n  | > you said: once\n  | >",
        "GuestFailure: Cannot compare the console: there is no snapshot yet",
        "hint: if this is right: dinovisor test --update",
      ]
    ) assert(wrong.text.includes(part), `${part} is not in:\n${wrong.text}`);

    const updated = await cli(["wrong_test.ts", "-k", kernel, "--update", "--filter", "off"]);
    assertEquals(updated.code, 0, updated.text);
    Deno.writeTextFileSync(`${folder}/words/word.ts`, 'export const word: string = "twice";\n');
    const differs = await cli(["wrong_test.ts", "-k", kernel, "--filter", "off"]);
    assertEquals(differs.code, 1, differs.text);
    assert(differs.text.includes("+   > you said: twice\n-   > you said: once"), differs.text);

    const unnamed = await cli(["wrong_test.ts", "--filter", "off"]);
    assertEquals(unnamed.code, 1, unnamed.text);
    assert(unnamed.text.includes("hint: dinovisor test FILE -k KERNEL for all"), unnamed.text);

    const mistaken = await cli(["wron_test.ts", "-k", "kernel.elv", "-c", "x", "--", "--quiet"]);
    assertEquals(mistaken.code, 125);
    const lines = mistaken.text.split("\n").filter((line) => !line.startsWith("hint: dinov"));
    assertEquals(lines.slice(0, 7), [
      'error: cannot read --cpus "x": it is no whole number [CPUS_INVALID]',
      "hint: write --cpus 1",
      'error: cannot find kernel "kernel.elv" [KERNEL_NOT_FOUND]',
      "hint: build it first, or name another ELF vmlinux or bzImage",
      'error: cannot find test file "wron_test.ts" [TEST_FILE_NOT_FOUND]',
      "hint: did you mean wrong_test.ts?",
      "",
    ]);
    Deno.writeTextFileSync(`${folder}/deno.jsonc`, "{ nonsense");
    const unread = await cli(["wrong_test.ts", "-k", kernel]);
    assertEquals(unread.code, 125, unread.text);
    assert(unread.text.includes("[IMPORTS_UNREADABLE]\nhint: mend it, or"), unread.text);
  });
}, { limitMs: 300_000 });

kvmTest("an installed dinovisor tests kernels in a folder of their own", async () => {
  await withKernel(async (folder, kernel) => {
    const program = await install(`${folder}/prefix`);
    Deno.mkdirSync(`${folder}/tests/__snapshots__`, { recursive: true });
    for (const name of ["tiny_kernel_test.ts", "__snapshots__/tiny_kernel_test.ts.snap"]) {
      Deno.copyFileSync(`${EXAMPLE}/${name}`, `${folder}/tests/${name}`);
    }
    const cache = `${folder}/cache`;
    const args = ["test", "tests", "-k", kernel];
    const { code, text } = await run(program, args, folder, { DENO_DIR: cache });
    assertEquals(code, 0, text);
    assert(/^ok \| 2 passed/m.test(text), text);
    // What Deno keeps of the user's programs is kept where the user has it.
    assert(Deno.statSync(cache).isDirectory);
  });
}, { limitMs: 300_000 });

kvmTest("the example in the documentation of bootForTest runs", async () => {
  await withKernel(async (_folder, kernel) => {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "-A", "--doc", "src/testing/boot_for_test.ts"],
      cwd: ROOT,
      stdin: "null",
      env: { NO_COLOR: "1", DINOVISOR_TEST_KERNEL: kernel },
    }).output();
    const text = decoder.decode(stdout);
    assertEquals(code, 0, text + decoder.decode(stderr));
    assert(/^ok \| 1 passed/m.test(text), text);
  });
}, { limitMs: 300_000 });

async function failureOf(work: Promise<unknown>): Promise<readonly [code: string, line: string]> {
  const { code, message } = await assertRejects(() => work, GuestFailure);
  return [code, message.split("\n")[0] ?? ""];
}

kvmTest(
  "guests that hang, crash, fail or are killed are told apart, and nothing is left",
  async () => {
    await withKernel(async (_folder, kernel) => {
      const boot = async (signal?: AbortSignal): Promise<TestVm> => {
        const vm = await bootForTest({ kernel, ...(signal === undefined ? {} : { signal }) });
        await vm.console.waitFor("> ");
        return vm;
      };
      await (await boot())[Symbol.asyncDispose](); // what is made once in a process
      const before = await settledState();

      const abort = new AbortController();
      const hanging = await boot(abort.signal);
      await hanging.console.type("hang\n");
      const waiting = failureOf(hanging.console.waitFor("never"));
      abort.abort(new Error("the bell has rung"));
      assertEquals(await waiting, [
        "CONSOLE_TIMEOUT",
        'Guest did not print "never" in time: the bell has rung',
      ]);
      assertEquals(await failureOf(hanging.assertExit(137)), [
        "GUEST_TIMEOUT",
        "Guest had not ended in time: the bell has rung",
      ]);
      assertEquals((await hanging.status).reason, "killed");
      await hanging[Symbol.asyncDispose]();

      {
        await using vm = await boot();
        await vm.console.type("crash\n");
        const [code, line] = await failureOf(vm.assertExit(255));
        assertEquals([code, line.startsWith("Guest crashed instead")], ["GUEST_DIED", true], line);
        assertEquals(await failureOf(vm.console.waitFor("> ")), [
          "CONSOLE_ENDED",
          'Guest ended before its console showed "> "',
        ]);
        assertEquals((await failureOf(vm.console.type("more\n")))[0], "GUEST_ENDED");
      }
      {
        await using vm = await boot();
        await vm.console.type("fail\n");
        const { success, code, reason } = await vm.assertExit(3);
        assertEquals([success, code, reason], [false, 3, "exit-device"]);
        assertEquals((await failureOf(vm.assertExit()))[0], "EXIT_DIFFERS");
      }
      {
        await using vm = await boot();
        vm.vm.kill();
        assertEquals((await failureOf(vm.assertExit()))[0], "GUEST_KILLED");
      }
      const missing = await assertRejects(() => bootForTest({ kernel: "/no/kernel" }), VmError);
      assertEquals(missing.code, "KERNEL_NOT_FOUND");
      assert(missing.message.includes("\nhint: "), missing.message);
      assertNothingLeft(before, await settledState());
    });
  },
);

kvmTest("dinovisor test ends its tests when it is told to end", async () => {
  await withKernel(async (folder, kernel) => {
    const file = `${folder}/endless_test.ts`;
    Deno.writeTextFileSync(
      file,
      `Deno.test("endless", async () => {
  console.log("begun as", Deno.pid);
  await new Promise((resolve) => setTimeout(resolve, 600_000));
});
`,
    );
    const cli = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", `${ROOT}main.ts`, "test", file, "-k", kernel],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
      env: { NO_COLOR: "1" },
    }).spawn();
    let said = "";
    for await (const chunk of cli.stdout.pipeThrough(new TextDecoderStream())) {
      said += chunk;
      if (/begun as \d+/.test(said)) cli.kill("SIGTERM");
    }
    const status = await within(30_000, "dinovisor test", cli.status);
    assertEquals([status.code, status.signal], [143, null], said);
  });
});
