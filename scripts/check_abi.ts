/**
 * Compares our numbers and layouts (src/abi, devices/<kind>/abi.ts) with what a C compiler says about the
 * system's headers. Run by `scripts/test.ts` and by hand: `deno run -A scripts/check_abi.ts`.
 * Nothing is left out silently: what has no C name stands in NO_C_NAME (abi_names.ts) with its reason, and is
 * printed.
 */
import { C_EXPRESSIONS, HEADERS, NO_C_NAME, OFFSET_TABLES, RENAMED, STRUCTS } from "./abi_names.ts";

/** Debian's packages for the compiler, the C library's headers and the kernel's. */
const PACKAGES = ["gcc", "libc6-dev", "linux-libc-dev"];

/** What `src/abi/struct.ts` makes. */
interface StructLike {
  readonly cName: string;
  readonly size: number;
  readonly at: Readonly<Record<string, number>>;
}

/** One number of ours and the C expression that must have the same value. */
export interface Claim {
  readonly name: string;
  readonly ours: bigint;
  readonly c: string;
}

export interface Claims {
  readonly claims: readonly Claim[];
  readonly structs: number;
  /** Our names that cannot be compared; those without a reason in NO_C_NAME are problems instead. */
  readonly incomparable: readonly { readonly name: string; readonly reason: string }[];
  readonly problems: readonly string[];
}

function isStruct(value: unknown): value is StructLike {
  return typeof value === "object" && value !== null && "cName" in value && "at" in value;
}

function isNumberTable(value: unknown): value is Readonly<Record<string, number>> {
  return typeof value === "object" && value !== null &&
    Object.values(value).every((entry) => typeof entry === "number");
}

function structClaims(name: string, ours: StructLike): Claim[] {
  const mapping = STRUCTS[name];
  const cName = mapping?.cName ?? ours.cName;
  const claims: Claim[] = [{
    name: `sizeof ${name}`,
    ours: BigInt(ours.size),
    c: mapping?.size ?? `sizeof(${cName})`,
  }];
  for (const [field, offset] of Object.entries(ours.at)) {
    const member = mapping?.members?.[field] ?? field;
    claims.push({
      name: `${name}.${field}`,
      ours: BigInt(offset),
      c: `offsetof(${cName}, ${member})`,
    });
  }
  return claims;
}

/** A bigint of ours that is a power of two is a feature mask; C names its bit. */
function numberClaim(name: string, value: number | bigint): Claim {
  const c = C_EXPRESSIONS[name] ?? name;
  if (typeof value === "bigint") return { name, ours: value, c: `1ULL << (${c})` };
  return { name, ours: BigInt.asUintN(64, BigInt(value)), c };
}

/** Turns what a module exports into claims; functions are not numbers and are passed over. */
export function claimsOf(exports: Readonly<Record<string, unknown>>): Claims {
  const claims: Claim[] = [];
  const incomparable: { name: string; reason: string }[] = [];
  const problems: string[] = [];
  let structs = 0;
  for (const [name, value] of Object.entries(exports)) {
    const reason = NO_C_NAME[name];
    const table = OFFSET_TABLES[name];
    if (typeof value === "function") continue;
    if (reason !== undefined) incomparable.push({ name, reason });
    else if (isStruct(value)) {
      structs++;
      if (value.cName === "" && STRUCTS[name] === undefined) {
        problems.push(`${name}: the struct has no C name; give it one, or an entry in STRUCTS`);
      } else claims.push(...structClaims(name, value));
    } else if (typeof value === "number" || typeof value === "bigint") {
      if (typeof value === "number" && !Number.isInteger(value)) {
        problems.push(`${name}: ${value} is not a whole number, so C cannot define it`);
      } else claims.push(numberClaim(name, value));
    } else if (table !== undefined && isNumberTable(value)) {
      for (const [key, offset] of Object.entries(value)) {
        claims.push({
          name: `${name}.${key}`,
          ours: BigInt(offset),
          c: `offsetof(${table.cName}, ${table.member(key)})`,
        });
      }
    } else {
      problems.push(
        `${name}: cannot tell what to compare it with; list it in OFFSET_TABLES or NO_C_NAME`,
      );
    }
  }
  return { claims, structs, incomparable, problems };
}

/** The C program: prints the value of each claim's expression, one a line, in order. */
export function probeSource(claims: readonly Claim[]): string {
  const includes = HEADERS.map((header) => `#include <${header}>`);
  const renames = RENAMED.map(({ since: [major, minor], member, old }) =>
    `#if LINUX_VERSION_CODE < KERNEL_VERSION(${major}, ${minor}, 0)\n#define ${member} ${old}\n#endif`
  );
  // #line numbers the claims for the compiler's messages: line n is claims[n - 1].
  const prints = claims.map(({ c }, index) =>
    `#line ${index + 1} "claim"\n  printf("%llu\\n", (unsigned long long)(${c}));`
  );
  const preamble = ["#define _GNU_SOURCE", ...includes, ...renames].join("\n");
  return `${preamble}\nint main(void) {\n${prints.join("\n")}\n  return 0;\n}\n`;
}

/** Compares the program's output with the claims: one line for each mismatch. */
export function mismatches(claims: readonly Claim[], output: string): string[] {
  const values = output.trim().split("\n");
  if (values.length !== claims.length) {
    return [`the probe printed ${values.length} values for ${claims.length} numbers`];
  }
  const problems: string[] = [];
  for (const [index, { name, ours, c }] of claims.entries()) {
    const theirs = BigInt(values[index] ?? "");
    if (theirs === ours) continue;
    const asHex = ours > 0xffffn ? ` (0x${ours.toString(16)}, 0x${theirs.toString(16)})` : "";
    const where = c === name ? "" : ` [${c}]`;
    problems.push(`${name}: ours ${ours}, C says ${theirs}${asHex}${where}`);
  }
  return problems;
}

/** Reads the compiler's complaints: one line for each claim that does not compile, and the rest as they are. */
export function compileProblems(claims: readonly Claim[], stderr: string): string[] {
  const problems = new Map<string, string>();
  for (const line of stderr.split("\n")) {
    const claim = /^claim:(\d+):\d+: error: (.*)$/.exec(line);
    const index = Number(claim?.[1] ?? 0);
    const { name, c } = claims[index - 1] ?? {};
    if (claim !== null && name !== undefined) {
      if (problems.has(name)) continue;
      problems.set(
        name,
        `${name}: C does not know \`${c}\` (${
          claim[2]
        }); correct it, or list it in C_EXPRESSIONS or NO_C_NAME`,
      );
    } else if (/(?:fatal )?error:/.test(line)) problems.set(line, line);
  }
  return [...problems.values()];
}

/** Wrong on purpose: a check that does not catch these is broken. */
export const WRONG_CLAIMS: readonly Claim[] = [
  ...structClaims("struct iovec", {
    cName: "struct iovec",
    size: 12,
    at: { iov_base: 4, iov_len: 0 },
  }),
  { name: "EPOLLIN", ours: 2n, c: "EPOLLIN" },
  { name: "VIRTIO_F_VERSION_1", ours: 1n << 31n, c: "1ULL << VIRTIO_F_VERSION_1" },
];

/** Files of src/abi that no header knows: how layouts are made, and registers of our own. */
const NOT_ABI: ReadonlySet<string> = new Set(["struct.ts", "platform.ts"]);

async function abiFiles(root: URL): Promise<URL[]> {
  const files: URL[] = [];
  for await (const entry of Deno.readDir(new URL("src/abi/", root))) {
    if (!entry.name.endsWith(".ts") || NOT_ABI.has(entry.name)) continue;
    // The x86 header is only there for an x86 compiler.
    if (entry.name === "kvm_x86.ts" && Deno.build.arch !== "x86_64") {
      console.log(`src/abi/${entry.name}: not compared, this compiler is for ${Deno.build.arch}`);
    } else files.push(new URL(`src/abi/${entry.name}`, root));
  }
  for await (const entry of Deno.readDir(new URL("devices/", root))) {
    const file = new URL(`devices/${entry.name}/abi.ts`, root);
    if (entry.isDirectory && await exists(file)) files.push(file);
  }
  return files.sort((a, b) => a.href < b.href ? -1 : 1);
}

async function exists(file: URL): Promise<boolean> {
  try {
    return (await Deno.stat(file)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

interface Ran {
  readonly ok: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end; undefined when it is not installed. */
async function run(command: string, args: string[]): Promise<Ran | undefined> {
  try {
    const output = await new Deno.Command(command, {
      args,
      env: { LC_ALL: "C", DEBIAN_FRONTEND: "noninteractive" },
      stdin: "null",
    }).output();
    const decoder = new TextDecoder();
    return {
      ok: output.success,
      stdout: decoder.decode(output.stdout),
      stderr: decoder.decode(output.stderr),
    };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function compile(source: string, directory: string): Promise<Ran | undefined> {
  const file = `${directory}/probe.c`;
  await Deno.writeTextFile(file, source);
  return await run("gcc", ["-w", "-O0", "-o", `${directory}/probe`, file]);
}

function toolsMissing(compiled: Ran | undefined): boolean {
  return compiled === undefined ||
    /fatal error: .*No such file|cannot find (?:crt1\.o|-lc)/.test(compiled.stderr);
}

/** Compiles, after installing the compiler if that is what is missing and we may. */
async function compileOrInstall(source: string, directory: string): Promise<Ran> {
  const first = await compile(source, directory);
  if (first !== undefined && !toolsMissing(first)) return first;
  const command = `apt-get install -y --no-install-recommends ${PACKAGES.join(" ")}`;
  if (Deno.uid() !== 0) {
    throw new Error(`The C compiler or its headers are missing; install them: sudo ${command}`);
  }
  console.error(`check_abi: the C compiler or its headers are missing, running: ${command}`);
  await run("apt-get", ["update"]);
  const [program = "", ...args] = command.split(" ");
  const installed = await run(program, args);
  const second = await compile(source, directory);
  if (second !== undefined && !toolsMissing(second)) return second;
  throw new Error(
    `The C compiler or its headers are missing and could not be installed; run: ${command}\n${
      installed?.stderr ?? "apt-get is not there either"
    }`,
  );
}

/** The value of each claim in C, or the problems that kept the probe from compiling. */
async function askCompiler(claims: readonly Claim[]): Promise<{ output: string } | string[]> {
  const directory = await Deno.makeTempDir({ prefix: "dinovisor_abi_" });
  try {
    const compiled = await compileOrInstall(probeSource(claims), directory);
    if (!compiled.ok) {
      const problems = compileProblems(claims, compiled.stderr);
      return problems.length > 0 ? problems : [compiled.stderr];
    }
    const probe = await run(`${directory}/probe`, []);
    if (probe?.ok !== true) return [`the compiled probe failed: ${probe?.stderr ?? "not found"}`];
    return { output: probe.stdout };
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

async function main(): Promise<number> {
  const root = new URL("../", import.meta.url);
  const files = await abiFiles(root);
  const parts: Claims[] = [];
  for (const file of files) {
    const exports = await import(file.href) as Readonly<Record<string, unknown>>;
    parts.push(claimsOf(exports));
  }
  const claims = parts.flatMap((part) => part.claims);
  const incomparable = parts.flatMap((part) => part.incomparable);
  const problems = parts.flatMap((part) => part.problems);

  const answer = await askCompiler([...claims, ...WRONG_CLAIMS]);
  if ("output" in answer) {
    const lines = answer.output.trim().split("\n");
    problems.push(...mismatches(claims, lines.slice(0, claims.length).join("\n")));
    const caught = mismatches(WRONG_CLAIMS, lines.slice(claims.length).join("\n"));
    if (caught.length !== WRONG_CLAIMS.length) {
      problems.push("check_abi itself: it did not notice the numbers that are wrong on purpose");
    }
  } else problems.push(...answer);

  for (const { name, reason } of incomparable) console.log(`${name}: not compared: ${reason}`);
  for (const problem of problems) console.log(problem);
  const structs = parts.reduce((sum, part) => sum + part.structs, 0);
  console.log(
    `check_abi: ${claims.length} numbers, ${structs} structs among them, from ${files.length} files: ` +
      (problems.length === 0 ? "all as the C headers say" : `${problems.length} problems`) +
      `; ${incomparable.length} without a C name`,
  );
  return problems.length === 0 ? 0 : 1;
}

if (import.meta.main) {
  try {
    Deno.exit(await main());
  } catch (error) {
    console.error(`error: ${error instanceof Error ? error.message : String(error)}`);
    Deno.exit(1);
  }
}
