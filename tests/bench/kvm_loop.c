/*
 * The least a monitor can be: one vCPU, RAM, the tiny guest's ELF through its PVH entry, and a loop around KVM_RUN that
 * answers MMIO reads with 0, prints what goes to COM1 and ends at port 0xf4. What an exit costs here is the floor that
 * `parts/exits.ts` measures the monitor against.
 *
 *     kvm_loop GUEST.ELF MIB CMDLINE [IOEVENTFD-ADDRESS]
 *     kvm_loop                                  prints how fast a guest's time-stamp counter runs, in kHz
 */
#include <elf.h>
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PVH_NOTE 18               /* XEN_ELFNOTE_PHYS32_ENTRY */
#define PVH_MAGIC 0x336ec578      /* Xen public/arch-x86/hvm/start_info.h */
#define START_INFO 0x6000
#define MEMORY_MAP 0x7000
#define CMDLINE 0x20000
#define TSS_ADDRESS 0xfffbd000
#define COM1 0x3f8
#define COM1_LSR 0x3fd
#define LSR_EMPTY 0x60
#define EXIT_PORT 0xf4

static uint8_t *ram;

struct start_info {
  uint32_t magic, version, flags, modules;
  uint64_t modules_at, cmdline, rsdp, map;
  uint32_t map_entries, reserved;
};

struct map_entry {
  uint64_t base, size;
  uint32_t type, reserved;
};

static int check(int result, const char *what) {
  if (result < 0) err(1, "%s", what);
  return result;
}

static uint32_t entry_of_note(const uint8_t *note, size_t size) {
  for (size_t at = 0; at + sizeof(Elf64_Nhdr) <= size;) {
    const Elf64_Nhdr *header = (const void *)(note + at);
    size_t content = at + sizeof *header + ((header->n_namesz + 3) & ~3u);
    if (header->n_type == PVH_NOTE) return *(const uint32_t *)(note + content);
    at = content + ((header->n_descsz + 3) & ~3u);
  }
  errx(1, "no PVH entry");
}

static uint32_t load(const char *path) {
  int fd = check(open(path, O_RDONLY), path);
  off_t size = lseek(fd, 0, SEEK_END);
  const uint8_t *file = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (file == MAP_FAILED) err(1, "mmap of %s", path);
  const Elf64_Ehdr *header = (const void *)file;
  uint32_t entry = 0;
  for (unsigned i = 0; i < header->e_phnum; i++) {
    const Elf64_Phdr *part = (const Elf64_Phdr *)(file + header->e_phoff) + i;
    if (part->p_type == PT_LOAD) memcpy(ram + part->p_paddr, file + part->p_offset, part->p_filesz);
    if (part->p_type == PT_NOTE) entry = entry_of_note(file + part->p_offset, part->p_filesz);
  }
  return entry;
}

static void write_boot_data(uint64_t bytes, const char *cmdline) {
  struct map_entry map = { 0, bytes, 1, 0 };
  struct start_info info = {
    .magic = PVH_MAGIC, .version = 1, .cmdline = CMDLINE, .map = MEMORY_MAP, .map_entries = 1,
  };
  memcpy(ram + MEMORY_MAP, &map, sizeof map);
  memcpy(ram + START_INFO, &info, sizeof info);
  strcpy((char *)ram + CMDLINE, cmdline);
}

static struct kvm_segment flat(uint8_t type, uint16_t selector) {
  return (struct kvm_segment){
    .limit = 0xffffffff, .selector = selector, .type = type, .present = 1, .db = 1, .s = 1, .g = 1,
  };
}

static void set_registers(int vcpu, uint32_t entry) {
  struct kvm_sregs sregs;
  check(ioctl(vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
  sregs.cs = flat(11, 8);
  sregs.ds = sregs.es = sregs.ss = sregs.fs = sregs.gs = flat(3, 16);
  sregs.cr0 = 0x11;              /* PE, ET */
  check(ioctl(vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
  struct kvm_regs regs = { .rip = entry, .rbx = START_INFO, .rflags = 2 };
  check(ioctl(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

static void set_cpuid(int kvm, int vcpu) {
  static union {
    struct kvm_cpuid2 head;
    uint8_t room[sizeof(struct kvm_cpuid2) + 256 * sizeof(struct kvm_cpuid_entry2)];
  } cpuid = { .head = { .nent = 256 } };
  check(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid), "KVM_GET_SUPPORTED_CPUID");
  check(ioctl(vcpu, KVM_SET_CPUID2, &cpuid), "KVM_SET_CPUID2");
}

/* The device's side of a kick, as little of it as there can be. */
static void *drain(void *fd) {
  uint64_t kicks;
  while (read((int)(intptr_t)fd, &kicks, sizeof kicks) == sizeof kicks) {}
  return NULL;
}

static void add_ioeventfd(int vm, uint64_t address) {
  int fd = check(eventfd(0, 0), "eventfd");
  struct kvm_ioeventfd what = { .addr = address, .len = 4, .fd = fd };
  check(ioctl(vm, KVM_IOEVENTFD, &what), "KVM_IOEVENTFD");
  pthread_t thread;
  if (pthread_create(&thread, NULL, drain, (void *)(intptr_t)fd)) errx(1, "pthread_create");
}

static void serve_port(struct kvm_run *run) {
  uint8_t *data = (uint8_t *)run + run->io.data_offset;
  if (run->io.direction == KVM_EXIT_IO_IN) {
    memset(data, run->io.port == COM1_LSR ? LSR_EMPTY : 0, run->io.size * run->io.count);
  } else if (run->io.port == EXIT_PORT) {
    fflush(stdout);
    _exit(*data);
  } else if (run->io.port == COM1) {
    putchar(*data);
  }
}

static int print_tsc_khz(void) {
  int kvm = check(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
  int vm = check(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
  check(ioctl(vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
  int vcpu = check(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
  printf("%d\n", check(ioctl(vcpu, KVM_GET_TSC_KHZ, 0), "KVM_GET_TSC_KHZ"));
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 1) return print_tsc_khz();
  if (argc < 4) errx(1, "usage: kvm_loop GUEST.ELF MIB CMDLINE [IOEVENTFD-ADDRESS]");
  uint64_t bytes = strtoull(argv[2], NULL, 0) << 20;
  int kvm = check(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
  int vm = check(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
  check(ioctl(vm, KVM_SET_TSS_ADDR, TSS_ADDRESS), "KVM_SET_TSS_ADDR");
  check(ioctl(vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
  ram = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (ram == MAP_FAILED) err(1, "mmap of RAM");
  struct kvm_userspace_memory_region region = { .memory_size = bytes, .userspace_addr = (uintptr_t)ram };
  check(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
  if (argc > 4) add_ioeventfd(vm, strtoull(argv[4], NULL, 0));
  int vcpu = check(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
  size_t size = (size_t)check(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
  struct kvm_run *run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  if (run == MAP_FAILED) err(1, "mmap of kvm_run");
  set_cpuid(kvm, vcpu);
  write_boot_data(bytes, argv[3]);
  set_registers(vcpu, load(argv[1]));
  for (;;) {
    check(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
    if (run->exit_reason == KVM_EXIT_IO) serve_port(run);
    else if (run->exit_reason != KVM_EXIT_MMIO) errx(1, "exit reason %u", run->exit_reason);
    else if (!run->mmio.is_write) memset(run->mmio.data, 0, sizeof run->mmio.data);
  }
}
