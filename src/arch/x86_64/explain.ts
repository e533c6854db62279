/**
 * Words for KVM_EXIT_INTERNAL_ERROR suberror 1: which instruction KVM could not emulate. Hosts that emulate ring 0
 * meet this with ordinary instructions (see "B in detail" of the host notes); on VT-x and SVM it means a device
 * access with an odd instruction. Opcodes from the Intel SDM vol. 2, appendix A. Called when a vCPU has died.
 */
import { byteAt, hex } from "../bytes.ts";

export interface EmulationFailure {
  /** `popcnt`, or undefined when the bytes are none we know. */
  readonly instruction: string | undefined;
  /** `popcnt (f3 0f b8 c1) at RIP 0xffffffff81000000`. */
  readonly text: string;
  /** Whether an unpatched kernel meets this in ring 0 only because the host emulates it. */
  readonly hint: string;
}

/** Prefixes and place of one decoded instruction. */
interface Decoder {
  readonly bytes: Uint8Array;
  /** Where the opcode starts. */
  at: number;
  /** The last of f2 and f3, or 0x66, or 0: what selects among SSE opcodes. */
  prefix: number;
  lock: boolean;
  rexW: boolean;
}
interface Named {
  readonly name: string;
  /** Index of the first byte behind the instruction. */
  readonly end: number;
}

const HINT =
  "on a host that emulates ring 0 the guest kernel must avoid this instruction: use the default kernel, or pass " +
  "clearcpuid= and noxsave on its command line; hosts with VT-x or SVM run it (dinovisor doctor tells which this is)";

/**
 * Names the instruction in `bytes` (kvm_run.internal insn_bytes, up to 15). `rip` is a BigInt because kernels live in
 * the top half of the address space; this path is taken once in a guest's life.
 */
export function explainEmulationFailure(bytes: Uint8Array, rip: bigint): EmulationFailure {
  const where = `at RIP 0x${rip.toString(16)}`;
  if (bytes.length === 0) {
    return {
      instruction: undefined,
      text: `an instruction ${where} (KVM did not say which)`,
      hint: HINT,
    };
  }
  const named = nameInstruction(bytes);
  if (named === undefined) {
    return {
      instruction: undefined,
      text: `instruction bytes ${dump(bytes)} ${where}`,
      hint: HINT,
    };
  }
  const shown = bytes.subarray(0, Math.min(named.end, bytes.length));
  return { instruction: named.name, text: `${named.name} (${dump(shown)}) ${where}`, hint: HINT };
}

function dump(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

function nameInstruction(bytes: Uint8Array): Named | undefined {
  const decoder = skipPrefixes(bytes);
  const opcode = byteAt(bytes, decoder.at);
  if (decoder.at >= bytes.length) return undefined;
  decoder.at++;
  switch (opcode) {
    case 0x0f:
      return twoByte(decoder);
    case 0xcc:
      return plain(decoder, "int3");
    case 0xcd:
      return { name: `int ${hex(byteAt(bytes, decoder.at))}`, end: decoder.at + 1 };
    case 0xcf:
      return plain(decoder, "iret");
    case 0x9b:
      return plain(decoder, "fwait");
    case 0xf4:
      return plain(decoder, "hlt");
    case 0xc4:
    case 0xc5:
      return { name: "an AVX instruction (VEX)", end: bytes.length };
    case 0x62:
      return { name: "an AVX-512 instruction (EVEX)", end: bytes.length };
  }
  if (opcode >= 0xd8 && opcode <= 0xdf) return modrm(decoder, "an x87 floating-point instruction");
  return undefined;
}

/** Legacy prefixes in any order, then REX (SDM vol. 2, 2.1.1 and 2.2.1). */
function skipPrefixes(bytes: Uint8Array): Decoder {
  const decoder: Decoder = { bytes, at: 0, prefix: 0, lock: false, rexW: false };
  for (; decoder.at < bytes.length; decoder.at++) {
    const byte = byteAt(bytes, decoder.at);
    if (byte === 0xf2 || byte === 0xf3) decoder.prefix = byte;
    else if (byte === 0x66) decoder.prefix = decoder.prefix === 0 ? byte : decoder.prefix;
    else if (byte === 0xf0) decoder.lock = true;
    else if (![0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65, 0x67].includes(byte)) break;
  }
  const rex = byteAt(bytes, decoder.at);
  if ((rex & 0xf0) === 0x40) {
    decoder.rexW = (rex & 8) !== 0;
    decoder.at++;
  }
  return decoder;
}

function twoByte(decoder: Decoder): Named | undefined {
  const opcode = byteAt(decoder.bytes, decoder.at);
  if (decoder.at >= decoder.bytes.length) return undefined;
  decoder.at++;
  const { prefix } = decoder;
  switch (opcode) {
    case 0x01:
      return group7(decoder);
    case 0x05:
      return plain(decoder, "syscall");
    case 0x07:
      return plain(decoder, "sysret");
    case 0x0b:
      return plain(decoder, "ud2");
    case 0x1e:
      return prefix === 0xf3 && byteAt(decoder.bytes, decoder.at) === 0xfa
        ? { name: "endbr64", end: decoder.at + 1 }
        : modrm(decoder, "nop");
    case 0x30:
      return plain(decoder, "wrmsr");
    case 0x31:
      return plain(decoder, "rdtsc");
    case 0x32:
      return plain(decoder, "rdmsr");
    case 0x33:
      return plain(decoder, "rdpmc");
    case 0x38:
      return threeByte38(decoder);
    case 0x3a:
      decoder.at++;
      return modrm(decoder, "an SSE instruction", 1);
    case 0x77:
      return plain(decoder, "emms");
    case 0xa2:
      return plain(decoder, "cpuid");
    case 0xae:
      return group15(decoder);
    case 0xb8:
      return prefix === 0xf3 ? modrm(decoder, "popcnt") : undefined;
    case 0xb9:
      return modrm(decoder, "ud1");
    case 0xbc:
      return modrm(decoder, prefix === 0xf3 ? "tzcnt" : "bsf");
    case 0xbd:
      return modrm(decoder, prefix === 0xf3 ? "lzcnt" : "bsr");
    case 0xc3:
      return modrm(decoder, "movnti");
    case 0xc7:
      return group9(decoder);
    case 0xff:
      return modrm(decoder, "ud0");
  }
  return isSse(opcode)
    ? modrm(decoder, "an SSE instruction", hasImmediate(opcode) ? 1 : 0)
    : undefined;
}

/** The rows of the two-byte opcode map that hold MMX and SSE. */
function isSse(opcode: number): boolean {
  return (opcode >= 0x10 && opcode <= 0x17) || (opcode >= 0x28 && opcode <= 0x2f) ||
    (opcode >= 0x50 && opcode <= 0x7f) || opcode === 0xc2 || (opcode >= 0xc4 && opcode <= 0xc6) ||
    (opcode >= 0xd0 && opcode <= 0xfe);
}

function hasImmediate(opcode: number): boolean {
  return (opcode >= 0x70 && opcode <= 0x73) || opcode === 0xc2 ||
    (opcode >= 0xc4 && opcode <= 0xc6);
}

/** 0f 01 with a register operand: the whole second byte names the instruction. */
const GROUP7: ReadonlyMap<number, string> = new Map([
  [0xc1, "vmcall"],
  [0xc2, "vmlaunch"],
  [0xc3, "vmresume"],
  [0xc4, "vmxoff"],
  [0xc8, "monitor"],
  [0xc9, "mwait"],
  [0xca, "clac"],
  [0xcb, "stac"],
  [0xd0, "xgetbv"],
  [0xd1, "xsetbv"],
  [0xd4, "vmfunc"],
  [0xd5, "xend"],
  [0xd6, "xtest"],
  [0xd8, "vmrun"],
  [0xd9, "vmmcall"],
  [0xda, "vmload"],
  [0xdb, "vmsave"],
  [0xdc, "stgi"],
  [0xdd, "clgi"],
  [0xdf, "invlpga"],
  [0xe8, "serialize"],
  [0xee, "rdpkru"],
  [0xef, "wrpkru"],
  [0xf8, "swapgs"],
  [0xf9, "rdtscp"],
  [0xfa, "monitorx"],
  [0xfb, "mwaitx"],
  [0xfc, "clzero"],
]);
const GROUP7_BY_REG = ["sgdt", "sidt", "lgdt", "lidt", "smsw", undefined, "lmsw", "invlpg"];

function group7(decoder: Decoder): Named | undefined {
  const byte = byteAt(decoder.bytes, decoder.at);
  const known = GROUP7.get(byte);
  if (known !== undefined) return { name: known, end: decoder.at + 1 };
  return modrm(decoder, GROUP7_BY_REG[(byte >>> 3) & 7]);
}

const GROUP15_MEMORY = [
  "fxsave",
  "fxrstor",
  "ldmxcsr",
  "stmxcsr",
  "xsave",
  "xrstor",
  "xsaveopt",
  "clflush",
];
const GROUP15_REGISTER = [
  undefined,
  undefined,
  undefined,
  undefined,
  undefined,
  "lfence",
  "mfence",
  "sfence",
];
const GROUP15_F3 = [
  "rdfsbase",
  "rdgsbase",
  "wrfsbase",
  "wrgsbase",
  "ptwrite",
  "incssp",
  "umonitor",
  undefined,
];
const GROUP15_66 = [
  undefined,
  undefined,
  undefined,
  undefined,
  undefined,
  undefined,
  "clwb",
  "clflushopt",
];

function group15(decoder: Decoder): Named | undefined {
  const byte = byteAt(decoder.bytes, decoder.at);
  const reg = (byte >>> 3) & 7;
  const isRegister = byte >= 0xc0;
  if (decoder.prefix === 0xf3 && isRegister) return modrm(decoder, GROUP15_F3[reg]);
  if (decoder.prefix === 0x66 && !isRegister) return modrm(decoder, GROUP15_66[reg]);
  return modrm(decoder, (isRegister ? GROUP15_REGISTER : GROUP15_MEMORY)[reg]);
}

function group9(decoder: Decoder): Named | undefined {
  const byte = byteAt(decoder.bytes, decoder.at);
  const reg = (byte >>> 3) & 7;
  if (byte >= 0xc0) {
    if (reg === 6) return modrm(decoder, "rdrand");
    if (reg === 7) return modrm(decoder, decoder.prefix === 0xf3 ? "rdpid" : "rdseed");
    return undefined;
  }
  const exchange = `${decoder.lock ? "lock " : ""}${decoder.rexW ? "cmpxchg16b" : "cmpxchg8b"}`;
  return modrm(
    decoder,
    [undefined, exchange, undefined, "xrstors", "xsavec", "xsaves", "vmptrld", "vmptrst"][reg],
  );
}

function threeByte38(decoder: Decoder): Named | undefined {
  const opcode = byteAt(decoder.bytes, decoder.at);
  decoder.at++;
  const { prefix } = decoder;
  if (opcode >= 0x80 && opcode <= 0x82 && prefix === 0x66) {
    return modrm(decoder, ["invept", "invvpid", "invpcid"][opcode - 0x80]);
  }
  if (opcode === 0xf0 || opcode === 0xf1) {
    return modrm(decoder, prefix === 0xf2 ? "crc32" : "movbe");
  }
  if (opcode === 0xf6) return modrm(decoder, prefix === 0xf3 ? "adox" : "adcx");
  return modrm(decoder, "an SSE instruction");
}

function plain(decoder: Decoder, name: string): Named {
  return { name, end: decoder.at };
}

/** Skips ModRM, SIB, displacement (SDM vol. 2, 2.1.3-2.1.5) and `immediate` bytes. */
function modrm(decoder: Decoder, name: string | undefined, immediate = 0): Named | undefined {
  if (name === undefined) return undefined;
  const { bytes } = decoder;
  let end = decoder.at + 1;
  const byte = byteAt(bytes, decoder.at);
  const mod = byte >>> 6;
  const rm = byte & 7;
  if (mod !== 3) {
    const hasSib = rm === 4;
    const noBase = mod === 0 && (hasSib ? (byteAt(bytes, end) & 7) === 5 : rm === 5);
    end += (hasSib ? 1 : 0) + (mod === 1 ? 1 : mod === 2 || noBase ? 4 : 0);
  }
  return { name, end: end + immediate };
}
