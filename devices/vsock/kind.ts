/** virtio-vsock as configuration: `--vsock cid=3[,uds=PATH]`. */
import { sockaddr_un } from "../../src/abi/linux.ts";
import {
  type Claim,
  type DeviceKind,
  FlagError,
  type Problem,
} from "../../src/virtio/device_kind.ts";
import { MAX_GUEST_CID, MIN_GUEST_CID } from "./abi.ts";

/** Sockets between guest and host (AF_VSOCK in a Linux guest). */
export interface VsockConfig {
  /** Tells the kinds of devices apart. */
  readonly kind: "vsock";
  /** The guest's context id, 3 to 4294967294. The host is 2. */
  readonly cid: number;
  /**
   * A Unix socket for other programs: `CONNECT <port>` calls the guest; what the guest calls is listened for on
   * `<uds>_<port>`. Made by the machine, and removed at its end. It has SOCK_STREAM only; what the guest calls with
   * SOCK_SEQPACKET is refused, unless this program listens for it (`Machine.listen`).
   */
  readonly uds?: string;
}

type Complain = (code: string, message: string, hint?: string) => void;
/** Bytes a name may have: those of sun_path without its NUL. */
const MAX_SOCKET_PATH = sockaddr_un.size - sockaddr_un.at.sun_path - 1;
/** `_4294967295`: what is behind the path of a listener on the host. */
const PORT_SUFFIX_BYTES = 11;

export const vsockKind: DeviceKind<VsockConfig> = {
  kind: "vsock",
  syntax: "cid=N[,uds=PATH]",

  parse(flag: string): VsockConfig {
    const [, digits, uds] = /^cid=(\d{1,10})(?:,uds=(.+))?$/.exec(flag) ?? [];
    if (digits === undefined) {
      throw new FlagError(
        `Cannot read --vsock "${flag}": it is not cid=N[,uds=PATH]`,
        "write --vsock cid=3, or --vsock cid=3,uds=/tmp/vm.sock for other programs to connect to",
      );
    }
    return { kind: "vsock", cid: Number(digits), ...(uds === undefined ? {} : { uds }) };
  },

  check({ cid, uds }: VsockConfig, report: (problem: Problem) => void): void {
    const complain: Complain = (code, message, hint) =>
      report({ field: "--vsock", code, message, ...(hint === undefined ? {} : { hint }) });
    if (!Number.isInteger(cid) || cid < MIN_GUEST_CID || cid > MAX_GUEST_CID) {
      complain(
        "VSOCK_CID",
        `Cannot give the guest the context id ${cid}: ${MIN_GUEST_CID} to ${MAX_GUEST_CID} are possible`,
        "0 to 2 have a meaning, 2 is the host: write --vsock cid=3",
      );
    }
    if (uds !== undefined) checkPath(uds, complain);
  },

  claims({ uds }: VsockConfig): readonly Claim[] {
    const conflict = {
      alone: true,
      field: "--vsock",
      code: "VSOCK_TWICE",
      hint: "give a machine one vsock device, with a socket of its own",
    };
    // One a machine: a Linux guest takes the first and ignores others.
    const device = { resource: "vsock", description: "a vsock device", ...conflict };
    if (uds === undefined) return [device];
    const socket = { resource: `socket:${uds}`, description: `vsock socket "${uds}"` };
    return [device, { ...socket, ...conflict }];
  },
};

function checkPath(uds: string, complain: Complain): void {
  const bytes = new TextEncoder().encode(uds).length;
  const most = MAX_SOCKET_PATH - PORT_SUFFIX_BYTES;
  if (uds === "" || uds.includes("\0")) {
    return complain("VSOCK_PATH", `Cannot make a vsock socket "${uds}": it is no path`);
  }
  if (bytes > most) {
    return complain(
      "VSOCK_PATH_LENGTH",
      `Cannot make a vsock socket "${uds}": its path has ${bytes} bytes, ${most} fit`,
      "use a shorter path: Unix sockets allow 107 bytes, and _PORT comes behind it",
    );
  }
  const slash = uds.lastIndexOf("/");
  const directory = slash < 0 ? "." : slash === 0 ? "/" : uds.slice(0, slash);
  if (!isDirectory(directory)) {
    return complain(
      "VSOCK_DIRECTORY",
      `Cannot make a vsock socket "${uds}": there is no directory "${directory}"`,
      "create the directory first",
    );
  }
  if (isOccupied(uds)) {
    complain(
      "VSOCK_EXISTS",
      `Cannot make a vsock socket "${uds}": there is something else of that name`,
      "choose another name; only a socket that nobody uses any more is replaced",
    );
  }
}

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

/** Whether something is there that is no socket; whether somebody uses a socket shows when it is made. */
function isOccupied(path: string): boolean {
  try {
    return Deno.lstatSync(path).isSocket !== true;
  } catch (error) {
    return !(error instanceof Deno.errors.NotFound);
  }
}
