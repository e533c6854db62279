/** Programs of Debian packages that a test judges our output by: installed first where we may. */

/** Why `program` (which answers to `probe`) cannot be used here; undefined when it can. Prints the reason. */
export async function missingProgram(
  program: string,
  probe: string,
  packageName: string,
): Promise<string | undefined> {
  const answers = () => succeeds(program, probe);
  if (await answers()) return undefined;
  const install = `apt-get install -y --no-install-recommends ${packageName}`;
  const reason = Deno.uid() === 0
    ? await installed(program, install, answers)
    : `${program} is missing: sudo ${install}`;
  if (reason !== undefined) console.log(`ignored: ${reason}`);
  return reason;
}

async function installed(
  program: string,
  install: string,
  answers: () => Promise<boolean>,
): Promise<string | undefined> {
  console.error(`${program} is missing, running: ${install}`);
  for (const words of ["apt-get update", install]) await succeeds(...words.split(" "));
  return await answers()
    ? undefined
    : `${program} is missing and could not be installed: ${install}`;
}

async function succeeds(program = "", ...args: string[]): Promise<boolean> {
  try {
    const options = { args, stdin: "null", stdout: "null", stderr: "null" } as const;
    return (await new Deno.Command(program, options).output()).success;
  } catch {
    return false;
  }
}
