/** Lines for a shell, given to a real one. */
import { shellScript } from "../../src/sandbox/shell_command.ts";
import { assertEquals } from "../../src/std/assert.ts";

function script(strings: TemplateStringsArray, ...values: unknown[]): string {
  return shellScript(strings.raw, values);
}

/** The words a shell makes of `line`. */
async function shellWords(line: string): Promise<string[]> {
  const { stdout } = await new Deno.Command("sh", {
    args: ["-c", `for word in ${line}; do printf '%s\\0' "$word"; done`],
  }).output();
  return new TextDecoder().decode(stdout).split("\0").slice(0, -1);
}

const ODD = [
  "",
  " ",
  "a b",
  "it's",
  '"',
  "$HOME",
  "`id`",
  "*",
  "a\nb",
  "\\",
  "-n",
  "ä",
  "'\\''",
  "~",
];

Deno.test("each value is one word to a shell, an array several", async () => {
  for (const value of ODD) assertEquals(await shellWords(script`${value}`), [value]);
  assertEquals(await shellWords(script`${ODD}`), ODD);
  assertEquals(await shellWords(script`${1} ${2n} ${true} ${[]} x`), ["1", "2", "true", "x"]);
});
