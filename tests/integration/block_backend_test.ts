/** Disk backends on real files, without a VM: what is promised of them that a guest cannot see. Needs no KVM. */
import type { BlockBackend } from "../../devices/block/backend.ts";
import { openFileBackend } from "../../devices/block/file_backend.ts";
import { SyncBackend } from "../../devices/block/sync_backend.ts";
import { UringBackend } from "../../devices/block/uring_backend.ts";
import { O_DIRECT, O_RDONLY } from "../../src/abi/linux.ts";
import { EpollLoop } from "../../src/loop/epoll_loop.ts";
import type { EventLoop } from "../../src/loop/event_loop.ts";
import {
  assertEquals,
  assertGreater,
  assertInstanceOf,
  assertThrows,
} from "../../src/std/assert.ts";
import { Mapping } from "../../src/sys/mmap.ts";
import { SysError } from "../../src/sys/sys_error.ts";
import { IovecList } from "../../src/virtio/iovec_list.ts";
import { DiskDirectory } from "../support/disk_image.ts";
import { dirtyPages, dirtyPagesRefusal } from "../support/host_state.ts";

const DISK_BYTES = 2 ** 20;
/** fcntl.h: of the flags, how a file is open. */
const O_ACCMODE = 3;
const ENGINES = ["io_uring", "sync"] as const;

const refusal = dirtyPagesRefusal();
if (refusal !== undefined) console.log(`ignored: ${refusal}`);

/** One page written at offset 0; ends when the backend says so, with its result. */
function writePage(backend: BlockBackend, loop: EpollLoop, durable: boolean): number {
  using page = Mapping.anonymous(4096, "a test's page");
  new Uint8Array(page.buffer()).fill(0x5a);
  const iovecs = new IovecList();
  iovecs.add(page.address, page.size);
  let ended: number | undefined;
  backend.attach({
    completed: (_tag, result) => {
      ended = result;
      loop.stop();
    },
    batchEnd: () => {},
  });
  backend.write(0, iovecs, 0, durable);
  backend.submit();
  if (ended === undefined) loop.run();
  return ended ?? NaN;
}

for (const engine of ENGINES) {
  Deno.test({
    name: `${engine}: a durable write leaves no page in memory only, another one does`,
    ignore: refusal !== undefined,
    fn: async () => {
      using directory = new DiskDirectory();
      const path = directory.empty("disk.img", DISK_BYTES);
      using loop = new EpollLoop();
      const backend = openFileBackend({ path, readOnly: false, direct: false, engine }, loop);

      assertEquals(writePage(backend, loop, true), 4096);
      assertEquals(await dirtyPages(path), 0);
      assertEquals(writePage(backend, loop, false), 4096);
      assertGreater(await dirtyPages(path), 0);

      backend.close();
    },
  });
}

for (const direct of [true, false]) {
  Deno.test(`direct=${direct} decides whether the file is open with O_DIRECT`, () => {
    using directory = new DiskDirectory();
    const path = directory.empty("disk.img", DISK_BYTES);
    using loop = new EpollLoop();
    const backend = openFileBackend({ path, readOnly: false, direct }, loop);
    assertEquals((openFlags(path) & O_DIRECT) !== 0, direct);
    backend.close();
  });
}

Deno.test("a disk with an overlay is open for reading only, and the overlay has no name", () => {
  using directory = new DiskDirectory();
  using scratch = new DiskDirectory();
  const path = directory.empty("disk.img", DISK_BYTES);
  const before = Deno.env.get("TMPDIR");
  Deno.env.set("TMPDIR", scratch.path);
  try {
    using loop = new EpollLoop();
    const options = { path, readOnly: false, direct: true, overlay: true };
    const backend = openFileBackend(options, loop);
    assertEquals(backend.readOnly, false);
    assertEquals(openFlags(path) & O_ACCMODE, O_RDONLY);
    assertEquals([...Deno.readDirSync(scratch.path)], []);
    assertEquals(writePage(backend, loop, true), 4096);
    const overlays = openFiles().filter((file) => file.startsWith(scratch.path));
    assertEquals(overlays.length, 1, overlays.join());
    backend.close();
    assertEquals(openFiles().filter((file) => file.startsWith(scratch.path)), []);
    assertEquals(Deno.readFileSync(path), new Uint8Array(DISK_BYTES));
  } finally {
    if (before === undefined) Deno.env.delete("TMPDIR");
    else Deno.env.set("TMPDIR", before);
  }
});

function openFiles(): string[] {
  return [...Deno.readDirSync("/proc/self/fd")].flatMap(({ name }) => {
    try {
      return [Deno.readLinkSync(`/proc/self/fd/${name}`)];
    } catch {
      return []; // the descriptor the listing itself was read through
    }
  });
}

/** The flags `path` is open with in this process (proc(5), fdinfo). */
function openFlags(path: string): number {
  for (const { name } of Deno.readDirSync("/proc/self/fd")) {
    try {
      if (Deno.readLinkSync(`/proc/self/fd/${name}`) !== path) continue;
    } catch {
      continue; // the descriptor the listing itself was read through
    }
    const info = Deno.readTextFileSync(`/proc/self/fdinfo/${name}`);
    return parseInt(/^flags:\s*(\d+)/m.exec(info)?.[1] ?? "", 8);
  }
  throw new Error(`Cannot find a descriptor of "${path}"`);
}

/** A loop in whose process io_uring is forbidden: where the real one fails, this does. */
const WITHOUT_IO_URING: EventLoop = {
  now: 0,
  watch() {
    throw new SysError("io_uring_setup", 38);
  },
  timer() {
    throw new Error("no timers here");
  },
  poll() {
    throw new Error("nothing to look at here");
  },
  defer() {},
};

Deno.test("where io_uring is not to be had, auto takes plain system calls, io_uring is refused", () => {
  using directory = new DiskDirectory();
  const options = { path: directory.empty("disk.img", DISK_BYTES), readOnly: false, direct: false };
  const backend = openFileBackend(options, WITHOUT_IO_URING);
  assertInstanceOf(backend, SyncBackend);
  backend.close();
  assertThrows(
    () => openFileBackend({ ...options, engine: "io_uring" }, WITHOUT_IO_URING),
    SysError,
  );
});

Deno.test("where io_uring is to be had, auto takes it", () => {
  using directory = new DiskDirectory();
  using loop = new EpollLoop();
  const path = directory.empty("disk.img", DISK_BYTES);
  const backend = openFileBackend({ path, readOnly: false, direct: false }, loop);
  assertInstanceOf(backend, UringBackend);
  backend.close();
});
