/** Memory mappings with one owner each: guest RAM, kvm_run pages, io_uring rings. */
import {
  MADV_DONTNEED,
  MADV_HUGEPAGE,
  MAP_ANONYMOUS,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "../abi/linux.ts";
import type { FdNumber } from "./fd.ts";
import { errno, libc } from "./libc.ts";
import { check, SysError } from "./sys_error.ts";

const MAP_FAILED = 2n ** 64n - 1n;
const HUGE_PAGE = 2 ** 21;
const PAGE = 4096;
/** Looked at in one call. */
const LOOK_BYTES = 2 ** 28;
let live = 0;

/** How many mappings of this isolate are open. */
export function liveMappings(): number {
  return live;
}

/** The bytes at [address, address + size) of this process, mapped by any isolate of it. */
export function bytesAt(address: number, size: number): ArrayBuffer {
  const pointer = Deno.UnsafePointer.create(BigInt(address));
  if (pointer === null) throw new Error("Cannot view memory at address 0");
  // SAFETY: callers pass a mapping that its owner unmaps only after every isolate said goodbye (design.md 5).
  return Deno.UnsafePointerView.getArrayBuffer(pointer, size);
}

/** A mapping this object unmaps, once. No view over it may be used after that. */
export class Mapping implements Disposable {
  #open = true;

  private constructor(readonly address: number, readonly size: number) {
    live++;
  }

  static #map(size: number, flags: number, fd: number, offset: number, what: string): Mapping {
    const address = libc().mmap(
      0n,
      BigInt(size),
      PROT_READ | PROT_WRITE,
      flags,
      fd,
      BigInt(offset),
    );
    if (address === MAP_FAILED) throw new SysError(`mmap of ${size} bytes for ${what}`, errno());
    return new Mapping(Number(address), size);
  }

  /** `size` bytes of zeroes, given to the process page by page when touched. */
  static anonymous(size: number, what: string): Mapping {
    return Mapping.#map(size, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, what);
  }

  /**
   * The same at an address where huge pages can begin, and asking for them: guest RAM is touched by the processor
   * through two sets of page tables and pinned page by page for O_DIRECT, both far cheaper in 2 MiB pieces.
   */
  static huge(size: number, what: string): Mapping {
    const loose = Mapping.#map(
      size + HUGE_PAGE,
      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
      -1,
      0,
      what,
    );
    const address = Math.ceil(loose.address / HUGE_PAGE) * HUGE_PAGE;
    unmap(loose.address, address - loose.address);
    unmap(address + size, loose.address + HUGE_PAGE - address);
    live--; // the loose one is no more; what is left of it is the new one
    const mapping = new Mapping(address, size);
    libc().madvise(BigInt(address), BigInt(size), MADV_HUGEPAGE); // refused where the kernel has none: then without
    return mapping;
  }

  /** `size` bytes of `fd` from `offset`, shared with the kernel or other processes. */
  static shared(fd: FdNumber, size: number, offset: number, what: string): Mapping {
    return Mapping.#map(size, MAP_SHARED | MAP_NORESERVE, fd, offset, what);
  }

  /** The bytes as an ArrayBuffer; every call makes a new one. */
  buffer(): ArrayBuffer {
    return bytesAt(this.address, this.size);
  }

  /** Bytes of it that lie in memory now. Looks at each page: 4 GiB take a millisecond. */
  residentBytes(): number {
    let pages = 0;
    for (let at = 0; this.#open && at < this.size; at += LOOK_BYTES) {
      const length = Math.min(LOOK_BYTES, this.size - at);
      const vector = new Uint8Array(Math.ceil(length / PAGE));
      check(libc().mincore(BigInt(this.address + at), BigInt(length), vector), "mincore");
      for (const page of vector) pages += page & 1;
    }
    return pages * PAGE;
  }

  unmap(): void {
    if (!this.#open) return;
    this.#open = false;
    live--;
    unmap(this.address, this.size);
  }

  /**
   * Instead of `unmap` when the kernel may still write there, for a request that hangs: gives the pages back and keeps the
   * addresses for ever, so that nothing else can come to lie where a late write goes.
   */
  abandon(): void {
    if (!this.#open) return;
    this.#open = false;
    libc().madvise(BigInt(this.address), BigInt(this.size), MADV_DONTNEED);
  }

  [Symbol.dispose](): void {
    this.unmap();
  }
}

function unmap(address: number, size: number): void {
  if (size > 0) check(libc().munmap(BigInt(address), BigInt(size)), "munmap");
}
