/** File descriptors with one owner each, and a count of those alive so that tests can see a leak. */
import { F_DUPFD_CLOEXEC, O_CLOEXEC } from "../abi/linux.ts";
import { cString, libc } from "./libc.ts";
import { check } from "./sys_error.ts";

declare const fdBrand: unique symbol;
/** A descriptor number, as shared with other isolates; only its `OwnedFd` may close it. */
export type FdNumber = number & { readonly [fdBrand]: true };

let live = 0;

/** How many `OwnedFd`s of this isolate are open. */
export function liveFds(): number {
  return live;
}

/** A descriptor this object closes, once. */
export class OwnedFd implements Disposable {
  readonly number: FdNumber;
  #open = true;

  constructor(number: number) {
    this.number = number as FdNumber;
    live++;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    live--;
    libc().close(this.number);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** A second descriptor for what `fd` is: epoll takes each of them once. Throws SysError. */
export function duplicate(fd: OwnedFd): OwnedFd {
  return new OwnedFd(check(libc().fcntl(fd.number, F_DUPFD_CLOEXEC, 0), "fcntl F_DUPFD_CLOEXEC"));
}

/** Opens `path` with O_CLOEXEC added. Throws SysError. */
export function openFile(path: string, flags: number): OwnedFd {
  return new OwnedFd(check(libc().open(cString(path), flags | O_CLOEXEC, 0), `open "${path}"`));
}
