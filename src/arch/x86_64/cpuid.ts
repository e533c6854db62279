/**
 * What the guest's CPUID says (Intel SDM vol. 2 CPUID; AMD APM vol. 3 appendix E): KVM's offer, minus what a microVM
 * cannot keep, plus the topology only the monitor knows. Pure: used by `vcpu_setup.ts` between
 * KVM_GET_SUPPORTED_CPUID and KVM_SET_CPUID2.
 */
import {
  kvm_cpuid2,
  kvm_cpuid_entry2,
  KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
} from "../../abi/kvm_x86.ts";
import { viewOf } from "../bytes.ts";

/** `struct kvm_cpuid_entry2` as an object; all words unsigned. */
export interface CpuidEntry {
  readonly function: number;
  readonly index: number;
  readonly flags: number;
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

export interface CpuidRequest {
  /** Also the initial APIC id: KVM's in-kernel APIC takes it from KVM_CREATE_VCPU. */
  readonly vcpuId: number;
  readonly vcpuCount: number;
  /** KVM_CAP_TSC_DEADLINE_TIMER; KVM_GET_SUPPORTED_CPUID never shows it. */
  readonly tscDeadline: boolean;
}

interface Topology extends CpuidRequest {
  /** Bits of an APIC id that number the cores of the one package. */
  readonly bits: number;
  readonly amd: boolean;
}
type Edit = (entry: CpuidEntry, topology: Topology) => CpuidEntry | undefined;

function bit(n: number): number {
  return 2 ** n;
}
function bits(...positions: number[]): number {
  return positions.reduce((mask, n) => mask + bit(n), 0);
}
function clear(value: number, mask: number): number {
  return (value & ~mask) >>> 0;
}
function set(value: number, mask: number): number {
  return (value | mask) >>> 0;
}
/** `value` with the field of `width` bits at `shift` replaced. */
function field(value: number, shift: number, width: number, to: number): number {
  const mask = (bit(width) - 1) << shift;
  return ((value & ~mask) | ((to << shift) & mask)) >>> 0;
}

/** Leaf 1 ECX: MONITOR (3) would stop the physical CPU, or trap on every idle; VMX (5): no nested guests, a snapshot does not hold their state; PDCM (15): PMU MSRs. */
const LEAF1_ECX_HIDDEN = bits(3, 5, 15);
const LEAF1_ECX_TSC_DEADLINE = bit(24);
/** OSXSAVE (27) mirrors CR4, which KVM tracks itself; it starts clear. */
const LEAF1_ECX_OSXSAVE = bit(27);
/** Bit 31 is 0 on every real CPU: it tells the guest that leaf 0x40000000 exists. */
const LEAF1_ECX_HYPERVISOR = bit(31);
/** EDX 28: more than one logical processor in the package, so that the counts are believed. */
const LEAF1_EDX_HTT = bit(28);
/** Leaf 6 EAX 2, ARAT: the APIC timer never stops. True of KVM's; the rest are the host's sensors and P-states. */
const LEAF6_EAX_ARAT = bit(2);
/** Leaf 7 EBX: SGX (2) needs /dev/sgx_provision; Intel PT (25) needs VMX set-up of the host. */
const LEAF7_EBX_HIDDEN = bits(2, 25);
/** Leaf 7 ECX: WAITPKG (5) idles a physical CPU without an exit; SGX_LC (30). */
const LEAF7_ECX_HIDDEN = bits(5, 30);
/** Leaf 7 EDX: AMX (22, 24, 25) needs ARCH_REQ_XCOMP_GUEST_PERM before the first vCPU. */
const LEAF7_EDX_HIDDEN = bits(22, 24, 25);
/** Leaf 7.1 EAX AMX-FP16 (21), EDX AMX-COMPLEX (8). */
const LEAF7_1_EAX_HIDDEN = bit(21);
const LEAF7_1_EDX_HIDDEN = bit(8);
/** Leaf 0xD.0 EAX: the tile components that belong to AMX. */
const XCR0_TILES = bits(17, 18);
/** Leaf 0xD.1 ECX: Intel PT's component of XSS. */
const XSS_PT = bit(8);
/** Leaf 0x80000001 ECX: SVM (2) as VMX; performance counter extensions (23, 24, 28); MONITORX (29) as MONITOR. */
const EXT1_ECX_HIDDEN = bits(2, 23, 24, 28, 29);
/** CmpLegacy: the logical processors of leaf 1 are cores, not threads. */
const EXT1_ECX_CMP_LEGACY = bit(1);

/** Leaves that go whole: absent leaves read as zero. Each with its reason. */
const DROPPED: ReadonlyMap<number, string> = new Map([
  [0x0b, "topology: written anew below"],
  [0x1f, "topology: written anew below"],
  [0x12, "SGX"],
  [0x14, "Intel PT"],
  [0x1d, "AMX tiles"],
  [0x1e, "AMX tiles"],
  [0x23, "PMU"],
  [0x8000_000a, "SVM"],
  [0x8000_001b, "instruction-based sampling"],
  [0x8000_001f, "memory encryption needs /dev/sev"],
  [0x8000_0022, "PMU"],
  [0x8000_0026, "AMD's extended topology: the host's, and leaf 0xb says the same"],
]);

const EDITS: ReadonlyMap<number, Edit> = new Map<number, Edit>([
  [0x1, editFeatures],
  [0x4, editIntelCaches],
  [0x5, zeroed], // MONITOR
  [0x6, editPower],
  [0x7, editExtendedFeatures],
  [0xa, zeroed], // PMU: counters need perf on the host and leak its work
  [0xd, editXsave],
  [0x8000_0001, editAmdFeatures],
  [0x8000_0008, editAmdCount],
  [0x8000_001d, editAmdCaches],
  [0x8000_001e, editAmdTopology],
]);

/** Entries for KVM_SET_CPUID2 from those of KVM_GET_SUPPORTED_CPUID. */
export function filterCpuid(supported: readonly CpuidEntry[], request: CpuidRequest): CpuidEntry[] {
  const basic = supported.find((entry) => entry.function === 0);
  const topology: Topology = {
    ...request,
    bits: Math.ceil(Math.log2(request.vcpuCount)),
    amd: isAmd(basic),
  };
  const kept: CpuidEntry[] = [];
  for (const entry of supported) {
    if (DROPPED.has(entry.function)) continue;
    const edit = EDITS.get(entry.function);
    const edited = edit === undefined ? entry : edit(entry, topology);
    if (edited !== undefined) kept.push(edited);
  }
  for (const leaf of [0x0b, 0x1f]) {
    if (basic !== undefined && basic.eax >= leaf) kept.push(...topologyLeaf(leaf, topology));
  }
  return kept;
}

/** "AuthenticAMD" or "HygonGenuine", told by EBX: their leaves 0x80000008 and 0x8000001d/e speak of cores. */
function isAmd(basic: CpuidEntry | undefined): boolean {
  return basic !== undefined && (basic.ebx === 0x6874_7541 || basic.ebx === 0x6f67_7948);
}

function zeroed(entry: CpuidEntry): CpuidEntry {
  return { ...entry, eax: 0, ebx: 0, ecx: 0, edx: 0 };
}

function editFeatures(
  entry: CpuidEntry,
  { vcpuId, vcpuCount, tscDeadline, bits }: Topology,
): CpuidEntry {
  let ebx = field(entry.ebx, 24, 8, vcpuId);
  // EBX 23:16 is how many APIC ids the package reserves: a power of two.
  ebx = field(ebx, 16, 8, Math.min(bit(bits), 255));
  let ecx = clear(entry.ecx, LEAF1_ECX_HIDDEN + LEAF1_ECX_TSC_DEADLINE + LEAF1_ECX_OSXSAVE);
  ecx = set(ecx, LEAF1_ECX_HYPERVISOR + (tscDeadline ? LEAF1_ECX_TSC_DEADLINE : 0));
  const edx = vcpuCount > 1 ? set(entry.edx, LEAF1_EDX_HTT) : clear(entry.edx, LEAF1_EDX_HTT);
  return { ...entry, ebx, ecx, edx };
}

/** One thread a core, one package: L1 and L2 belong to a core, L3 to all. EAX 31:26 cores, 25:14 sharers, minus 1. */
function editIntelCaches(entry: CpuidEntry, { bits }: Topology): CpuidEntry {
  if ((entry.eax & 0x1f) === 0) return entry; // no more caches
  const ids = bit(bits);
  const level = (entry.eax >>> 5) & 7;
  let eax = field(entry.eax, 14, 12, level >= 3 ? ids - 1 : 0);
  eax = field(eax, 26, 6, Math.min(ids - 1, 63));
  return { ...entry, eax };
}

function editPower(entry: CpuidEntry): CpuidEntry {
  return { ...zeroed(entry), eax: (entry.eax & LEAF6_EAX_ARAT) >>> 0 };
}

function editExtendedFeatures(entry: CpuidEntry): CpuidEntry {
  if (entry.index === 1) {
    return {
      ...entry,
      eax: clear(entry.eax, LEAF7_1_EAX_HIDDEN),
      edx: clear(entry.edx, LEAF7_1_EDX_HIDDEN),
    };
  }
  if (entry.index !== 0) return entry;
  return {
    ...entry,
    ebx: clear(entry.ebx, LEAF7_EBX_HIDDEN),
    ecx: clear(entry.ecx, LEAF7_ECX_HIDDEN),
    edx: clear(entry.edx, LEAF7_EDX_HIDDEN),
  };
}

function editXsave(entry: CpuidEntry): CpuidEntry | undefined {
  if (entry.index === 0) return { ...entry, eax: clear(entry.eax, XCR0_TILES) };
  if (entry.index === 1) return { ...entry, ecx: clear(entry.ecx, XSS_PT) };
  return entry.index === 8 || entry.index === 17 || entry.index === 18 ? undefined : entry;
}

function editAmdFeatures(entry: CpuidEntry, { vcpuCount, amd }: Topology): CpuidEntry {
  const ecx = clear(entry.ecx, EXT1_ECX_HIDDEN + EXT1_ECX_CMP_LEGACY);
  return { ...entry, ecx: amd && vcpuCount > 1 ? set(ecx, EXT1_ECX_CMP_LEGACY) : ecx };
}

/** ECX 7:0 cores minus 1, 15:12 bits of the APIC id that number them. Reserved on Intel. */
function editAmdCount(entry: CpuidEntry, { vcpuCount, bits, amd }: Topology): CpuidEntry {
  if (!amd) return entry;
  return { ...entry, ecx: field(field(entry.ecx, 0, 8, vcpuCount - 1), 12, 4, bits) };
}

/** As leaf 4: EAX 25:14 is the sharers minus 1. */
function editAmdCaches(entry: CpuidEntry, { vcpuCount }: Topology): CpuidEntry {
  if ((entry.eax & 0x1f) === 0) return entry;
  const level = (entry.eax >>> 5) & 7;
  return { ...entry, eax: field(entry.eax, 14, 12, level >= 3 ? vcpuCount - 1 : 0) };
}

/** EAX: APIC id. EBX: core id, one thread (minus 1) a core. ECX: node 0 of 1. */
function editAmdTopology(entry: CpuidEntry, { vcpuId }: Topology): CpuidEntry {
  return { ...entry, eax: vcpuId, ebx: vcpuId & 0xff, ecx: 0 };
}

/** Leaves 0xb and 0x1f: threads (one a core), then cores, then the end of the list; EDX is the x2APIC id everywhere. */
function topologyLeaf(leaf: number, { vcpuId, vcpuCount, bits }: Topology): CpuidEntry[] {
  const SMT = 1 << 8;
  const CORE = 2 << 8;
  const flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
  const common = { function: leaf, flags, edx: vcpuId };
  return [
    { ...common, index: 0, eax: 0, ebx: 1, ecx: SMT },
    { ...common, index: 1, eax: bits, ebx: vcpuCount, ecx: CORE | 1 },
    { ...common, index: 2, eax: 0, ebx: 0, ecx: 2 },
  ];
}

/** Reads the `struct kvm_cpuid2` KVM_GET_SUPPORTED_CPUID has filled. */
export function decodeCpuid(bytes: Uint8Array): CpuidEntry[] {
  const view = viewOf(bytes);
  const count = view.getUint32(kvm_cpuid2.at.nent, true);
  const { at, size } = kvm_cpuid_entry2;
  const entries: CpuidEntry[] = [];
  for (let i = 0; i < count; i++) {
    const base = kvm_cpuid2.size + i * size;
    entries.push({
      function: view.getUint32(base + at.function, true),
      index: view.getUint32(base + at.index, true),
      flags: view.getUint32(base + at.flags, true),
      eax: view.getUint32(base + at.eax, true),
      ebx: view.getUint32(base + at.ebx, true),
      ecx: view.getUint32(base + at.ecx, true),
      edx: view.getUint32(base + at.edx, true),
    });
  }
  return entries;
}

/** `struct kvm_cpuid2` with `entries` behind it. With none, room for `capacity`: what KVM_GET_SUPPORTED_CPUID fills. */
export function encodeCpuid(
  entries: readonly CpuidEntry[],
  capacity: number = entries.length,
): Uint8Array<ArrayBuffer> {
  const { at, size } = kvm_cpuid_entry2;
  const bytes = new Uint8Array(kvm_cpuid2.size + capacity * size);
  const view = viewOf(bytes);
  view.setUint32(kvm_cpuid2.at.nent, capacity, true);
  entries.forEach((entry, i) => {
    const base = kvm_cpuid2.size + i * size;
    view.setUint32(base + at.function, entry.function, true);
    view.setUint32(base + at.index, entry.index, true);
    view.setUint32(base + at.flags, entry.flags, true);
    view.setUint32(base + at.eax, entry.eax, true);
    view.setUint32(base + at.ebx, entry.ebx, true);
    view.setUint32(base + at.ecx, entry.ecx, true);
    view.setUint32(base + at.edx, entry.edx, true);
  });
  return bytes;
}
