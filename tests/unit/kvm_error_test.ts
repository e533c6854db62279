/** Failed KVM calls in words, with stable codes and advice. */
import { checkKvm, KvmError } from "../../src/kvm/kvm_error.ts";
import { assert, assertEquals, assertInstanceOf, assertMatch } from "../../src/std/assert.ts";

const ERRNO = { EPERM: 1, ENOENT: 2, ENXIO: 6, ENOMEM: 12, EACCES: 13, EBUSY: 16 } as const;
const MORE = { ENODEV: 19, EINVAL: 22, EMFILE: 24, ENOTTY: 25 } as const;

Deno.test("a device that cannot be opened is said as people say it", () => {
  const error = new KvmError("open /dev/kvm", ERRNO.EACCES);
  assertInstanceOf(error, Error);
  assertEquals([error.message, error.code, error.name, error.errno], [
    "cannot open /dev/kvm: permission denied",
    "KVM_EACCES",
    "KvmError",
    13,
  ]);
});

const OPENING: readonly (readonly [number, string, RegExp])[] = [
  [ERRNO.ENOENT, "KVM_ENOENT", /kvm_intel or kvm_amd.*nested/],
  [ERRNO.EACCES, "KVM_EACCES", /usermod -aG kvm/],
  [ERRNO.EPERM, "KVM_EPERM", /--device \/dev\/kvm/],
  [MORE.ENODEV, "KVM_ENODEV", /dmesg/],
  [ERRNO.ENXIO, "KVM_ENXIO", /dmesg/],
  [MORE.ENOTTY, "KVM_ENOTTY", /\/dev\/kvm is/],
];
for (const [errno, code, hint] of OPENING) {
  Deno.test(`${code} comes with advice that fits`, () => {
    const error = new KvmError("open /dev/kvm", errno);
    assertEquals(error.code, code);
    assertMatch(error.hint ?? "", hint);
  });
}

const CALLS: readonly (readonly [call: string, errno: number, hint: RegExp])[] = [
  ["KVM_CREATE_VM", ERRNO.ENOMEM, /out of memory/],
  ["KVM_CREATE_VM", ERRNO.EBUSY, /VirtualBox/],
  ["KVM_CREATE_VCPU 33", MORE.EINVAL, /more vCPUs/],
  ["KVM_SET_USER_MEMORY_REGION of 64 GiB", ERRNO.ENOMEM, /--mem/],
  ["KVM_IRQFD", MORE.EMFILE, /ulimit -n/],
];
for (const [call, errno, hint] of CALLS) {
  Deno.test(`${call} failing with ${errno} names the call and helps`, () => {
    const error = new KvmError(call, errno);
    assertEquals(error.code, "KVM_IOCTL");
    assert(error.message.startsWith(`${call} failed: `));
    assertMatch(error.message, /\(E[A-Z]+\)$/);
    assertMatch(error.hint ?? "", hint);
  });
}

Deno.test("without advice there is no hint at all", () => {
  for (const error of [new KvmError("KVM_RUN of vCPU 0", 14), new KvmError("open /x", 4711)]) {
    assertEquals(error.hint, undefined);
  }
});

Deno.test("an errno without a name keeps its number", () => {
  const error = new KvmError("KVM_RUN", 4711);
  assertEquals(error.message, "KVM_RUN failed: error 4711 (E4711)");
  assertEquals(new KvmError("open /dev/kvm", 4711).code, "KVM_E4711");
});

Deno.test("a call that succeeded gives its result back", () => {
  assertEquals([checkKvm(0, "KVM_RUN"), checkKvm(17, "KVM_CREATE_VM")], [0, 17]);
});
