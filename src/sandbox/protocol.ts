/**
 * What the agent in the guest (src/guest/agent) and this side say to each other. A session is a vsock connection with
 * frames both ways: two little-endian 32-bit words, type and length, and that many bytes.
 */

/** The agent listens there in the guest; it calls the host on the port of the same number when it is up. */
export const AGENT_PORT = 1024;
/** What FRAME.hello must say first. */
export const PROTOCOL_VERSION = 1;
/** Most bytes in a frame, either way. */
export const MAX_FRAME_BYTES = 65_536;
const HEADER_BYTES = 8;

/** Types of frames; what is in them is said here. Numbers are 32-bit words, texts end with a NUL. */
export const FRAME = {
  /** See `execFrame`. Answered by `started` or `failed`. */
  exec: 1,
  /** Bytes for the command's input. No more than the agent has room for: see `hello` and `inputTaken`. */
  input: 2,
  inputEnd: 3,
  /** Signal number: for the command and all it has started. */
  signal: 4,
  /** Columns, rows: of its terminal. */
  resize: 5,
  /** 0 or 1 (output, errors), bytes: there is room for so many more. */
  credit: 6,
  /** 0 or 1: nobody reads that any more. */
  close: 7,
  /** A file request: flags, mode, path. All are answered by `done` or `error` at the end. `read`: `content` first. */
  read: 16,
  /** Followed by `data`, an empty one at the end. */
  write: 17,
  data: 18,
  /** `entry` first: see `readStatus`. */
  stat: 19,
  /** `entry`s first: type (DT_* of dirent.h), and the name without a NUL. */
  list: 20,
  mkdir: 21,
  remove: 22,
  /** With a second path. */
  rename: 23,
  /** A TCP port of the guest: after `done` the connection is that program's. */
  dial: 24,
  /** Answered by `watching` or `error`; `changes` follow until the connection ends. */
  watch: 25,
  /** Asks the guest's first program to end everything in order. */
  powerOff: 32,
  /** The first one, on the agent's own call: version, and how much input it has room for. */
  hello: 64,
  /** Process id. */
  started: 65,
  /** Where (SPAWN_STAGES), errno. */
  failed: 66,
  /** Bytes; an empty one is the end. `errors` is the next number. */
  output: 67,
  errors: 68,
  /** Exit code, signal. */
  exit: 69,
  /** Bytes: there is room for so many more. */
  inputTaken: 70,
  /** Nobody reads the input any more. */
  inputClosed: 71,
  done: 80,
  /** errno */
  error: 81,
  content: 82,
  entry: 83,
  watching: 84,
  /** Of each: a mask and a cookie as inotify(7) has them, and the path. */
  changes: 85,
} as const;

/** Where a command could not be started. */
export const SPAWN_STAGES = ["prepare", "user", "directory", "program"] as const;

/** Flags of `exec`. */
const EXEC_INPUT = 1;
const EXEC_TERMINAL = 2;
const EXEC_NO_OUTPUT = 4;
const EXEC_NO_ERRORS = 8;
const EXEC_CLEAR_ENVIRONMENT = 16;
const EXEC_EXIT_LAST = 32;
/** Most supplementary groups of a command. */
export const MAX_GROUPS = 256;
/** Flags of file requests. */
export const WRITE_APPEND = 1;
export const WRITE_NEW = 2;
export const RECURSIVE = 1;
export const NO_FOLLOW = 1;
/** For a user, a group, or the mode of a file. */
export const UNCHANGED = 0xffff_ffff;

/** One frame. */
export interface Frame {
  readonly type: number;
  /** The receiver's own. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** A command, as the agent is told. */
export interface ExecRequest {
  /** Program and arguments. */
  readonly words: readonly string[];
  /** `NAME=value`. */
  readonly environment: readonly string[];
  readonly clearEnvironment: boolean;
  /** Empty: where the agent is. */
  readonly directory: string;
  readonly user: number | undefined;
  readonly group: number | undefined;
  /** Supplementary ones; they count where `group` is said. */
  readonly groups: readonly number[];
  /** Whether its input is ours; /dev/null else. */
  readonly input: boolean;
  readonly output: boolean;
  readonly errors: boolean;
  /** Whether `exit` comes behind everything that the command has written by then. */
  readonly exitLast: boolean;
  readonly terminal: { readonly columns: number; readonly rows: number } | undefined;
  /** Bytes of each of output and errors that there is room for. */
  readonly credit: number;
}

const encoder = new TextEncoder();

/** A frame with `parts` in it, one after the other. */
export function frame(
  type: number,
  ...parts: readonly Uint8Array<ArrayBufferLike>[]
): Uint8Array<ArrayBuffer> {
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  const bytes = new Uint8Array(HEADER_BYTES + size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, size, true);
  let at = HEADER_BYTES;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** 32-bit words. */
export function words(...numbers: readonly number[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(4 * numbers.length);
  const view = new DataView(bytes.buffer);
  numbers.forEach((number, i) => view.setUint32(4 * i, number, true));
  return bytes;
}

/** Texts, each with a NUL behind it. They must not have one inside: `hasNul`. */
export function texts(...all: readonly string[]): Uint8Array<ArrayBuffer> {
  return encoder.encode(all.map((text) => `${text}\0`).join(""));
}

/** Whether `text` cannot be passed to a program: C ends texts there. */
export function hasNul(text: string): boolean {
  return text.includes("\0");
}

/** The frame that starts a command. It may be longer than the agent takes: MAX_FRAME_BYTES. */
export function execFrame(request: ExecRequest): Uint8Array<ArrayBuffer> {
  const { terminal, credit } = request;
  const flags = (request.input ? EXEC_INPUT : 0) | (terminal === undefined ? 0 : EXEC_TERMINAL) |
    (request.output ? 0 : EXEC_NO_OUTPUT) | (request.errors ? 0 : EXEC_NO_ERRORS) |
    (request.clearEnvironment ? EXEC_CLEAR_ENVIRONMENT : 0) |
    (request.exitLast ? EXEC_EXIT_LAST : 0);
  const head = words(
    flags,
    request.user ?? UNCHANGED,
    request.group ?? UNCHANGED,
    terminal?.columns ?? 0,
    terminal?.rows ?? 0,
    credit,
    credit,
    request.words.length,
    request.environment.length,
    request.groups.length,
  );
  return frame(
    FRAME.exec,
    head,
    words(...request.groups),
    texts(request.directory, ...request.words, ...request.environment),
  );
}

/** What `execFrame` has made, read again: for an agent that is no program of ours. Throws ProtocolError. */
export function execOf(request: Frame): ExecRequest {
  const [wordCount, variableCount, groupCount] = [7, 8, 9].map((index) => word(request, index)) as [
    number,
    number,
    number,
  ];
  const [directory = "", ...rest] = textsOf(request.bytes.subarray(40 + 4 * groupCount));
  if (rest.length !== wordCount + variableCount) throw new ProtocolError("A short command");
  const flags = word(request, 0);
  const id = (index: number): number | undefined =>
    word(request, index) === UNCHANGED ? undefined : word(request, index);
  const terminal = { columns: word(request, 3), rows: word(request, 4) };
  return {
    words: rest.slice(0, wordCount),
    environment: rest.slice(wordCount),
    clearEnvironment: (flags & EXEC_CLEAR_ENVIRONMENT) !== 0,
    directory,
    user: id(1),
    group: id(2),
    groups: Array.from({ length: groupCount }, (_, i) => word(request, 10 + i)),
    exitLast: (flags & EXEC_EXIT_LAST) !== 0,
    input: (flags & EXEC_INPUT) !== 0,
    output: (flags & EXEC_NO_OUTPUT) === 0,
    errors: (flags & EXEC_NO_ERRORS) === 0,
    terminal: (flags & EXEC_TERMINAL) === 0 ? undefined : terminal,
    credit: word(request, 5),
  };
}

/** What `texts` has made, read again. */
export function textsOf(bytes: Uint8Array<ArrayBuffer>): string[] {
  return new TextDecoder().decode(bytes).split("\0").slice(0, -1);
}

/** Whether a frame made here is one the agent takes. */
export function fits(bytes: Uint8Array<ArrayBufferLike>): boolean {
  return bytes.length <= HEADER_BYTES + MAX_FRAME_BYTES;
}

/** The 32-bit word `index` of a frame; 0 when it is too short. */
export function word({ bytes }: Frame, index: number): number {
  if (bytes.length < 4 * index + 4) return 0;
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(4 * index, true);
}

/** The guest broke the protocol. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

/** Takes frames from a stream of bytes. The guest is not trusted: what is no frame is a ProtocolError. */
export class FrameReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>;
  #have: Uint8Array<ArrayBuffer> = new Uint8Array();

  constructor(readable: ReadableStream<Uint8Array<ArrayBuffer>>) {
    this.#reader = readable.getReader();
  }

  /** The next frame; undefined at the end. Rejects with ProtocolError, or what the stream fails with. */
  async next(): Promise<Frame | undefined> {
    if (!await this.#fill(HEADER_BYTES)) return undefined;
    const view = new DataView(this.#have.buffer, this.#have.byteOffset);
    const type = view.getUint32(0, true);
    const size = view.getUint32(4, true);
    if (size > MAX_FRAME_BYTES) throw new ProtocolError(`A frame of ${size} bytes`);
    if (!await this.#fill(HEADER_BYTES + size)) throw new ProtocolError("Half a frame");
    const bytes = this.#have.subarray(HEADER_BYTES, HEADER_BYTES + size);
    this.#have = this.#have.subarray(HEADER_BYTES + size);
    return { type, bytes };
  }

  /** What comes behind the last frame, as it comes. */
  rest(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return new ReadableStream({
      pull: async (controller) => {
        if (this.#have.length > 0) {
          controller.enqueue(this.#have);
          this.#have = new Uint8Array();
          return;
        }
        const { value, done } = await this.#reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => this.#reader.cancel(reason),
    }, { highWaterMark: 0 });
  }

  /** Whether there are `size` bytes, after reading more if need be. */
  async #fill(size: number): Promise<boolean> {
    while (this.#have.length < size) {
      const { value, done } = await this.#reader.read();
      if (done) {
        if (this.#have.length > 0) throw new ProtocolError("Half a frame");
        return false;
      }
      if (this.#have.length === 0) this.#have = value;
      else {
        const both = new Uint8Array(this.#have.length + value.length);
        both.set(this.#have);
        both.set(value, this.#have.length);
        this.#have = both;
      }
    }
    return true;
  }
}

/** What `stat` tells, as Deno.FileInfo has it. The order of the words is that of `describe` in src/guest/agent/files.h. */
export function readStatus({ bytes }: Frame): Deno.FileInfo {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < 16 * 8) throw new ProtocolError("A short file status");
  const number = (index: number): number => Number(view.getBigUint64(8 * index, true));
  const time = (index: number): Date =>
    new Date(Number(view.getBigInt64(8 * index, true)) * 1000 + number(index + 1) / 1e6);
  const mode = number(0);
  const kind = mode & 0o170000;
  return {
    isFile: kind === 0o100000,
    isDirectory: kind === 0o040000,
    isSymlink: kind === 0o120000,
    isBlockDevice: kind === 0o060000,
    isCharDevice: kind === 0o020000,
    isFifo: kind === 0o010000,
    isSocket: kind === 0o140000,
    mode,
    ino: number(1),
    dev: number(2),
    nlink: number(3),
    uid: number(4),
    gid: number(5),
    rdev: number(6),
    size: number(7),
    blksize: number(8),
    blocks: number(9),
    atime: time(10),
    mtime: time(12),
    ctime: time(14),
    birthtime: null,
  };
}
