/** Commands of one guest: from what a caller wants to what the agent is told. */
import type { ImageConfig } from "../guest/image/config.ts";
import type { Agent } from "./agent.ts";
import type { GuestCommandOptions } from "./command_options.ts";
import { VmError } from "./errors.ts";
import type { GuestFs } from "./guest_fs.ts";
import type { GuestProcess } from "./guest_process.ts";
import type { HostStreams } from "./host_streams.ts";
import { hasNul } from "./protocol.ts";
import { type GuestUser, guestUser } from "./users.ts";

/** What holds for all of them that do not say otherwise. */
export interface CommandDefaults {
  readonly env: Readonly<Record<string, string>>;
  readonly user: string | number | undefined;
  /** Where they run; left out: where the agent does. */
  readonly cwd?: string;
}

/** What an image says about every command in it. */
export function imageDefaults(image: ImageConfig | undefined): CommandDefaults {
  if (image === undefined) return { env: {}, user: undefined };
  const { env, user, workdir } = image;
  return { env, user: user === "" ? undefined : user, cwd: workdir };
}

/** How the guest is reached; `agent` throws when it cannot be. */
export interface GuestDoor {
  agent(): Agent;
  readonly fs: GuestFs;
}

export class GuestCommands {
  readonly #door: GuestDoor;
  readonly #defaults: CommandDefaults;

  constructor(door: GuestDoor, defaults: CommandDefaults) {
    this.#door = door;
    this.#defaults = defaults;
  }

  /** See `Vm.spawn`. `host`: what `inherit` means. */
  async spawn(
    command: string,
    args: readonly string[],
    options: GuestCommandOptions,
    host: HostStreams = Deno,
  ): Promise<GuestProcess> {
    const { stdin = "null", stdout = "piped", stderr = "piped", pty = false, signal } = options;
    const words = [command, ...args];
    const { uid, gid, groups, env } = await this.#identity(options);
    const environment = Object.entries({ ...env, ...this.#defaults.env, ...options.env })
      .map(([name, value]) => `${name}=${value}`);
    const directory = options.cwd ?? this.#defaults.cwd ?? "";
    if ([...words, ...environment, directory].some(hasNul)) {
      throw new TypeError(`A word of a command has no NUL in it: ${JSON.stringify(words)}`);
    }
    signal?.throwIfAborted();
    return await this.#door.agent().spawn({
      words,
      environment,
      clearEnvironment: options.clearEnv ?? false,
      directory,
      user: uid,
      group: gid,
      groups,
      input: stdin === "inherit" ? host.stdin : stdin,
      output: stdout === "inherit" ? host.stdout : stdout,
      errors: stderr === "inherit" ? host.stderr : stderr,
      terminal: pty === true ? { columns: 80, rows: 24 } : pty === false ? undefined : pty,
    }, signal);
  }

  async #identity(
    { user, uid, gid, clearEnv }: GuestCommandOptions,
  ): Promise<Partial<GuestUser> & Pick<GuestUser, "groups">> {
    const hasIds = uid !== undefined || gid !== undefined;
    if (user !== undefined && hasIds) {
      throw new VmError("Cannot run as `user` and as `uid` or `gid` at once", "USER_INVALID", {
        hint: "leave uid and gid out: user takes ids as well",
      });
    }
    const wanted = hasIds ? undefined : user ?? this.#defaults.user;
    if (wanted === undefined) {
      return {
        groups: [],
        ...(uid === undefined ? {} : { uid }),
        ...(gid === undefined ? {} : { gid }),
      };
    }
    const { env, ...ids } = await guestUser(this.#door.fs, wanted);
    return clearEnv === true ? ids : { ...ids, env };
  }
}
