/**
 * The kernel of Debian's libkrunfw5 as a test guest: it finds virtio-mmio devices by command line only, its processors
 * by MP table only, and has no serial port. The package hides it in a shared library, from which it is taken here
 * without running any of it, and wrapped into an ELF file that says where it belongs.
 */
import { ArtifactCache, cacheDirectory, contentKey } from "../../src/guest/cache.ts";
import { BuildLog } from "../../src/guest/build_log.ts";
import { DebianArchive } from "../../src/guest/debian_archive.ts";
import { type BuildOptions, ensureArtifact, type GuestFile } from "../../src/guest/ensure.ts";

const PACKAGE = "libkrunfw5";
const LIBRARY_FOLDER = "usr/lib/x86_64-linux-gnu";
/** Raise it when the way of wrapping changes. */
const RECIPE_VERSION = "1";

/** What libkrunfw.h declares: `char *krunfw_get_kernel(size_t *load_addr, size_t *entry_addr, size_t *size)`. */
const GETTER = "krunfw_get_kernel";
const BUNDLE = "KERNEL_BUNDLE";

/** A raw kernel: bytes as they stand in memory. */
export interface RawKernel {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Guest-physical addresses. */
  readonly load: number;
  readonly entry: number;
}

/** The path of the kernel, if it has been downloaded. */
export async function findKrunKernel(): Promise<string | undefined> {
  return (await cacheOf({}).find(await contentKey(RECIPE_VERSION, PACKAGE)))?.path;
}

function cacheOf(
  { cacheDirectory: home = cacheDirectory() }: Partial<BuildOptions>,
): ArtifactCache {
  return new ArtifactCache(`${home}/test-guest`, "krun-vmlinux");
}

/** The kernel as an ELF file, downloaded once on a machine. */
export async function ensureKrunKernel(options: BuildOptions): Promise<GuestFile> {
  const cache = cacheOf(options);
  const recipe = await contentKey(RECIPE_VERSION, PACKAGE);
  return await ensureArtifact({
    cache,
    recipe,
    make: async (found) => found ?? await download(cache, recipe, options),
  }, options);
}

async function download(
  cache: ArtifactCache,
  recipe: string,
  { progress, signal }: BuildOptions,
): ReturnType<ArtifactCache["publish"]> {
  await using scratch = await cache.scratch();
  using log = await BuildLog.open(cache.logPath);
  progress.stage("download", PACKAGE);
  const archive = await DebianArchive.open("sid", { directory: scratch.path, log, signal });
  const packages = await archive.look([PACKAGE]);
  const tree = `${scratch.path}/tree`;
  await archive.unpack(packages, tree);
  const kernel = readKrunKernel(await Deno.readFile(await libraryIn(`${tree}/${LIBRARY_FOLDER}`)));
  const file = `${scratch.path}/vmlinux`;
  await Deno.writeFile(file, wrapKernel(kernel));
  const version = packages.map((each) => each.version).join();
  const key = await contentKey(recipe, version);
  return await cache.publish({ recipe, key, file, facts: { package: `${PACKAGE} ${version}` } });
}

async function libraryIn(folder: string): Promise<string> {
  for await (const { name, isFile } of Deno.readDir(folder)) {
    if (isFile && name.startsWith("libkrunfw.so.")) return `${folder}/${name}`;
  }
  throw new Error(`No libkrunfw.so in ${folder}`);
}

/** Finds the kernel in the shared library, and the three numbers in the code of the function that returns it. */
export function readKrunKernel(library: Uint8Array<ArrayBuffer>): RawKernel {
  const symbols = new SharedLibrary(library);
  const getter = symbols.find(GETTER);
  const numbers = storedConstants(symbols.bytes(getter.address, getter.size));
  if (numbers.length !== 3) throw new Error(`Cannot read the code of ${GETTER}`);
  const [load = 0, entry = 0, size = 0] = numbers;
  const bundle = symbols.find(BUNDLE);
  if (size > bundle.size) {
    throw new Error(`${GETTER} claims ${size} bytes, ${bundle.size} are there`);
  }
  if (entry < load || entry >= load + size) throw new Error("The kernel's entry is outside of it");
  return { bytes: symbols.bytes(bundle.address, size), load, entry };
}

/**
 * The numbers that a function stores through its pointers, in the order of its code: `mov qword [reg], imm32`, which is
 * REX.W C7 /0 without displacement (Intel SDM 2, MOV). Compilers keep the order of the source at any level.
 */
function storedConstants(code: Uint8Array<ArrayBuffer>): number[] {
  const view = new DataView(code.buffer, code.byteOffset, code.byteLength);
  const numbers: number[] = [];
  for (let at = 0; at + 7 <= code.length; at++) {
    if (code[at] !== 0x48 || code[at + 1] !== 0xc7 || (code[at + 2] ?? 0xff) > 7) continue;
    numbers.push(view.getUint32(at + 3, true));
    at += 6;
  }
  return numbers;
}

const ELF_HEADER_SIZE = 64;
const PROGRAM_HEADER_SIZE = 56;
/** Where the kernel begins in the file: a page, as linkers would have it. */
const KERNEL_OFFSET = 0x1000;

/** A raw kernel as an ELF64 executable with one segment (System V gABI chapters 4 and 5). */
export function wrapKernel({ bytes, load, entry }: RawKernel): Uint8Array<ArrayBuffer> {
  const file = new Uint8Array(KERNEL_OFFSET + bytes.length);
  const view = new DataView(file.buffer);
  const u64 = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]); // 64 bits, little-endian, version 1
  view.setUint16(16, 2, true); // ET_EXEC
  view.setUint16(18, 62, true); // EM_X86_64
  view.setUint32(20, 1, true);
  u64(24, entry);
  u64(32, ELF_HEADER_SIZE); // e_phoff
  view.setUint16(52, ELF_HEADER_SIZE, true);
  view.setUint16(54, PROGRAM_HEADER_SIZE, true);
  view.setUint16(56, 1, true); // e_phnum
  view.setUint32(64, 1, true); // PT_LOAD
  view.setUint32(68, 7, true); // PF_R | PF_W | PF_X
  u64(72, KERNEL_OFFSET);
  u64(80, load); // p_vaddr
  u64(88, load); // p_paddr
  u64(96, bytes.length);
  u64(104, bytes.length);
  u64(112, KERNEL_OFFSET); // p_align
  file.set(bytes, KERNEL_OFFSET);
  return file;
}

interface LibrarySymbol {
  readonly address: number;
  readonly size: number;
}

/** As much of an ELF64 shared library as it takes to find what it exports. */
class SharedLibrary {
  readonly #file: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;

  constructor(file: Uint8Array<ArrayBuffer>) {
    this.#file = file;
    this.#view = new DataView(file.buffer, file.byteOffset, file.byteLength);
    const magic = [0x7f, 0x45, 0x4c, 0x46, 2, 1];
    if (magic.some((byte, at) => file[at] !== byte)) throw new Error("Not an ELF64 library");
  }

  find(name: string): LibrarySymbol {
    const SHT_DYNSYM = 11;
    const table = this.#section((type) => type === SHT_DYNSYM);
    const names = this.#section((_type, index) => index === table.link);
    for (let at = table.offset; at < table.offset + table.size; at += 24) {
      if (this.#text(names.offset + this.#view.getUint32(at, true)) !== name) continue;
      return { address: this.#u64(at + 8), size: this.#u64(at + 16) };
    }
    throw new Error(`The library has no ${name}`);
  }

  /** Bytes as they stand in memory once the library is loaded. */
  bytes(address: number, size: number): Uint8Array<ArrayBuffer> {
    const PT_LOAD = 1;
    const [start, count] = [this.#u64(32), this.#view.getUint16(56, true)];
    for (let at = start; at < start + count * PROGRAM_HEADER_SIZE; at += PROGRAM_HEADER_SIZE) {
      const [offset, base, inFile] = [this.#u64(at + 8), this.#u64(at + 16), this.#u64(at + 32)];
      const isLoaded = this.#view.getUint32(at, true) === PT_LOAD;
      if (!isLoaded || address < base || address + size > base + inFile) continue;
      return this.#file.slice(offset + address - base, offset + address - base + size);
    }
    throw new Error(`The library has no ${size} bytes at 0x${address.toString(16)}`);
  }

  #section(
    isIt: (type: number, index: number) => boolean,
  ): { readonly offset: number; readonly size: number; readonly link: number } {
    const [start, count] = [this.#u64(40), this.#view.getUint16(60, true)];
    for (let index = 0; index < count; index++) {
      const at = start + index * 64;
      if (!isIt(this.#view.getUint32(at + 4, true), index)) continue;
      const link = this.#view.getUint32(at + 40, true);
      return { offset: this.#u64(at + 24), size: this.#u64(at + 32), link };
    }
    throw new Error("The library has no table of symbols");
  }

  #text(at: number): string {
    const end = this.#file.indexOf(0, at);
    return new TextDecoder().decode(this.#file.subarray(at, end));
  }

  #u64(at: number): number {
    return Number(this.#view.getBigUint64(at, true));
  }
}

if (import.meta.main) {
  const progress = { stage: (name: string) => console.error(name), fraction() {} };
  console.log((await ensureKrunKernel({ progress })).path);
}
