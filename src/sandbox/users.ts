/** Users and groups of the guest by name: /etc/passwd and /etc/group (passwd(5), group(5)). The guest is not trusted. */
import { VmError } from "./errors.ts";
import type { GuestFs } from "./guest_fs.ts";
import { MAX_GROUPS, UNCHANGED } from "./protocol.ts";

/** Most bytes of each file that are looked at. */
const MAX_FILE_BYTES = 2 ** 20;

/** Who a command is. */
export interface GuestUser {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary ones, the primary one among them: as initgroups(3) sets them. */
  readonly groups: readonly number[];
  /** HOME, and USER and LOGNAME where there is a name. */
  readonly env: Readonly<Record<string, string>>;
}

/** The texts of the two files. */
export interface UserFiles {
  readonly passwd: string;
  readonly group: string;
}

/** Looks `wanted` up in a guest. Rejects with VmError USER_INVALID, USER_NOT_FOUND, GROUP_NOT_FOUND, and AgentError. */
export async function guestUser(fs: GuestFs, wanted: string | number): Promise<GuestUser> {
  const [passwd, group] = await Promise.all([
    textOf(fs, "/etc/passwd"),
    textOf(fs, "/etc/group"),
  ]);
  return userOf(wanted, { passwd, group });
}

/** Empty where there is none: ids need no names. */
async function textOf(fs: GuestFs, path: string): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  try {
    for await (const chunk of fs.readStream(path)) {
      size += chunk.length;
      if (size > MAX_FILE_BYTES) {
        throw new VmError(`Cannot read "${path}" in the guest: it is too long`, "GUEST_FILE");
      }
      text += decoder.decode(chunk, { stream: true });
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
  return text;
}

/** `NAME`, `UID`, `NAME:GROUP`, …: names come before numbers. Throws VmError. */
export function userOf(wanted: string | number, files: UserFiles): GuestUser {
  const [user = "", group] = `${wanted}`.split(/:(.*)/s);
  if (user === "" || group === "") throw unusable(wanted);
  const accounts = rows(files.passwd);
  const byName = accounts.find(([name]) => name === user);
  const uid = idOf(byName?.[2] ?? user);
  if (uid === undefined) throw unknown("user", user, "/etc/passwd", "USER_NOT_FOUND");
  const account = byName ?? accounts.find(([, , id]) => idOf(id) === uid);
  const groups = rows(files.group);
  const gid = group === undefined ? idOf(account?.[3]) ?? 0 : groupOf(group, groups);
  const name = account?.[0];
  const home = account?.[5] || "/";
  return {
    uid,
    gid,
    groups: group === undefined && name !== undefined
      ? [gid, ...memberships(name, gid, groups)]
      : [gid],
    env: { HOME: home, ...(name === undefined ? {} : { USER: name, LOGNAME: name }) },
  };
}

function groupOf(wanted: string, groups: readonly (readonly string[])[]): number {
  const gid = idOf(groups.find(([name]) => name === wanted)?.[2] ?? wanted);
  if (gid === undefined) throw unknown("group", wanted, "/etc/group", "GROUP_NOT_FOUND");
  return gid;
}

function memberships(name: string, gid: number, groups: readonly (readonly string[])[]): number[] {
  const ids = groups
    .filter(([, , , members = ""]) => members.split(",").includes(name))
    .flatMap(([, , id]) => idOf(id) ?? []);
  return [...new Set(ids)].filter((id) => id !== gid).slice(0, MAX_GROUPS - 1);
}

/** Fields of each line; NUL bytes would end what programs are told. */
function rows(text: string): string[][] {
  return text.replaceAll("\0", "").split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.split(":"));
}

/** Undefined for what is no id. */
function idOf(text: string | undefined): number | undefined {
  const id = text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : NaN;
  return id < UNCHANGED ? id : undefined;
}

function unusable(wanted: string | number): VmError {
  return new VmError(`Cannot run as "${wanted}": a part of it is missing`, "USER_INVALID", {
    hint: "write a user's name or id, with or without a group: bob, 1000, bob:staff",
  });
}

function unknown(what: "user" | "group", name: string, file: string, code: string): VmError {
  return new VmError(`Cannot find ${what} "${name}" in the guest's ${file}`, code, {
    hint: `an id needs no entry there: use the number`,
  });
}
