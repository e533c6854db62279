/** The files that `work files` (tests/linux/files.c) writes, and what a host finds of them on an unmounted disk. */
import { assertEquals } from "../../src/std/assert.ts";
import { firstDifference } from "./disk_image.ts";

const MAX_WORDS = 4096;

/** What the file with this number holds. */
export function numberedContent(number: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array((Math.imul(number, 2654435761) >>> 0) % MAX_WORDS + 1);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(number * MAX_WORDS + i, 2246822519);
  return new Uint8Array(words.buffer);
}

/** The last number in what `work files` has printed, line by line; -1: none. */
export function lastWritten(output: string): number {
  const numbers = [...output.matchAll(/^written (\d+)\r?\n/gm)].map(([, number]) => Number(number));
  return numbers.at(-1) ?? -1;
}

/** Fails unless files 0 to `last` are there, whole. The next one may be there in part. */
export function assertFiles(directory: string, last: number): void {
  for (let number = 0; number <= last; number++) {
    const found = Deno.readFileSync(`${directory}/f${number}`);
    const at = firstDifference(found, numberedContent(number));
    assertEquals(at, -1, `file ${number} of ${directory} differs at`);
  }
}

/** Copies all files out of an ext4 image, without mounting it. */
export async function extractFiles(image: string, into: string): Promise<void> {
  Deno.mkdirSync(into);
  await output("debugfs", ["-R", `rdump / ${into}`, image]);
}

/** Fails with e2fsck's words unless the file system is clean. Writes nothing. */
export async function assertCleanFileSystem(image: string): Promise<void> {
  await output("e2fsck", ["-f", "-n", image]);
}

async function output(program: string, args: readonly string[]): Promise<void> {
  const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" };
  const result = await new Deno.Command(program, { args: [...args], env }).output();
  const said = new TextDecoder().decode(result.stdout) + new TextDecoder().decode(result.stderr);
  assertEquals(result.code, 0, `${program} ${args.join(" ")}:\n${said}`);
}
