/* Reads the structures of the two boot protocols; the first C to run, already in ring 3. */
#include "boot.h"
#include "cpu.h"
#include "layout.h"

#define E820_RAM 1

/* Xen public/arch-x86/hvm/start_info.h, version 1. */
struct hvm_start_info {
  uint32_t magic, version, flags, modules_count;
  uint64_t modules_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
  uint32_t memmap_entries, reserved;
};

struct hvm_memmap_entry {
  uint64_t base, size;
  uint32_t type, reserved;
};

/* The few fields of struct boot_params we need: Documentation/arch/x86/zero-page.rst. */
#define BOOT_PARAMS_EXT_CMD_LINE_PTR 0x0c8
#define BOOT_PARAMS_E820_ENTRIES 0x1e8
#define BOOT_PARAMS_CMD_LINE_PTR 0x228
#define BOOT_PARAMS_RAMDISK_IMAGE 0x218
#define BOOT_PARAMS_RAMDISK_SIZE 0x21c
#define BOOT_PARAMS_E820_TABLE 0x2d0

struct __attribute__((packed)) e820_entry {
  uint64_t base, size;
  uint32_t type;
};

/* The same, its list of modules. */
struct hvm_modlist_entry {
  uint64_t paddr, size, cmdline_paddr, reserved;
};

static struct memory_range module;

const struct memory_range *boot_module(void) {
  return &module;
}

static void add_range(struct memory_map *map, uint64_t base, uint64_t size, uint32_t type) {
  if (type == E820_RAM && map->count < MEMORY_RANGES) {
    map->range[map->count++] = (struct memory_range){ base, size };
  }
}

static const char *read_start_info(uintptr_t at, struct memory_map *map) {
  const struct hvm_start_info *info = (const void *)at;
  const struct hvm_memmap_entry *entry = (const void *)(uintptr_t)info->memmap_paddr;
  for (uint32_t i = 0; info->version >= 1 && i < info->memmap_entries; i++) {
    add_range(map, entry[i].base, entry[i].size, entry[i].type);
  }
  if (info->modules_count > 0) {
    const struct hvm_modlist_entry *first = (const void *)(uintptr_t)info->modules_paddr;
    module = (struct memory_range){ first->paddr, first->size };
  }
  return (const char *)(uintptr_t)info->cmdline_paddr;
}

static const char *read_boot_params(uintptr_t at, struct memory_map *map) {
  const struct e820_entry *entry = (const void *)(at + BOOT_PARAMS_E820_TABLE);
  unsigned entries = *(const uint8_t *)(at + BOOT_PARAMS_E820_ENTRIES);
  for (unsigned i = 0; i < entries; i++) add_range(map, entry[i].base, entry[i].size, entry[i].type);
  module = (struct memory_range){
    *(const uint32_t *)(at + BOOT_PARAMS_RAMDISK_IMAGE),
    *(const uint32_t *)(at + BOOT_PARAMS_RAMDISK_SIZE),
  };
  uint64_t low = *(const uint32_t *)(at + BOOT_PARAMS_CMD_LINE_PTR);
  uint64_t high = *(const uint32_t *)(at + BOOT_PARAMS_EXT_CMD_LINE_PTR);
  return (const char *)(uintptr_t)(high << 32 | low);
}

/* Both entries of entry.S arrive here with the structure their protocol hands over. */
__attribute__((noreturn)) void guest_start(unsigned protocol, uintptr_t structure);
void guest_start(unsigned protocol, uintptr_t structure) {
  static struct memory_map map;
  const char *cmdline = protocol == BOOT_PVH ? read_start_info(structure, &map)
                                             : read_boot_params(structure, &map);
  guest_main(cmdline ? cmdline : "", &map);
}
