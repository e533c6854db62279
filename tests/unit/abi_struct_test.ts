/** Struct layouts by the C rules, and ioctl numbers against those the kernel's headers give. */
import * as kvm from "../../src/abi/kvm.ts";
import * as x86 from "../../src/abi/kvm_x86.ts";
import * as linux from "../../src/abi/linux.ts";
import {
  array,
  i32,
  io,
  ior,
  iow,
  iowr,
  packedStruct,
  struct,
  u16,
  u32,
  u64,
  u8,
} from "../../src/abi/struct.ts";
import { assertEquals } from "../../src/std/assert.ts";

Deno.test("a field is placed at a multiple of its own size, in the order of declaration", () => {
  const s = struct("struct s", { a: u8, b: u16, c: u8, d: u32, e: u8, f: u64, g: i32 });
  assertEquals(s.at, { a: 0, b: 2, c: 4, d: 8, e: 12, f: 16, g: 24 });
});

Deno.test("a struct's size is padded to its widest field", () => {
  assertEquals(struct("struct s", { a: u64, b: u8 }).size, 16);
  assertEquals(struct("struct s", { a: u32, b: u8 }).size, 8);
  assertEquals(struct("struct s", { a: u16, b: u8 }).size, 4);
  assertEquals(struct("struct s", { a: u8 }).size, 1);
});

Deno.test("a packed struct has no holes and no alignment", () => {
  const s = packedStruct("struct s", { a: u8, b: u64, c: u16 });
  assertEquals([s.at, s.size, s.align], [{ a: 0, b: 1, c: 9 }, 11, 1]);
});

Deno.test("an array is as aligned as its elements", () => {
  assertEquals(array(u16, 5), { size: 10, align: 2 });
  const s = struct("struct s", { a: u8, b: array(u32, 3), c: u8 });
  assertEquals([s.at, s.size], [{ a: 0, b: 4, c: 16 }, 20]);
});

Deno.test("a struct inside a struct keeps its size and alignment", () => {
  const inner = struct("struct inner", { x: u64, y: u8 });
  const outer = struct("struct outer", { a: u8, b: inner, c: u8 });
  assertEquals([outer.at, outer.size, outer.align], [{ a: 0, b: 8, c: 24 }, 32, 8]);
  const flat = packedStruct("struct flat", { a: u8, b: inner });
  assertEquals([flat.at, flat.size], [{ a: 0, b: 1 }, 17]);
});

Deno.test("a struct keeps its C name", () => {
  assertEquals(struct("struct kvm_regs", { rax: u64 }).cName, "struct kvm_regs");
});

Deno.test("ioctl numbers hold direction, size, type and number, unsigned", () => {
  const argument = array(u8, 0x24);
  assertEquals(io(0xae, 0x80), 0xae80);
  assertEquals(iow(0xae, 0x46, argument), 0x4024_ae46);
  assertEquals(ior(0xae, 0x46, argument), 0x8024_ae46);
  assertEquals(iowr(0xae, 0x46, argument), 0xc024_ae46);
});

// As `gcc -include linux/kvm.h` prints them on x86-64.
const IOCTLS: Readonly<Record<string, readonly [actual: number, expected: number]>> = {
  KVM_GET_API_VERSION: [kvm.KVM_GET_API_VERSION, 0xae00],
  KVM_CREATE_VM: [kvm.KVM_CREATE_VM, 0xae01],
  KVM_CHECK_EXTENSION: [kvm.KVM_CHECK_EXTENSION, 0xae03],
  KVM_GET_VCPU_MMAP_SIZE: [kvm.KVM_GET_VCPU_MMAP_SIZE, 0xae04],
  KVM_CREATE_VCPU: [kvm.KVM_CREATE_VCPU, 0xae41],
  KVM_SET_USER_MEMORY_REGION: [kvm.KVM_SET_USER_MEMORY_REGION, 0x4020_ae46],
  KVM_CREATE_IRQCHIP: [kvm.KVM_CREATE_IRQCHIP, 0xae60],
  KVM_IRQFD: [kvm.KVM_IRQFD, 0x4020_ae76],
  KVM_IOEVENTFD: [kvm.KVM_IOEVENTFD, 0x4040_ae79],
  KVM_RUN: [kvm.KVM_RUN, 0xae80],
  KVM_SET_SIGNAL_MASK: [kvm.KVM_SET_SIGNAL_MASK, 0x4004_ae8b],
  KVM_GET_MP_STATE: [kvm.KVM_GET_MP_STATE, 0x8004_ae98],
  KVM_SET_MP_STATE: [kvm.KVM_SET_MP_STATE, 0x4004_ae99],
  KVM_GET_SUPPORTED_CPUID: [x86.KVM_GET_SUPPORTED_CPUID, 0xc008_ae05],
  KVM_SET_TSS_ADDR: [x86.KVM_SET_TSS_ADDR, 0xae47],
  KVM_SET_IDENTITY_MAP_ADDR: [x86.KVM_SET_IDENTITY_MAP_ADDR, 0x4008_ae48],
  KVM_GET_IRQCHIP: [x86.KVM_GET_IRQCHIP, 0xc208_ae62],
  KVM_SET_IRQCHIP: [x86.KVM_SET_IRQCHIP, 0x8208_ae63],
  KVM_CREATE_PIT2: [x86.KVM_CREATE_PIT2, 0x4040_ae77],
  KVM_GET_REGS: [x86.KVM_GET_REGS, 0x8090_ae81],
  KVM_SET_REGS: [x86.KVM_SET_REGS, 0x4090_ae82],
  KVM_GET_SREGS: [x86.KVM_GET_SREGS, 0x8138_ae83],
  KVM_SET_SREGS: [x86.KVM_SET_SREGS, 0x4138_ae84],
  KVM_GET_MSRS: [x86.KVM_GET_MSRS, 0xc008_ae88],
  KVM_SET_MSRS: [x86.KVM_SET_MSRS, 0x4008_ae89],
  KVM_SET_FPU: [x86.KVM_SET_FPU, 0x41a0_ae8d],
  KVM_GET_LAPIC: [x86.KVM_GET_LAPIC, 0x8400_ae8e],
  KVM_SET_LAPIC: [x86.KVM_SET_LAPIC, 0x4400_ae8f],
  KVM_SET_CPUID2: [x86.KVM_SET_CPUID2, 0x4008_ae90],
  KVM_GET_PIT2: [x86.KVM_GET_PIT2, 0x8070_ae9f],
  KVM_SET_PIT2: [x86.KVM_SET_PIT2, 0x4070_aea0],
};
for (const [name, [actual, expected]] of Object.entries(IOCTLS)) {
  Deno.test(`${name} is 0x${expected.toString(16)}`, () => assertEquals(actual, expected));
}

Deno.test("KVM's structs have the sizes the kernel checks", () => {
  const sizes = [
    [kvm.kvm_userspace_memory_region.size, 32],
    [kvm.kvm_irqfd.size, 32],
    [kvm.kvm_ioeventfd.size, 64],
    [x86.kvm_regs.size, 144],
    [x86.kvm_segment.size, 24],
    [x86.kvm_dtable.size, 16],
    [x86.kvm_sregs.size, 312],
    [x86.kvm_fpu.size, 416],
    [x86.kvm_msr_entry.size, 16],
    [x86.kvm_cpuid_entry2.size, 40],
    [x86.kvm_lapic_state.size, 1024],
    [linux.io_uring_params.size, 120],
    [linux.io_uring_sqe.size, 64],
    [linux.io_uring_cqe.size, 16],
  ];
  assertEquals(sizes.map(([actual]) => actual), sizes.map(([, expected]) => expected));
});

Deno.test("an epoll event is packed on x86-64 and only there", () => {
  const expected = Deno.build.arch === "x86_64" ? { size: 12, data: 4 } : { size: 16, data: 8 };
  const { size, at } = linux.epoll_event;
  assertEquals({ size, data: at.data }, expected);
});
