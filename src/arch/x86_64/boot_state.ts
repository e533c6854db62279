/**
 * The state a boot processor starts in, as plain data: made by `boot.ts` on the control side, posted to the vCPU's
 * worker and encoded there by `vcpu_state.ts`. Values are those of the entry protocols: 64-bit
 * (Documentation/x86/boot.rst "64-bit Boot Protocol") and PVH (arch/x86/platform/pvh/head.S).
 */
import { GDT, PAGE_TABLES } from "./memory_map.ts";

/** The hidden part of a segment register (Intel SDM vol. 3, 3.4.5). */
export interface X86Segment {
  readonly selector: number;
  readonly base: number;
  /** In bytes, as the cache holds it, not in granules. */
  readonly limit: number;
  readonly type: number;
  /** 1 for code and data, 0 for system segments. */
  readonly s: number;
  /** Default operand size 32 bits. */
  readonly db: number;
  /** 64-bit code. */
  readonly l: number;
  readonly g: number;
}

/** Structured-cloneable: numbers only. */
export interface X86BootState {
  readonly arch: "x86_64";
  readonly protocol: "pvh" | "linux64";
  readonly regs: {
    readonly rip: number;
    readonly rsi: number;
    readonly rbx: number;
    readonly rflags: number;
  };
  readonly sregs: {
    readonly cr0: number;
    readonly cr3: number;
    readonly cr4: number;
    readonly efer: number;
    readonly code: X86Segment;
    readonly data: X86Segment;
    readonly task: X86Segment;
    readonly gdt: { readonly base: number; readonly limit: number };
    readonly idt: { readonly base: number; readonly limit: number };
  };
}

/** Bit 1 of RFLAGS is always 1; IF, TF and VM are clear, as both protocols ask. */
const RFLAGS_RESERVED = 0x2;
const X86_CR0_PE = 0x1;
const X86_CR0_ET = 0x10;
const X86_CR0_PG = 0x8000_0000;
const X86_CR4_PAE = 0x20;
const EFER_LME = 0x100;
const EFER_LMA = 0x400;

/** boot.rst: `__BOOT_CS` is 0x10, `__BOOT_DS` 0x18 (arch/x86/include/asm/segment.h), the task follows them. */
export const BOOT_CS = 0x10;
export const BOOT_DS = 0x18;
export const BOOT_TSS = 0x20;
/** Two empty descriptors, code, data, and a task descriptor, which takes two places in long mode. */
const GDT_ENTRIES = 6;

/** Code: execute, read, accessed. Data: read, write, accessed. Task: busy 32/64-bit TSS (SDM vol. 3, table 3-1). */
const TYPE_CODE = 0xb;
const TYPE_DATA = 0x3;
const TYPE_TSS_BUSY = 0xb;
const FLAT = 0xffff_ffff;

const DATA: X86Segment = {
  selector: BOOT_DS,
  base: 0,
  limit: FLAT,
  type: TYPE_DATA,
  s: 1,
  db: 1,
  l: 0,
  g: 1,
};
/** VM entry wants a busy TSS (SDM vol. 3, 26.3.1.2) and PVH one with limit 0x67; nobody ever reads it. */
const TASK: X86Segment = {
  selector: BOOT_TSS,
  base: 0,
  limit: 0x67,
  type: TYPE_TSS_BUSY,
  s: 0,
  db: 0,
  l: 0,
  g: 0,
};
const CODE_64: X86Segment = { ...DATA, selector: BOOT_CS, type: TYPE_CODE, db: 0, l: 1 };
const CODE_32: X86Segment = { ...DATA, selector: BOOT_CS, type: TYPE_CODE };
const GDT_REGISTER = { base: GDT, limit: GDT_ENTRIES * 8 - 1 };
/** No IDT: an exception before the kernel has its own is a triple fault, which ends the run. */
const NO_IDT = { base: 0, limit: 0 };

/** The 64-bit entry: long mode on, RSI = zero page, interrupts off. */
export function linux64State(entry: number, zeroPage: number): X86BootState {
  return {
    arch: "x86_64",
    protocol: "linux64",
    regs: { rip: entry, rsi: zeroPage, rbx: 0, rflags: RFLAGS_RESERVED },
    sregs: {
      cr0: X86_CR0_PE + X86_CR0_ET + X86_CR0_PG,
      cr3: PAGE_TABLES.base,
      cr4: X86_CR4_PAE,
      efer: EFER_LME | EFER_LMA,
      code: CODE_64,
      data: DATA,
      task: TASK,
      gdt: GDT_REGISTER,
      idt: NO_IDT,
    },
  };
}

/** The PVH entry: flat 32-bit protected mode without paging, EBX = start_info. */
export function pvhState(entry: number, startInfo: number): X86BootState {
  return {
    arch: "x86_64",
    protocol: "pvh",
    regs: { rip: entry, rsi: 0, rbx: startInfo, rflags: RFLAGS_RESERVED },
    sregs: {
      cr0: X86_CR0_PE + X86_CR0_ET,
      cr3: 0,
      cr4: 0,
      efer: 0,
      code: CODE_32,
      data: DATA,
      task: TASK,
      gdt: GDT_REGISTER,
      idt: NO_IDT,
    },
  };
}

/** One 8-byte descriptor in two words, low first (SDM vol. 3, 3.4.5). */
function descriptor(segment: X86Segment): [number, number] {
  const limit = segment.g === 1 ? segment.limit >>> 12 : segment.limit;
  const low = ((segment.base & 0xffff) << 16) | (limit & 0xffff);
  const present = 0x80;
  const access = present | (segment.s << 4) | segment.type;
  const high = (segment.base & 0xff00_0000) | (segment.g << 23) | (segment.db << 22) |
    (segment.l << 21) | (limit & 0xf_0000) | (access << 8) | ((segment.base >>> 16) & 0xff);
  return [low >>> 0, high >>> 0];
}

/** The GDT the selectors of `state` point into, for guests that reload a selector before loading their own table. */
export function gdtWords(state: X86BootState): number[] {
  const { code, data, task } = state.sregs;
  return [0, 0, 0, 0, ...descriptor(code), ...descriptor(data), ...descriptor(task), 0, 0];
}
