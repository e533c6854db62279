/**
 * Linux system-call numbers, flags and layouts (include/uapi). Values that differ per architecture are in
 * `PER_ARCH`, chosen by the running build: the one place below `src/arch` that names an architecture.
 */
import { array, i32, packedStruct, type Struct, struct, u16, u32, u64, u8 } from "./struct.ts";

interface ArchConstants {
  /** arch/<arch>/include/uapi/asm/fcntl.h */
  readonly O_DIRECT: number;
  /** With O_DIRECTORY in it, whose value differs. */
  readonly O_TMPFILE: number;
  /** `struct epoll_event` is packed on x86-64 only (EPOLL_PACKED, include/uapi/linux/eventpoll.h). */
  readonly epoll_event: Struct<"events" | "data">;
}

const EPOLL_EVENT_FIELDS = { events: u32, data: u64 } as const;
const PER_ARCH: Readonly<Record<typeof Deno.build.arch, ArchConstants>> = {
  x86_64: {
    O_DIRECT: 0o40000,
    O_TMPFILE: 0o20200000,
    epoll_event: packedStruct("struct epoll_event", EPOLL_EVENT_FIELDS),
  },
  aarch64: {
    O_DIRECT: 0o200000,
    O_TMPFILE: 0o20040000,
    epoll_event: struct("struct epoll_event", EPOLL_EVENT_FIELDS),
  },
};
export const { O_DIRECT, O_TMPFILE, epoll_event } = PER_ARCH[Deno.build.arch];

// fcntl.h
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_CLOEXEC = 0o2000000;
export const F_DUPFD_CLOEXEC = 1030;
export const O_NONBLOCK = 0o4000;

// sys/random.h
export const GRND_NONBLOCK = 1;

// sys/mman.h
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
export const MAP_ANONYMOUS = 0x20;
export const MAP_NORESERVE = 0x4000;
export const MAP_POPULATE = 0x8000;
export const MADV_HUGEPAGE = 14;
export const MADV_DONTNEED = 4;

// sys/inotify.h
export const IN_MODIFY = 0x2;
export const IN_ATTRIB = 0x4;
export const IN_CLOSE_WRITE = 0x8;
export const IN_MOVED_FROM = 0x40;
export const IN_MOVED_TO = 0x80;
export const IN_CREATE = 0x100;
export const IN_DELETE = 0x200;
export const IN_DELETE_SELF = 0x400;
export const IN_MOVE_SELF = 0x800;
export const IN_Q_OVERFLOW = 0x4000;

// sys/eventfd.h
export const EFD_CLOEXEC = 0o2000000;
export const EFD_NONBLOCK = 0o4000;

// sys/epoll.h
export const EPOLL_CLOEXEC = 0o2000000;
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLL_CTL_MOD = 3;
export const EPOLLIN = 0x001;
export const EPOLLOUT = 0x004;
export const EPOLLERR = 0x008;
export const EPOLLHUP = 0x010;

// poll.h
export const POLLHUP = 0x010;
export const pollfd = struct("struct pollfd", { fd: i32, events: u16, revents: u16 });

// sys/socket.h, sys/un.h
export const AF_UNIX = 1;
export const AF_INET = 2;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
export const SOL_SOCKET = 1;
export const SO_PEERCRED = 17;
export const SCM_RIGHTS = 1;
export const MSG_PEEK = 2;
export const MSG_NOSIGNAL = 0x4000;
export const SHUT_RD = 0;
export const SHUT_WR = 1;
export const msghdr = struct("struct msghdr", {
  msg_name: u64,
  msg_namelen: u32,
  msg_iov: u64,
  msg_iovlen: u64,
  msg_control: u64,
  msg_controllen: u64,
  msg_flags: i32,
});
/** What follows it is `cmsg_len` bytes in all. */
export const cmsghdr = struct("struct cmsghdr", { cmsg_len: u64, cmsg_level: i32, cmsg_type: i32 });
/** `pid`, then `uid` and `gid`: who was at the other end when the socket was connected. */
export const ucred = struct("struct ucred", { pid: i32, uid: u32, gid: u32 });
/** `sun_family`, then the path with its NUL: the longest name a Unix socket can have is one less. */
export const sockaddr_un = struct("struct sockaddr_un", {
  sun_family: u16,
  sun_path: array(u8, 108),
});

// linux/falloc.h
export const FALLOC_FL_KEEP_SIZE = 1;
export const FALLOC_FL_PUNCH_HOLE = 2;
export const FALLOC_FL_ZERO_RANGE = 0x10;

// linux/fs.h; BLKGETSIZE64 is _IOR(0x12, 114, size_t).
export const BLKSSZGET = 0x1268;
export const BLKGETSIZE64 = 0x80081272;
export const BLKPBSZGET = 0x127b;
export const RWF_DSYNC = 2;

// sys/file.h
export const LOCK_SH = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;

// signal.h: the first real-time signal glibc leaves to programs (bits 32 and 33 are its own).
export const SIGRTMIN = 34;
export const SIG_BLOCK = 0;
export const SIGXFSZ = 25;
export const SIGKILL = 9;

// sys/wait.h
export const WNOHANG = 1;

// uio.h
export const iovec = struct("struct iovec", { iov_base: u64, iov_len: u64 });
/** include/uapi/linux/uio.h UIO_MAXIOV: more segments in one call are refused with EINVAL. */
export const IOV_MAX = 1024;

/** asm-generic/statfs.h on 64-bit architectures; of the rest only its size counts. */
export const statfs = struct("struct statfs", { f_type: u64, _rest: array(u64, 14) });
// linux/magic.h: file systems that are memory
export const TMPFS_MAGIC = 0x01021994;
export const RAMFS_MAGIC = 0x858458f6;
export const HUGETLBFS_MAGIC = 0x958458f6;

// time.h, signal.h
export const CLOCK_MONOTONIC = 1;
/** include/uapi/asm-generic/siginfo.h: the signal goes to one thread, named in the union behind `sigev_notify`. */
export const SIGEV_THREAD_ID = 4;
export const sigevent = struct("struct sigevent", {
  sigev_value: u64,
  sigev_signo: i32,
  sigev_notify: i32,
  _tid: i32,
  _rest: array(i32, 11),
});
export const itimerspec = struct("struct itimerspec", {
  it_interval_sec: u64,
  it_interval_nsec: u64,
  it_value_sec: u64,
  it_value_nsec: u64,
});

export const timespec = struct("struct timespec", { tv_sec: u64, tv_nsec: u64 });

// sys/ioctl.h
export const FIONBIO = 0x5421;

// net/if.h and bits/ioctls.h. `ifr_flags` is the first name of a union of 24 bytes; `ifr_mtu` is in it, too.
export const IFNAMSIZ = 16;
export const ifreq = struct("struct ifreq", { ifr_name: array(u8, 16), ifr_flags: array(u64, 3) });
export const IFF_UP = 1;
export const SIOCGIFFLAGS = 0x8913;
export const SIOCSIFFLAGS = 0x8914;
export const SIOCGIFMTU = 0x8921;
export const SIOCSIFMTU = 0x8922;

// linux/if_tun.h
export const IFF_TAP = 0x0002;
export const IFF_NO_PI = 0x1000;
export const IFF_VNET_HDR = 0x4000;
export const IFF_MULTI_QUEUE = 0x0100;
export const IFF_ATTACH_QUEUE = 0x0200;
export const IFF_DETACH_QUEUE = 0x0400;
export const TUNSETIFF = 0x400454ca;
export const TUNSETOFFLOAD = 0x400454d0;
export const TUNSETVNETHDRSZ = 0x400454d8;
export const TUNSETQUEUE = 0x400454d9;
export const TUN_F_CSUM = 0x01;
export const TUN_F_TSO4 = 0x02;
export const TUN_F_TSO6 = 0x04;
export const TUN_F_TSO_ECN = 0x08;
export const TUN_F_USO4 = 0x20;
export const TUN_F_USO6 = 0x40;

/** The number of the capability to make and change network interfaces. */
export const CAP_NET_ADMIN = 12;

// io_uring.h; the three call numbers are the same on every architecture.
export const SYS_io_uring_setup = 425;
export const SYS_io_uring_enter = 426;
export const SYS_io_uring_register = 427;
export const IORING_OFF_SQ_RING = 0;
export const IORING_OFF_SQES = 0x10000000;
export const IORING_FEAT_SINGLE_MMAP = 1;
export const IORING_FEAT_RW_CUR_POS = 8;
export const IORING_ENTER_GETEVENTS = 1;
export const IORING_SETUP_COOP_TASKRUN = 0x100;
export const IORING_SETUP_TASKRUN_FLAG = 0x200;
/** In the submission ring's flags word. */
export const IORING_SQ_TASKRUN = 4;
export const IORING_OP_NOP = 0;
export const IORING_OP_READV = 1;
export const IORING_OP_WRITEV = 2;
export const IORING_OP_FSYNC = 3;
export const IORING_OP_FALLOCATE = 17;
export const IORING_OP_READ = 22;
export const IORING_OP_WRITE = 23;
export const IORING_FSYNC_DATASYNC = 1;

export const io_sqring_offsets = struct("struct io_sqring_offsets", {
  head: u32,
  tail: u32,
  ring_mask: u32,
  ring_entries: u32,
  flags: u32,
  dropped: u32,
  array: u32,
  resv1: u32,
  user_addr: u64,
});
export const io_cqring_offsets = struct("struct io_cqring_offsets", {
  head: u32,
  tail: u32,
  ring_mask: u32,
  ring_entries: u32,
  overflow: u32,
  cqes: u32,
  flags: u32,
  resv1: u32,
  user_addr: u64,
});
export const io_uring_params = struct("struct io_uring_params", {
  sq_entries: u32,
  cq_entries: u32,
  flags: u32,
  sq_thread_cpu: u32,
  sq_thread_idle: u32,
  features: u32,
  wq_fd: u32,
  resv: array(u32, 3),
  sq_off: io_sqring_offsets,
  cq_off: io_cqring_offsets,
});
/** The unions' first names; `rw_flags` is also `fsync_flags`, `addr` also `fallocate`'s length. */
export const io_uring_sqe = struct("struct io_uring_sqe", {
  opcode: u8,
  flags: u8,
  ioprio: u16,
  fd: i32,
  off: u64,
  addr: u64,
  len: u32,
  rw_flags: u32,
  user_data: u64,
  buf_index: u16,
  personality: u16,
  splice_fd_in: i32,
  addr3: u64,
  __pad2: array(u64, 1),
});
export const io_uring_cqe = struct("struct io_uring_cqe", { user_data: u64, res: i32, flags: u32 });
