/** What a card may be connected to, as configuration: read from a flag, checked, named as a claim. Used by `kind.ts`. */
import { type Claim, FlagError } from "../../src/virtio/device_kind.ts";

/** An interface of the host, made when it is not there. */
export interface TapConfig {
  readonly type: "tap";
  /** As `ip link` shows it. */
  readonly name: string;
  /** Pairs of queues; 1 when left out. */
  readonly queues?: number;
}

/** A port of the host that leads into the guest, by TCP. */
export interface PortForward {
  /** 127.0.0.1 when left out. */
  readonly address?: string;
  readonly hostPort: number;
  readonly guestPort: number;
}

/** The host's own network, by way of passt; needs no privileges. */
export interface UserConfig {
  readonly type: "user";
  /** Ports of the host that lead into the guest. */
  readonly forwards?: readonly PortForward[];
}

/** A Unix stream socket with QEMU's framing (`-netdev stream`): another program is the network. */
export interface SocketConfig {
  readonly type: "socket";
  readonly path: string;
  /** We listen there; otherwise somebody else does, sooner or later. */
  readonly listen?: boolean;
}

/** A switch of this process, where other machines are: `backend` of a `Switch`. For any number of cards. */
export interface SwitchConfig {
  /** Tells the kinds of connections apart. */
  readonly type: "switch";
  /** A name that only this process can call. */
  readonly switch: string;
}

/** The program that made the machine is the network: `backend` of a `FrameStream`. For one card at a time. */
export interface StreamConfig {
  readonly type: "stream";
  /** A name that only this process answers at. */
  readonly stream: string;
  /** What the program knows its card by. */
  readonly token: string;
}

/** What a card is connected to. */
export type NetBackendConfig = TapConfig | UserConfig | SocketConfig | SwitchConfig | StreamConfig;

/** IFNAMSIZ less the final NUL. */
const NAME_BYTES = 15;
/** `sun_path` less the final NUL. */
const PATH_BYTES = 107;
/** MAX_TAP_QUEUES of drivers/net/tun.c is 256; a guest has a queue for each processor at most. */
const MAX_QUEUES = 32;
/** What `Switch` and `FrameStream` call themselves. */
const PROCESS_NAME = /^dinovisor-[\da-f-]{36}$/;
const TUN = "/dev/net/tun";

export type Complain = (code: string, message: string, hint?: string) => void;

/** Reads the first word of `--net`. Throws FlagError. */
export function parseConnection(flag: string, word: string): NetBackendConfig {
  const at = word.indexOf("=");
  const value = at < 0 ? "" : word.slice(at + 1);
  if (word === "user") return { type: "user" };
  if (word.startsWith("tap=") && value !== "") return { type: "tap", name: value };
  if (word.startsWith("socket=") && value !== "") return { type: "socket", path: value };
  if (word.startsWith("listen=") && value !== "") {
    return { type: "socket", path: value, listen: true };
  }
  throw new FlagError(
    `Cannot connect --net "${flag}": "${word}" is not one of tap=NAME, user, socket=PATH, ` +
      "listen=PATH, none",
    "write --net user, or leave --net out",
  );
}

/** Reads `[ADDR:]HOST:GUEST`, ports with an address that is 127.0.0.1 when left out. Throws FlagError. */
export function parseForward(text: string): PortForward {
  const [, address, host, guest] = /^(?:(\[[^\]]+\]|[^:]+):)?(\d{1,5}):(\d{1,5})$/.exec(text) ?? [];
  const [hostPort, guestPort] = [Number(host), Number(guest)];
  if (!isWhole(hostPort, 1, 65535) || !isWhole(guestPort, 1, 65535)) {
    throw new FlagError(
      `Cannot publish "${text}": it is not [ADDR:]HOST:GUEST with two ports`,
      "write -p 8080:80, or -p 0.0.0.0:8080:80 for everybody",
    );
  }
  return {
    ...(address === undefined ? {} : { address: address.replace(/^\[|\]$/g, "") }),
    hostPort,
    guestPort,
  };
}

/** Reports what would keep `connection` from working. */
export function checkConnection(connection: NetBackendConfig, complain: Complain): void {
  switch (connection.type) {
    case "tap":
      return checkTap(connection, complain);
    case "socket":
      return checkSocket(connection, complain);
    case "user":
      if (passtInstalled()) return;
      return complain(
        "NET_PASST",
        "Cannot find passt, which --net user needs",
        "install it: sudo apt-get install passt",
      );
    case "switch":
      return checkName("switch", connection.switch, "Switch", complain);
    case "stream":
      return checkName("stream", connection.stream, "FrameStream", complain);
  }
}

function checkTap({ name, queues = 1 }: TapConfig, complain: Complain): void {
  if (!/^[^\s/%:]+$/.test(name) || byteLength(name) > NAME_BYTES) {
    complain(
      "TAP_NAME",
      `Cannot name an interface "${name}"`,
      `use at most ${NAME_BYTES} letters and digits: tap0`,
    );
  }
  if (!isWhole(queues, 1, MAX_QUEUES)) {
    complain("TAP_QUEUES", `Cannot use ${queues} queues: 1 to ${MAX_QUEUES} are possible`);
  }
  try {
    Deno.openSync(TUN, { read: true, write: true }).close();
  } catch (error) {
    const missing = error instanceof Deno.errors.NotFound;
    complain(
      "TAP_ACCESS",
      `Cannot open ${TUN}: ${missing ? "this host has no tap driver" : "permission denied"}`,
      missing ? "load it: sudo modprobe tun" : `let your user open it: sudo chmod 666 ${TUN}`,
    );
  }
}

function checkSocket({ path, listen }: SocketConfig, complain: Complain): void {
  if (byteLength(path) > PATH_BYTES) {
    complain(
      "NET_SOCKET_PATH",
      `Cannot use socket "${path}": its path has more than ${PATH_BYTES} bytes`,
      "use a shorter one, or a relative one",
    );
  }
  if (listen === true) checkDirectory(path, complain);
}

function checkName(what: string, name: string, maker: string, complain: Complain): void {
  if (typeof name === "string" && PROCESS_NAME.test(name)) return;
  complain(
    `NET_${what.toUpperCase()}`,
    `Cannot connect a network to ${what} "${name}": it is not one of this program`,
    `make one with new ${maker}(), and use its backend as it is`,
  );
}

/** Reports when there is no directory for a file to be made at `path`. */
export function checkDirectory(path: string, complain: Complain): void {
  const directory = path.includes("/") ? path.slice(0, path.lastIndexOf("/")) || "/" : ".";
  try {
    if (Deno.statSync(directory).isDirectory) return;
  } catch {
    // said below
  }
  complain(
    "NET_DIRECTORY",
    `Cannot make "${path}": there is no directory "${directory}"`,
    "create the directory first",
  );
}

/** What only one card can have. */
export function connectionClaims(connection: NetBackendConfig): readonly Claim[] {
  const alone = { alone: true, field: "--net", hint: "give each card one of its own" } as const;
  switch (connection.type) {
    case "tap":
      return [{
        ...alone,
        resource: `tap:${connection.name}`,
        description: `tap "${connection.name}"`,
        code: "TAP_TWICE",
      }];
    case "socket":
      if (connection.listen !== true) return [];
      return [{
        ...alone,
        resource: `socket:${connection.path}`,
        description: `socket "${connection.path}"`,
        code: "NET_SOCKET_TWICE",
      }];
    case "user":
      return (connection.forwards ?? []).map(({ address = "127.0.0.1", hostPort }) => ({
        ...alone,
        resource: `tcp:${address}:${hostPort}`,
        description: `port ${hostPort} of ${address}`,
        code: "PORT_TWICE",
        field: "--publish",
      }));
    case "switch":
      return [];
    case "stream":
      return [{
        ...alone,
        resource: `stream:${connection.stream}`,
        description: "a stream of frames",
        code: "NET_STREAM_TWICE",
      }];
  }
}

export function isWhole(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max;
}

function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** Whether passt can be found where programs are. */
function passtInstalled(): boolean {
  return (Deno.env.get("PATH") ?? "").split(":").some((directory) => {
    try {
      return Deno.statSync(`${directory}/passt`).isFile;
    } catch {
      return false;
    }
  });
}
