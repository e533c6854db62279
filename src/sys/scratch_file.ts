/** Files without a name, for what need not outlive its user: the kernel frees them with the last descriptor. */
import { O_CLOEXEC, O_CREAT, O_EXCL, O_RDWR, O_TMPFILE } from "../abi/linux.ts";
import { OwnedFd } from "./fd.ts";
import { cString, errno, libc } from "./libc.ts";
import { EINVAL, EISDIR, ENOENT, EOPNOTSUPP, SysError } from "./sys_error.ts";

/** Readable by us alone: it holds a guest's disk. */
const MODE = 0o600;
/** What kernels and file systems say that do not know O_TMPFILE. */
const UNKNOWN = [EISDIR, ENOENT, EOPNOTSUPP, EINVAL];

/**
 * Where such files go: $TMPDIR, else /var/tmp, which unlike /tmp lies on a disk on most hosts, for they can become as
 * large as what they stand in for.
 */
export function scratchDirectory(): string {
  try {
    return Deno.env.get("TMPDIR") || "/var/tmp";
  } catch {
    return "/var/tmp"; // without --allow-env
  }
}

/**
 * An open file of `bytes` zeroes in `directory` that takes room as it is written. Throws SysError: ENOENT, EACCES,
 * EFBIG (larger than the file system, or `ulimit -f`, allows).
 */
export function openScratchFile(directory: string, bytes: number): OwnedFd {
  const fd = openNameless(directory);
  if (libc().ftruncate(fd.number, BigInt(bytes)) === 0) return fd;
  const number = errno();
  fd.close();
  throw refusal(`make a file of ${bytes} bytes in "${directory}"`, number);
}

function openNameless(directory: string): OwnedFd {
  const fd = libc().open(cString(directory), O_TMPFILE | O_RDWR | O_CLOEXEC, MODE);
  if (fd !== -1) return new OwnedFd(fd);
  const number = errno();
  if (UNKNOWN.includes(number)) return openAndUnlink(directory);
  throw refusal(`make a file in "${directory}"`, number);
}

/** Where O_TMPFILE is not known the file has a name for a moment. */
function openAndUnlink(directory: string): OwnedFd {
  const path = `${directory}/dinovisor-${crypto.randomUUID()}`;
  const fd = libc().open(cString(path), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, MODE);
  if (fd === -1) throw refusal(`make a file in "${directory}"`, errno());
  const file = new OwnedFd(fd);
  Deno.removeSync(path);
  return file;
}

function refusal(what: string, number: number): SysError {
  return new SysError(
    what,
    number,
    "name a directory with room and the right to write: TMPDIR=/var/tmp",
  );
}
