/**
 * Boots x86 kernels: what a file is, where everything goes, what is written, and the state the processor starts in.
 * ELF with a PVH note: PVH entry. Linux as ELF, other ELF, bzImage, and everything that gets a device tree
 * (start_info has no place for one): 64-bit entry. Called through `src/arch/mod.ts` on the control side.
 */
import type { BootMemory } from "../../memory/boot_memory.ts";
import { gpa } from "../../memory/guest_memory.ts";
import { hasAt, hex, roundUp, sizeText, viewOf } from "../bytes.ts";
import { FDT_MAGIC } from "../fdt.ts";
import { identify, readHead } from "../identify.ts";
import {
  BootError,
  type BootRequest,
  type BootState,
  type ImageSource,
  type KernelInfo,
  type RamRange,
} from "../types.ts";
import { gdtWords, linux64State, pvhState } from "./boot_state.ts";
import {
  SETUP_DTB,
  SETUP_RNG_SEED,
  type SetupData,
  setupDataSize,
  writePageTables,
  writeSetupData,
  writeZeroPage,
} from "./boot_params.ts";
import { type BzImage, hasSetupHeader, loadBzImage, parseBzImage } from "./bzimage.ts";
import { COMMAND_LINE_SIZE, encodeCmdline } from "./cmdline.ts";
import { checkNativeEntry, type ElfImage, loadElf, parseElf } from "./elf.ts";
import { CMDLINE, e820, GDT, HOLE_START, PAGE, START_INFO, ZERO_PAGE } from "./memory_map.ts";
import { writeMpTable } from "./mp_table.ts";
import { Placement } from "./placement.ts";
import { writeStartInfo } from "./pvh.ts";

const MIB = 2 ** 20;
/** `--mem` is suggested in steps people would choose. */
const MEMORY_STEP = 32 * MIB;

type OpenKernel =
  | { readonly kind: "elf"; readonly elf: ElfImage; readonly info: KernelInfo }
  | { readonly kind: "bzimage"; readonly bz: BzImage; readonly info: KernelInfo };

/** Reads the headers of a kernel, nothing else. Throws `BootError`. */
export function inspectKernel(source: ImageSource): KernelInfo {
  return openKernel(source).info;
}

/**
 * Puts kernel, initrd, command line and tables into `request.memory`, which must be fresh. Everything is checked
 * first: a `BootError` leaves memory as it was. Errors of `ImageSource.read` pass through.
 */
export function loadKernel(request: BootRequest): BootState {
  const kernel = openKernel(request.kernel);
  const cmdline = encodeCmdline(request.cmdline, kernel.info.cmdlineMax);
  const entry = chooseEntry(request, kernel);
  const placement = placeKernel(request, kernel);
  const setupData = entry.protocol === "pvh" ? [] : setupDataOf(request);
  const setupDataPlace = placeSetupData(setupData, request, kernel, placement);
  const initrd = placeInitrd(request, kernel, placement);

  if (kernel.kind === "elf") loadElf(request.kernel, kernel.elf, request.memory);
  else loadBzImage(request.kernel, kernel.bz, request.memory);
  if (request.initrd !== undefined && initrd !== undefined) {
    request.initrd.read(0, request.memory.view(gpa(initrd.base), initrd.size));
  }
  request.memory.write(gpa(CMDLINE.base), cmdline);
  // One teller at a time: a device tree and ACPI name processors and IOAPIC themselves.
  const { acpi, deviceTree, vcpus } = request;
  if (acpi !== undefined) request.memory.write(gpa(acpi.root), acpi.bytes);
  else if (vcpus !== undefined && deviceTree === undefined) writeMpTable(request.memory, vcpus);

  const ram = ramOf(request.memory);
  const tables = {
    cmdline: CMDLINE.base,
    e820: e820(ram),
    ...(initrd === undefined ? {} : { initrd }),
    ...(acpi === undefined ? {} : { acpiRoot: acpi.root }),
  };
  if (entry.protocol === "pvh") {
    writeStartInfo(request.memory, tables);
    return withGdt(request.memory, pvhState(entry.address, START_INFO.base));
  }
  if (setupDataPlace !== undefined) {
    writeSetupData(request.memory, setupDataPlace.base, setupData);
  }
  writeZeroPage(request.memory, {
    ...tables,
    ...(kernel.kind === "bzimage" ? { setupHeader: kernel.bz.setupHeader } : {}),
    ...(setupDataPlace === undefined ? {} : { setupData: setupDataPlace.base }),
  });
  writePageTables(request.memory, ram);
  return withGdt(request.memory, linux64State(entry.address, ZERO_PAGE.base));
}

function openKernel(source: ImageSource): OpenKernel {
  const head = readHead(source);
  if (hasAt(head, 0, "\x7fELF")) {
    const elf = parseElf(source);
    return { kind: "elf", elf, info: describeElf(elf) };
  }
  if (hasSetupHeader(head)) {
    const bz = parseBzImage(source);
    return { kind: "bzimage", bz, info: describeBzImage(bz) };
  }
  const { phrase, hint } = identify(source);
  throw new BootError(
    "KERNEL_FORMAT",
    `Kernel '${source.name}' is not a kernel: it is ${phrase}`,
    hint,
  );
}

function describeElf(elf: ElfImage): KernelInfo {
  const pvh = elf.pvhEntry;
  return {
    format: elf.bits === 64 ? "elf64" : "elf32",
    description: `${elf.bits}-bit ELF kernel ${pvh === undefined ? "without" : "with"} PVH entry`,
    lowest: elf.lowest,
    highest: elf.highest,
    // A 32-bit ELF cannot be entered in long mode.
    ...(elf.bits === 64 ? { entry: elf.entry } : {}),
    ...(pvh === undefined ? {} : { pvhEntry: pvh }),
    cmdlineMax: COMMAND_LINE_SIZE - 1,
    initrdMax: HOLE_START - 1,
    minimumRam: roundUp(elf.highest, MIB),
  };
}

function describeBzImage(bz: BzImage): KernelInfo {
  const highest = bz.loadAddress + bz.memorySize;
  return {
    format: "bzimage",
    description: `Linux bzImage ${bz.kernelVersion}`.trimEnd(),
    lowest: bz.loadAddress,
    highest,
    entry: bz.entry,
    // boot.rst: cmdline_size excludes the NUL. Our own place for it is the other limit.
    cmdlineMax: Math.min(bz.cmdlineMax, CMDLINE.size - 1),
    initrdMax: Math.min(bz.initrdMax, HOLE_START - 1),
    minimumRam: roundUp(highest, MIB),
  };
}

function chooseEntry(
  request: BootRequest,
  kernel: OpenKernel,
): { readonly protocol: "pvh" | "linux64"; readonly address: number } {
  const { pvhEntry, entry } = kernel.info;
  // Linux's own protocol can hand over more (random seed, device tree); other kernels' e_entry may be anything.
  const nativeLinux = kernel.kind === "elf" && kernel.elf.isLinux && entry !== undefined;
  if (pvhEntry !== undefined && request.deviceTree === undefined && !nativeLinux) {
    return { protocol: "pvh", address: pvhEntry };
  }
  if (entry === undefined) {
    throw new BootError(
      "DEVICE_TREE_UNSUPPORTED",
      `Kernel '${request.kernel.name}' can only be entered through PVH, which has no place for a device tree`,
      "use --discovery cmdline or acpi, or a 64-bit kernel",
    );
  }
  if (kernel.kind === "elf") checkNativeEntry(request.kernel, kernel.elf);
  return { protocol: "linux64", address: entry };
}

/** Every piece of the kernel must lie in RAM; the whole span is then taken. */
function placeKernel(request: BootRequest, kernel: OpenKernel): Placement {
  const { memory } = request;
  const { lowest, highest, minimumRam } = kernel.info;
  const pieces = kernel.kind === "elf"
    ? kernel.elf.segments.map(({ address, memorySize }) => ({ base: address, size: memorySize }))
    : [{ base: lowest, size: highest - lowest }];
  for (const { base, size } of pieces) {
    if (memory.contains(base, size)) continue;
    const inHole = base + size > HOLE_START;
    throw new BootError(
      "KERNEL_TOO_BIG",
      `Kernel '${request.kernel.name}' needs memory from ${hex(base)} to ${hex(base + size)}, ` +
        `the machine has ${sizeText(memory.size)}`,
      inHole
        ? "link it below 3 GiB, where the device windows start"
        : memoryHint(memory, minimumRam),
    );
  }
  const placement = new Placement(memory);
  placement.take({ base: lowest, size: highest - lowest });
  return placement;
}

function setupDataOf(request: BootRequest): SetupData[] {
  const list: SetupData[] = [];
  if (request.deviceTree !== undefined) {
    checkDeviceTree(request.deviceTree);
    list.push({ type: SETUP_DTB, data: request.deviceTree });
  }
  if (request.rngSeed !== undefined) list.push({ type: SETUP_RNG_SEED, data: request.rngSeed });
  return list;
}

function checkDeviceTree(blob: Uint8Array): void {
  if (
    blob.length >= 8 && viewOf(blob).getUint32(0) === FDT_MAGIC &&
    viewOf(blob).getUint32(4) <= blob.length
  ) return;
  throw new BootError(
    "DEVICE_TREE_INVALID",
    "Device tree is not a flattened device tree: its magic number or size is wrong",
    "compile the source with dtc -O dtb",
  );
}

function placeSetupData(
  list: readonly SetupData[],
  request: BootRequest,
  kernel: OpenKernel,
  placement: Placement,
): RamRange | undefined {
  if (list.length === 0) return undefined;
  const size = setupDataSize(list);
  const place = placement.highest(size, HOLE_START, PAGE);
  if (place === undefined) {
    throw new BootError(
      "DEVICE_TREE_TOO_BIG",
      `Device tree of ${sizeText(size)} does not fit into ${
        sizeText(request.memory.size)
      } of memory beside the kernel`,
      memoryHint(request.memory, kernel.info.highest + size),
    );
  }
  return place;
}

function placeInitrd(
  request: BootRequest,
  kernel: OpenKernel,
  placement: Placement,
): RamRange | undefined {
  const source = request.initrd;
  if (source === undefined) return undefined;
  if (source.size === 0) {
    throw new BootError(
      "INITRD_EMPTY",
      `Initrd '${source.name}' is empty`,
      "build it again, or leave --initrd out",
    );
  }
  const limit = kernel.info.initrdMax + 1;
  const place = placement.highest(source.size, limit, PAGE);
  if (place !== undefined) return place;
  const what = `Initrd '${source.name}' of ${sizeText(source.size)}`;
  const needed = kernel.info.highest + source.size;
  if (needed > limit) {
    throw new BootError(
      "INITRD_TOO_BIG",
      `${what} does not fit below ${hex(limit)}, the highest address this kernel accepts`,
      "use a smaller initrd, or a root disk with --disk",
    );
  }
  throw new BootError(
    "INITRD_TOO_BIG",
    `${what} does not fit into ${sizeText(request.memory.size)} of memory beside the kernel`,
    // Unpacked files take room again: twice its size is the least that can work.
    memoryHint(request.memory, needed + source.size),
  );
}

/** Suggests room for `bytes`, always more than the machine has now. */
function memoryHint(memory: BootMemory, bytes: number): string {
  const size = roundUp(Math.max(bytes, memory.size + 1), MEMORY_STEP);
  return `give the machine more memory with --mem ${size / MIB}M`;
}

function ramOf(memory: BootMemory): RamRange[] {
  return memory.regions.map(({ base, size }) => ({ base, size }));
}

function withGdt(memory: BootMemory, state: BootState): BootState {
  memory.write(gpa(GDT), new Uint8Array(new Uint32Array(gdtWords(state)).buffer));
  return state;
}
