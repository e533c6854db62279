/**
 * How our numbers are called in C, where the name alone does not tell. Read by `check_abi.ts`.
 * A new constant needs an entry only if no header defines it under the same name.
 */

export interface StructMapping {
  readonly cName?: string;
  /** A C expression for our `size`. */
  readonly size: string;
  /** C's name for a field of ours, where it differs. */
  readonly members?: Readonly<Record<string, string>>;
}

// Where linux/ and the C library define the same thing (iovec, timespec), the C library's header stands.
export const HEADERS = [
  "stddef.h",
  "stdio.h",
  "fcntl.h",
  "limits.h",
  "poll.h",
  "signal.h",
  "time.h",
  "sys/epoll.h",
  "sys/eventfd.h",
  "sys/file.h",
  "sys/inotify.h",
  "sys/ioctl.h",
  "sys/mman.h",
  "sys/random.h",
  "sys/socket.h",
  "sys/statfs.h",
  "sys/syscall.h",
  "sys/uio.h",
  "sys/un.h",
  "sys/wait.h",
  "net/if.h",
  "linux/capability.h",
  "linux/falloc.h",
  "linux/fs.h",
  "linux/if_ether.h",
  "linux/if_tun.h",
  "linux/io_uring.h",
  "linux/kvm.h",
  "linux/magic.h",
  "linux/memfd.h",
  "linux/version.h",
  "linux/virtio_balloon.h",
  "linux/virtio_blk.h",
  "linux/virtio_config.h",
  "linux/virtio_console.h",
  "linux/virtio_ids.h",
  "linux/virtio_mmio.h",
  "linux/virtio_net.h",
  "linux/virtio_pci.h",
  "linux/virtio_ring.h",
  "linux/virtio_vsock.h",
  "linux/vm_sockets.h",
];

const BLK_CONFIG = "struct virtio_blk_config";

/** Constants of ours that C spells differently, by our name: a C expression of the same value. */
export const C_EXPRESSIONS: Readonly<Record<string, string>> = {
  KVM_RUN_UNION: "offsetof(struct kvm_run, hw)",
  VIRTIO_INT_VRING: "VIRTIO_MMIO_INT_VRING",
  VIRTIO_INT_CONFIG: "VIRTIO_MMIO_INT_CONFIG",
  REQUEST_HEADER_BYTES: "sizeof(struct virtio_blk_outhdr)",
  SEGMENT_BYTES: "sizeof(struct virtio_blk_discard_write_zeroes)",
  NET_CONFIG_BYTES: "offsetof(struct virtio_net_config, speed)",
  BLOCK_CONFIG_BYTES: `offsetof(${BLK_CONFIG}, unused1) + sizeof(((${BLK_CONFIG} *)0)->unused1)`,
};

/** Objects of offsets, by our name: the struct and the member their keys are found in. */
export const OFFSET_TABLES: Readonly<
  Record<string, { cName: string; member(key: string): string }>
> = {
  KVM_RUN_IO: { cName: "struct kvm_run", member: (key) => `io.${key}` },
  KVM_RUN_MMIO: { cName: "struct kvm_run", member: (key) => `mmio.${key}` },
  KVM_RUN_FAIL_ENTRY: { cName: "struct kvm_run", member: (key) => `fail_entry.${key}` },
  KVM_RUN_INTERNAL: {
    cName: "struct kvm_run",
    member: (key) =>
      ["suberror", "ndata", "data"].includes(key) ? `internal.${key}` : `emulation_failure.${key}`,
  },
  KVM_RUN_SYSTEM_EVENT: { cName: "struct kvm_run", member: (key) => `system_event.${key}` },
};

/** Members the kernel renamed since Debian 12's headers: a header older than `since` has the old name. */
export const RENAMED = [
  {
    since: [6, 5],
    member: "user_addr",
    old: "resv2",
    of: "struct io_sqring_offsets, io_cqring_offsets",
  },
];

/** Structs of ours that are not a whole C struct under its own name. */
export const STRUCTS: Readonly<Record<string, StructMapping>> = {
  kvm_run: { size: "offsetof(struct kvm_run, hw)" },
  statfs: { size: "sizeof(struct statfs)", members: { _rest: "f_bsize" } },
  sigevent: {
    size: "sizeof(struct sigevent)",
    members: { _tid: "_sigev_un._tid", _rest: "_sigev_un._pad[1]" },
  },
  itimerspec: {
    size: "sizeof(struct itimerspec)",
    members: {
      it_interval_sec: "it_interval.tv_sec",
      it_interval_nsec: "it_interval.tv_nsec",
      it_value_sec: "it_value.tv_sec",
      it_value_nsec: "it_value.tv_nsec",
    },
  },
  BLOCK_CONFIG: {
    cName: BLK_CONFIG,
    // Ours ends in front of the zoned tail, so it is compared up to the end of its last field, padded to u64.
    size: `(offsetof(${BLK_CONFIG}, unused1) + 7) / 8 * 8`,
    members: {
      cylinders: "geometry.cylinders",
      heads: "geometry.heads",
      sectors: "geometry.sectors",
    },
  },
};

/** Numbers that no header defines, by our name, each with the reason. */
export const NO_C_NAME: Readonly<Record<string, string>> = {
  VRING_MAX_SIZE: "a limit in the text of the virtio specification (2.7), not in a header",
  VIRTIO_MMIO_MAGIC: 'the header only has a comment (Magic value ("virt")), no number',
  TUN_F_USO4: "Linux 6.2; Debian 12's header is older",
  TUN_F_USO6: "Linux 6.2; Debian 12's header is older",
  VIRTIO_NET_F_GUEST_USO4: "Linux 6.2; Debian 12's header is older",
  VIRTIO_NET_F_GUEST_USO6: "Linux 6.2; Debian 12's header is older",
  VIRTIO_NET_F_HOST_USO: "Linux 6.2; Debian 12's header is older",
  VIRTIO_NET_HDR_GSO_UDP_L4: "Linux 6.2; Debian 12's header is older",
  VLAN_TAG_BYTES: "IEEE 802.1Q; linux/if_vlan.h does not export VLAN_HLEN",
  VLAN_N_VID: "IEEE 802.1Q: 12 bits; linux/if_vlan.h does not export it",
  VIRTIO_VSOCK_F_STREAM: "bit 0 of the virtio specification (5.10.3), which the header leaves out",
  VIRTIO_VSOCK_F_NO_IMPLIED_STREAM: "bit 2, likewise",
  MIN_GUEST_CID: "the text of the virtio specification (5.10.4): 0 to 2 are taken",
  MAX_GUEST_CID: "the text of the virtio specification (5.10.4): one below VMADDR_CID_ANY",
  SECTOR_BYTES:
    "the text of the virtio specification (5.2.4); the kernel's SECTOR_SIZE is not exported",
};
