/**
 * The one table of the C library's functions this project calls. Everything in `src/sys` goes through `libc()`;
 * nothing above `src/sys` sees it. Libraries a host may lack are opened by `shared_library.ts`.
 */

// Sizes are i32/u32 where the range allows: a JS number in a 64-bit parameter costs 100 ns (codebases.md).
// `long`-sized results of read/write are declared i32: no caller asks for 2 GiB at once.
const SYMBOLS = {
  // int *__errno_location(void);
  __errno_location: { parameters: [], result: "pointer" },
  // int open(const char *path, int flags, ...);
  open: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  // int close(int fd);
  close: { parameters: ["i32"], result: "i32" },
  // ssize_t read(int fd, void *buf, size_t count);
  read: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // ssize_t write(int fd, const void *buf, size_t count);
  write: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // ssize_t preadv(int fd, const struct iovec *iov, int iovcnt, off_t offset);
  preadv: { parameters: ["i32", "buffer", "i32", "i64"], result: "i32" },
  // ssize_t pwritev2(int fd, const struct iovec *iov, int iovcnt, off_t offset, int flags);
  pwritev2: { parameters: ["i32", "buffer", "i32", "i64", "i32"], result: "i32" },
  // ssize_t readv(int fd, const struct iovec *iov, int iovcnt);
  readv: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  // ssize_t writev(int fd, const struct iovec *iov, int iovcnt);
  writev: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  // int fcntl(int fd, int cmd, int arg);
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  // int socket(int domain, int type, int protocol);
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  // int socketpair(int domain, int type, int protocol, int sv[2]);
  socketpair: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  // int bind(int sockfd, const struct sockaddr *addr, socklen_t addrlen);
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // int connect(int sockfd, const struct sockaddr *addr, socklen_t addrlen);
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // int listen(int sockfd, int backlog);
  listen: { parameters: ["i32", "i32"], result: "i32" },
  // int accept4(int sockfd, struct sockaddr *addr, socklen_t *addrlen, int flags);
  accept4: { parameters: ["i32", "pointer", "pointer", "i32"], result: "i32" },
  // void *memcpy(void *dest, const void *src, size_t n); between addresses
  memcpy: { parameters: ["usize", "usize", "u32"], result: "void" },
  // int posix_spawn_file_actions_init(posix_spawn_file_actions_t *file_actions); and its kin
  posix_spawn_file_actions_init: { parameters: ["buffer"], result: "i32" },
  posix_spawn_file_actions_adddup2: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  posix_spawn_file_actions_destroy: { parameters: ["buffer"], result: "i32" },
  // int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *file_actions,
  //   const posix_spawnattr_t *attrp, char *const argv[], char *const envp[]); returns an errno
  posix_spawnp: {
    parameters: ["buffer", "buffer", "buffer", "pointer", "buffer", "buffer"],
    result: "i32",
  },
  // int kill(pid_t pid, int sig);
  kill: { parameters: ["i32", "i32"], result: "i32" },
  // pid_t waitpid(pid_t pid, int *wstatus, int options);
  waitpid: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  // int poll(struct pollfd *fds, nfds_t nfds, int timeout);
  poll: { parameters: ["buffer", "u32", "i32"], result: "i32" },
  // int shutdown(int sockfd, int how);
  shutdown: { parameters: ["i32", "i32"], result: "i32" },
  // int getsockopt(int sockfd, int level, int optname, void *optval, socklen_t *optlen);
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
  // ssize_t recv(int sockfd, void *buf, size_t len, int flags);
  recv: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" },
  // ssize_t send(int sockfd, const void *buf, size_t len, int flags);
  send: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" },
  // ssize_t sendmsg(int sockfd, const struct msghdr *msg, int flags);
  sendmsg: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  // the same for descriptors, once in a process
  sendmsg_rights: { name: "sendmsg", parameters: ["i32", "buffer", "i32"], result: "i32" },
  // int fdatasync(int fd);
  fdatasync: { parameters: ["i32"], result: "i32" },
  // int fallocate(int fd, int mode, off_t offset, off_t len);
  fallocate: { parameters: ["i32", "i32", "i64", "i64"], result: "i32" },
  // int ftruncate(int fd, off_t length);
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  // int fstatfs(int fd, struct statfs *buf);
  fstatfs: { parameters: ["i32", "buffer"], result: "i32" },
  // ssize_t getrandom(void *buf, size_t buflen, unsigned int flags); into guest RAM, so by address
  getrandom: { parameters: ["usize", "u32", "u32"], result: "i32" },
  // int flock(int fd, int operation);
  flock: { parameters: ["i32", "i32"], result: "i32" },
  // int ioctl(int fd, unsigned long request, ...); by what the argument is:
  ioctl: { parameters: ["i32", "u32", "i32"], result: "i32" },
  ioctl_run: { name: "ioctl", parameters: ["i32", "u32", "i32"], result: "i32" }, // KVM_RUN, again and again
  ioctl_buffer: { name: "ioctl", parameters: ["i32", "u32", "buffer"], result: "i32" },
  ioctl_address: { name: "ioctl", parameters: ["i32", "u32", "usize"], result: "i32" },
  // void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
  mmap: { parameters: ["usize", "usize", "i32", "i32", "i32", "i64"], result: "usize" },
  // int munmap(void *addr, size_t length);
  munmap: { parameters: ["usize", "usize"], result: "i32" },
  // int madvise(void *addr, size_t length, int advice);
  madvise: { parameters: ["usize", "usize", "i32"], result: "i32" },
  // int mincore(void *addr, size_t length, unsigned char *vec);
  mincore: { parameters: ["usize", "usize", "buffer"], result: "i32" },
  // void *memmem(const void *haystack, size_t haystacklen, const void *needle, size_t needlelen);
  memmem: { parameters: ["buffer", "usize", "buffer", "usize"], result: "usize" },
  // int eventfd(unsigned int initval, int flags);
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  // int epoll_create1(int flags);
  epoll_create1: { parameters: ["i32"], result: "i32" },
  // int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);
  epoll_ctl: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  // int epoll_wait(int epfd, struct epoll_event *events, int maxevents, int timeout);
  epoll_wait: { parameters: ["i32", "buffer", "i32", "i32"], result: "i32" },
  // pid_t gettid(void); since glibc 2.30, as tgkill
  gettid: { parameters: [], result: "i32" },
  // pid_t getpid(void);
  getpid: { parameters: [], result: "i32" },
  // int tgkill(pid_t tgid, pid_t tid, int sig);
  tgkill: { parameters: ["i32", "i32", "i32"], result: "i32" },
  // int pthread_sigmask(int how, const sigset_t *set, sigset_t *oldset); returns an errno, does not set it
  pthread_sigmask: { parameters: ["i32", "buffer", "pointer"], result: "i32" },
  // int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout);
  sigtimedwait: { parameters: ["buffer", "pointer", "buffer"], result: "i32" },
  // int timer_create(clockid_t clockid, struct sigevent *sevp, timer_t *timerid); in libc itself since glibc 2.34
  timer_create: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  // int timer_settime(timer_t timerid, int flags, const struct itimerspec *new, struct itimerspec *old);
  timer_settime: { parameters: ["usize", "i32", "buffer", "pointer"], result: "i32" },
  // int timer_delete(timer_t timerid);
  timer_delete: { parameters: ["usize"], result: "i32" },
  // int tcgetattr(int fd, struct termios *termios_p);
  tcgetattr: { parameters: ["i32", "buffer"], result: "i32" },
  // int tcsetattr(int fd, int optional_actions, const struct termios *termios_p);
  tcsetattr: { parameters: ["i32", "i32", "buffer"], result: "i32" },
  // void cfmakeraw(struct termios *termios_p);
  cfmakeraw: { parameters: ["buffer"], result: "void" },
  // long syscall(long number, ...); for io_uring, which libc does not wrap
  syscall_setup: { name: "syscall", parameters: ["i32", "u32", "buffer"], result: "i32" },
  syscall_enter: {
    name: "syscall",
    parameters: ["i32", "i32", "u32", "u32", "u32", "pointer", "usize"],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** The C functions, typed from the table. */
export type Libc = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

// Deno's Linux builds are glibc builds. An absolute path lets users scope --allow-ffi to this one file.
const CANDIDATES = [
  `/lib/${Deno.build.arch}-linux-gnu/libc.so.6`, // Debian, Ubuntu
  "/lib64/libc.so.6", // Fedora, SUSE
  "/usr/lib/libc.so.6", // Arch
  "libc.so.6", // whatever the loader finds; needs an unscoped --allow-ffi
];

/**
 * Called for each request, packet or exit of a guest. Binding one takes 0.3 ms, the first one of an isolate 1 ms, for Deno
 * compiles a trampoline; what is called a few times goes by its address, for 1 to 2 µs a call and nothing before.
 */
const HOT: ReadonlySet<keyof typeof SYMBOLS> = new Set([
  "read",
  "write",
  "readv",
  "writev",
  "preadv",
  "pwritev2",
  "recv",
  "send",
  "sendmsg",
  "memcpy",
  "getrandom",
  "ioctl_run",
  "epoll_wait",
  "syscall_enter",
]);

type Callable = Omit<Deno.ForeignFunction, "nonblocking">;

let symbols: Libc | undefined;

/** The C library, opened on first use in each isolate. Throws when none of the usual places has one. */
export function libc(): Libc {
  if (symbols !== undefined) return symbols;
  symbols = openLibc();
  // Found before anything can fail: to look for it when something has, Deno and V8 would run code that sets it anew.
  errnoWord = errnoOf(symbols);
  errno(); // compiled, for the same reason
  return symbols;
}

function openLibc(): Libc {
  const failures: string[] = [];
  for (const path of CANDIDATES) {
    try {
      // Its address and no other: to look one up when it is needed takes 20 µs, a table of all of them 2 ms.
      const { dlsym } = Deno.dlopen(path, { dlsym: { type: "pointer", optional: true } }).symbols;
      return boundOnFirstUse(path, addressesOf(path, dlsym));
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable) throw error;
      failures.push(`${path}: ${error instanceof Error ? error.message : error}`);
    }
  }
  throw new Error(`Cannot open the C library: ${failures.join("; ")}`);
}

/** void *dlsym(void *handle, const char *symbol); in libc itself since glibc 2.34. */
const DLSYM = { parameters: ["pointer", "buffer"], result: "pointer" } as const;
/** As dlsym's handle: everything this process has loaded. */
const RTLD_DEFAULT = null;

type AddressOf = (name: string) => Deno.PointerObject;

/** Finds the C library's functions, which the process runs on itself. Throws when there is none of a name. */
function addressesOf(path: string, dlsym: Deno.PointerValue | undefined): AddressOf {
  const find = dlsym ? byAddress(dlsym, DLSYM) : () => null;
  return (name) => {
    const address = find(RTLD_DEFAULT, cString(name));
    if (address !== null) return address;
    throw new Error(`Cannot find ${name} in ${path}: glibc 2.34 or newer is needed`);
  };
}

/** The table with each function made when it is first asked for: no isolate uses half of them. */
function boundOnFirstUse(path: string, addressOf: AddressOf): Libc {
  const bound = {};
  for (const key of Object.keys(SYMBOLS) as (keyof typeof SYMBOLS)[]) {
    Object.defineProperty(bound, key, {
      configurable: true,
      get() {
        const symbol = SYMBOLS[key];
        const value = HOT.has(key)
          ? Deno.dlopen(path, { [key]: symbol }).symbols[key]
          : byAddress(addressOf("name" in symbol ? symbol.name : key), symbol);
        Object.defineProperty(bound, key, { value });
        return value;
      },
    });
  }
  // SAFETY of the cast: one property for each name in the table, of the function the table says.
  return bound as Libc;
}

function byAddress<const Type extends Callable>(
  address: Deno.PointerObject,
  type: Type,
): Deno.UnsafeFnPointer<Type>["call"] {
  // SAFETY of the cast: callers say what is there.
  const pointer = new Deno.UnsafeFnPointer(address as Deno.PointerObject<Type>, type);
  return pointer.call.bind(pointer);
}

let errnoWord: Int32Array | undefined;

/**
 * The calling thread's errno; to be read before any other call. The location is cached per isolate,
 * which is sound because an isolate stays on one thread (and no `nonblocking` call is used).
 */
export function errno(): number {
  return errnoWord?.[0] ?? 0; // nothing has failed before the library was opened
}

function errnoOf({ __errno_location }: Libc): Int32Array<ArrayBuffer> {
  const pointer = __errno_location();
  if (pointer === null) throw new Error("Cannot find errno");
  // SAFETY: glibc returns the address of the calling thread's int, valid as long as the thread lives.
  return new Int32Array(Deno.UnsafePointerView.getArrayBuffer(pointer, 4));
}

const encoder = new TextEncoder();

/** A NUL-terminated UTF-8 string for a `const char *` parameter. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(`${text}\0`);
}

/** The address of a typed array's first byte. The caller keeps the array alive while the kernel uses it. */
export function addressOf(bytes: Uint8Array<ArrayBuffer> | Uint32Array<ArrayBuffer>): number {
  // SAFETY: V8 does not move the backing stores of ArrayBuffers.
  return Number(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes)));
}
