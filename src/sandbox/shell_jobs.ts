/** Requests as scripts for the shell's agent (src/guest/agent/agent.sh), and what their output means. */
import { quotedWord } from "../guest/shell_words.ts";
import {
  execOf,
  FRAME,
  type Frame,
  frame,
  NO_FOLLOW,
  ProtocolError,
  RECURSIVE,
  textsOf,
  UNCHANGED,
  word,
  words,
  WRITE_APPEND,
  WRITE_NEW,
} from "./protocol.ts";

/** What the agent runs for a request. */
export interface ShellJob {
  /** Which of input (I), output (O) and errors (E) are passed on. */
  readonly pipes: string;
  /** Its $1 is the job's number; it says things by descriptor 3. */
  readonly script: string;
}

// include/uapi/asm-generic/errno-base.h
const [ENOENT, EIO, EACCES, EEXIST, ENOTDIR, EISDIR] = [2, 5, 13, 17, 20, 21];
/** include/uapi/asm-generic/errno.h */
const ENOTEMPTY = 39;
/** The stages of SPAWN_STAGES (protocol.ts). */
const DIRECTORY = 2;
const PROGRAM = 3;
/** The words of a file's status in the order that readStatus (protocol.ts) has them, and times of whole seconds. */
const STATUS_FORMAT = "%f %i %d %h %u %g 0 %s %o %b %X 0 %Y 0 %Z 0";
const STATUS_WORDS = 16;

/** Undefined for what a shell cannot do: terminals, other users, ports. */
export function jobOf(request: Frame): ShellJob | undefined {
  if (request.type === FRAME.exec) return commandJob(request);
  if (request.type === FRAME.powerOff) return { pipes: "-", script: POWER_OFF };
  const [path = "", other = ""] = textsOf(request.bytes.subarray(8));
  const [flags, mode] = [word(request, 0), word(request, 1)];
  const script = fileScript(request.type, { path, other, flags, mode });
  if (script === undefined) return undefined;
  return { pipes: PIPES[request.type] ?? "-", script };
}

const PIPES: Readonly<Record<number, string>> = {
  [FRAME.read]: "O",
  [FRAME.write]: "I",
  [FRAME.stat]: "O",
  [FRAME.list]: "O",
};

/** The first program is asked as busybox does it; a script does not understand that. */
const POWER_OFF = "kill -USR2 1; (sleep 3; sync; poweroff -f) >/dev/null 2>&1 3>&- 4<&- & exit 0";

function commandJob(request: Frame): ShellJob | undefined {
  const { words, environment, clearEnvironment, directory, input, output, errors, ...rest } =
    execOf(
      request,
    );
  if (rest.terminal !== undefined || rest.user !== undefined || rest.group !== undefined) {
    return undefined;
  }
  const [program = ""] = words;
  const failed = (stage: number, errno: number): string =>
    `{ echo "$1 failed ${stage},${errno}" >&3; exit 0; }`;
  const lines = [];
  if (directory !== "") {
    lines.push(`cd ${quotedWord(directory)} 2>/dev/null || ${failed(DIRECTORY, ENOENT)}`);
  }
  const name = quotedWord(program);
  if (program.includes("/")) {
    lines.push(`[ -e ${name} ] || ${failed(PROGRAM, ENOENT)}`);
    lines.push(`[ -x ${name} ] && [ ! -d ${name} ] || ${failed(PROGRAM, EACCES)}`);
  } else lines.push(`command -v ${name} >/dev/null || ${failed(PROGRAM, ENOENT)}`);
  const variables = environment.map(quotedWord);
  const env = clearEnvironment || variables.length > 0
    ? ["env", ...clearEnvironment ? ["-i"] : [], ...variables]
    : [];
  lines.push('echo "$1 started $$" >&3');
  lines.push(`exec ${[...env, ...words.map(quotedWord)].join(" ")} 3>&- 4<&- 5>&-`);
  const pipes = (input ? "I" : "") + (output ? "O" : "") + (errors ? "E" : "");
  return { pipes: pipes || "-", script: lines.join("\n") };
}

interface FileRequest {
  readonly path: string;
  readonly other: string;
  readonly flags: number;
  readonly mode: number;
}

/** Its status is an error number, as the other agent would have it from the kernel. */
function fileScript(type: number, request: FileRequest): string | undefined {
  const { flags, mode } = request;
  const path = quotedWord(request.path.startsWith("-") ? `./${request.path}` : request.path);
  const exists = `{ [ -e ${path} ] || [ -L ${path} ]; }`;
  const parent = `[ -d ${quotedWord(parentOf(request.path))} ] || exit ${ENOENT}`;
  const octal = (mode & 0o7777).toString(8);
  switch (type) {
    case FRAME.read:
      return `[ -e ${path} ] || exit ${ENOENT}
[ ! -d ${path} ] || exit ${EISDIR}
[ -r ${path} ] || exit ${EACCES}
exec cat ${path} 3>&- 4<&-`;
    case FRAME.write:
      return `echo "$1 started 0" >&3
[ ! -d ${path} ] || exit ${EISDIR}
${flags & WRITE_NEW ? `! ${exists} || exit ${EEXIST}` : ""}
${parent}
{ cat ${flags & WRITE_APPEND ? ">>" : ">"}${path}; } 3>&- 4<&- || exit ${EIO}
${mode === UNCHANGED ? "" : `chmod ${octal} ${path}`}
exit 0`;
    case FRAME.stat:
      return `${flags & NO_FOLLOW ? exists : `[ -e ${path} ]`} || exit ${ENOENT}
exec stat ${flags & NO_FOLLOW ? "" : "-L"} -c '${STATUS_FORMAT}' ${path}`;
    case FRAME.list:
      return `[ -e ${path} ] || exit ${ENOENT}
[ -d ${path} ] || exit ${ENOTDIR}
cd ${path} || exit ${EACCES}
for each in * .[!.]* ..?*; do
  if [ -L "$each" ]; then kind=10; elif [ -d "$each" ]; then kind=4; elif [ -f "$each" ]; then kind=8
  elif [ -e "$each" ]; then kind=0; else continue; fi
  printf '%s %s\\0' $kind "$each"
done`;
    case FRAME.mkdir:
      if (flags & RECURSIVE) {
        return `[ ! -e ${path} ] || [ -d ${path} ] || exit ${EEXIST}
mkdir -p -m ${octal} ${path} || exit ${ENOTDIR}`;
      }
      return `! ${exists} || exit ${EEXIST}
${parent}
mkdir -m ${octal} ${path} || exit ${EACCES}`;
    case FRAME.remove:
      return `${exists} || exit ${ENOENT}
if [ -d ${path} ] && [ ! -L ${path} ]; then
  ${flags & RECURSIVE ? `rm -r ${path} || exit ${EACCES}` : `rmdir ${path} || exit ${ENOTEMPTY}`}
else rm -f ${path} || exit ${EACCES}; fi`;
    case FRAME.rename:
      return `${exists} || exit ${ENOENT}
[ ! -d ${quotedWord(request.other)} ] || exit ${EISDIR}
mv -f ${path} ${quotedWord(request.other)} || exit ${EACCES}`;
  }
  return undefined;
}

function parentOf(path: string): string {
  const slash = path.replace(/\/+$/, "").lastIndexOf("/");
  return slash < 0 ? "." : path.slice(0, slash) || "/";
}

/** What a file request's output comes to, as the other agent's frames. Throws ProtocolError. */
export function answerOf(
  { type }: Frame,
  content: readonly Uint8Array<ArrayBuffer>[],
): Uint8Array<ArrayBuffer>[] {
  if (type === FRAME.stat) return [statusFrame(new TextDecoder().decode(joined(content)))];
  return type === FRAME.list ? entryFrames(joined(content)) : [];
}

function statusFrame(text: string): Uint8Array<ArrayBuffer> {
  const numbers = text.trim().split(" ").map((digits, i) =>
    BigInt(i === 0 ? `0x${digits}` : digits)
  );
  if (numbers.length !== STATUS_WORDS) throw new ProtocolError("A short file status");
  return frame(FRAME.entry, new Uint8Array(BigUint64Array.from(numbers).buffer));
}

/** `4 name` and a NUL for each. */
function entryFrames(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
  const frames = [];
  for (let at = 0, end = bytes.indexOf(0); end >= 0; at = end + 1, end = bytes.indexOf(0, at)) {
    const blank = bytes.indexOf(0x20, at);
    if (blank < at || blank > end) throw new ProtocolError("An odd directory entry");
    const kind = Number(new TextDecoder().decode(bytes.subarray(at, blank)));
    frames.push(frame(FRAME.entry, words(kind), bytes.subarray(blank + 1, end)));
  }
  return frames;
}

function joined(parts: readonly Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
