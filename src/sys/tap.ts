/** Tap interfaces (Documentation/networking/tuntap.rst): Ethernet cards of the host whose cable ends in a descriptor. */
import {
  AF_INET,
  IFF_ATTACH_QUEUE,
  IFF_DETACH_QUEUE,
  IFF_MULTI_QUEUE,
  IFF_NO_PI,
  IFF_TAP,
  IFF_UP,
  IFF_VNET_HDR,
  IFNAMSIZ,
  ifreq,
  O_NONBLOCK,
  O_RDWR,
  SIOCGIFFLAGS,
  SIOCGIFMTU,
  SIOCSIFFLAGS,
  SIOCSIFMTU,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  TUN_F_CSUM,
  TUN_F_TSO4,
  TUN_F_TSO6,
  TUN_F_TSO_ECN,
  TUN_F_USO4,
  TUN_F_USO6,
  TUNSETIFF,
  TUNSETOFFLOAD,
  TUNSETQUEUE,
  TUNSETVNETHDRSZ,
} from "../abi/linux.ts";
import { type FdNumber, openFile, OwnedFd } from "./fd.ts";
import { errno, libc } from "./libc.ts";
import { check, EACCES, EBADFD, EBUSY, EINVAL, ENOENT, EPERM, SysError } from "./sys_error.ts";

const TUN = "/dev/net/tun";
const ALL_OFFLOADS = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_USO4 | TUN_F_USO6;
const BOTH_USO = TUN_F_USO4 | TUN_F_USO6;
/** Linux before 6.2 knows no USO; some before 2.6.27 no offloads at all. */
const OFFLOAD_SETS = [ALL_OFFLOADS, ALL_OFFLOADS & ~BOTH_USO, 0];

/** How to open one. */
export interface TapOptions {
  /** At most 15 bytes. */
  readonly name: string;
  /** Queues; more than one asks for a multi-queue interface. */
  readonly queues: number;
  /** Bytes of the virtio header in front of every packet. */
  readonly headerBytes: number;
  /** Set on the interface when it has another. */
  readonly mtu?: number;
}

/** An interface attached. One that was not there before is made, brought up, and gone again after `close`. */
export class Tap implements Disposable {
  readonly #fds: OwnedFd[] = [];
  /** Offloads the host's stack does for us and may leave to us: TUN_F_*. */
  readonly offloads: number;
  /** Longest IP packet of the interface in bytes, as it was when we came. */
  readonly mtu: number;

  /** Throws SysError, with a hint. */
  constructor(options: TapOptions) {
    try {
      using control = new OwnedFd(
        check(libc().socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket for interfaces"),
      );
      const existed =
        libc().ioctl_buffer(control.number, SIOCGIFFLAGS, request(options.name)) === 0;
      for (let queue = 0; queue < options.queues; queue++) this.#attach(options);
      if (options.mtu !== undefined) setMtu(control.number, options.name, options.mtu);
      this.mtu = mtuOf(control.number, options.name);
      if (!existed) bringUp(control.number, options.name);
      this.offloads = this.#probeOffloads();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #attach({ name, queues, headerBytes }: TapOptions): void {
    const fd = openTun();
    this.#fds.push(fd);
    const flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (queues > 1 ? IFF_MULTI_QUEUE : 0);
    if (libc().ioctl_buffer(fd.number, TUNSETIFF, request(name, flags)) === -1) {
      const number = errno();
      throw new SysError(`attach to tap "${name}"`, number, attachHint(name, number));
    }
    const size = new Uint8Array(Int32Array.of(headerBytes).buffer);
    check(libc().ioctl_buffer(fd.number, TUNSETVNETHDRSZ, size), "TUNSETVNETHDRSZ");
  }

  #probeOffloads(): number {
    for (const offloads of OFFLOAD_SETS) {
      if (libc().ioctl(this.fd(0), TUNSETOFFLOAD, offloads) === 0) {
        this.setOffloads(0);
        return offloads;
      }
    }
    return 0;
  }

  /** The descriptor of a queue: packets with their header, non-blocking. */
  fd(queue: number): FdNumber {
    return (this.#fds[queue] as OwnedFd).number;
  }

  /**
   * What the host's stack may leave undone in packets that we read: these, or fewer where it cannot tell them apart. False:
   * the interface is gone.
   */
  setOffloads(offloads: number): boolean {
    // Both or none (tun.c set_offload); what a guest takes is its own choice.
    const possible = (offloads & BOTH_USO) === BOTH_USO ? offloads : offloads & ~BOTH_USO;
    return isThere(libc().ioctl(this.fd(0), TUNSETOFFLOAD, possible), "TUNSETOFFLOAD", EBADFD);
  }

  /** Whether a queue of a multi-queue interface takes part; all do at the start. False: the interface is gone. */
  setAttached(queue: number, attached: boolean): boolean {
    const flags = attached ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE;
    const result = libc().ioctl_buffer(this.fd(queue), TUNSETQUEUE, request("", flags));
    return isThere(result, "TUNSETQUEUE", EINVAL);
  }

  close(): void {
    for (const fd of this.#fds) fd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Whether `call` found its interface, which may be deleted at any time: then it fails with `gone`. Throws SysError. */
function isThere(result: number, call: string, gone: number): boolean {
  if (result !== -1) return true;
  const number = errno();
  if (number === gone || number === EBADFD) return false;
  throw new SysError(call, number);
}

function openTun(): OwnedFd {
  try {
    return openFile(TUN, O_RDWR | O_NONBLOCK);
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    const hint = error.errno === ENOENT
      ? "load its module: sudo modprobe tun"
      : error.errno === EACCES
      ? `let your user open it: sudo chmod 666 ${TUN}`
      : undefined;
    throw new SysError(error.call, error.errno, hint);
  }
}

function attachHint(name: string, number: number): string | undefined {
  switch (number) {
    case EPERM:
      return `make it for your user: sudo ip tuntap add "${name}" mode tap user "$USER" vnet_hdr`;
    case EBUSY:
      return "another machine uses it: give each its own";
    case EINVAL:
      return "it is no tap, or has more queues or fewer than queues= says";
  }
  return undefined;
}

/** A struct ifreq with a name and a number of 32 bits, the flags' low half among them. */
function request(name: string, value = 0): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(ifreq.size);
  new TextEncoder().encodeInto(name, bytes.subarray(0, IFNAMSIZ - 1));
  new DataView(bytes.buffer).setUint32(ifreq.at.ifr_flags, value, true);
  return bytes;
}

function numberOf(bytes: Uint8Array<ArrayBuffer>): number {
  return new DataView(bytes.buffer).getUint32(ifreq.at.ifr_flags, true);
}

function mtuOf(control: FdNumber, name: string): number {
  const present = request(name);
  check(libc().ioctl_buffer(control, SIOCGIFMTU, present), `read the MTU of "${name}"`);
  return numberOf(present);
}

function setMtu(control: FdNumber, name: string, mtu: number): void {
  if (mtuOf(control, name) === mtu) return;
  if (libc().ioctl_buffer(control, SIOCSIFMTU, request(name, mtu)) === 0) return;
  throw new SysError(
    `set the MTU of "${name}" to ${mtu}`,
    errno(),
    `set it beforehand: sudo ip link set "${name}" mtu ${mtu}`,
  );
}

function bringUp(control: FdNumber, name: string): void {
  const flags = request(name);
  check(libc().ioctl_buffer(control, SIOCGIFFLAGS, flags), `look at "${name}"`);
  const up = request(name, (numberOf(flags) & 0xffff) | IFF_UP);
  check(libc().ioctl_buffer(control, SIOCSIFFLAGS, up), `bring "${name}" up`);
}
