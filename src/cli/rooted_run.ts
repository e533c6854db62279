/** A run in a root of the user's: its guest, and what its image makes of the settings. Loaded with `guest_command.ts`. */
import type { GuestFiles } from "../guest/default_guest.ts";
import { hostGuestChoice } from "../guest/guest_choice.ts";
import type { ImageConfig } from "../guest/image/config.ts";
import type { BuildOptions } from "../guest/mod.ts";
import type { Problem } from "../virtio/device_kind.ts";
import { agentProblems, rootedCommand, type RootfsSettings } from "./rootfs.ts";
import type { CommandSettings, RunSettings } from "./run_settings.ts";

/** What has become of the settings. */
export interface RootedRun {
  /** With the image's own command, or what comes before the user's; without one for a root that says nothing. */
  readonly settings: RunSettings;
  readonly files: GuestFiles;
  readonly image: ImageConfig;
  readonly problems: readonly Problem[];
}

/** Finds or makes the root's image. Rejects with ImageError, GuestBuildError, or the reason of the signal. */
export async function rootedRun(
  settings: RunSettings,
  rootfs: RootfsSettings,
  command: CommandSettings,
  options: BuildOptions,
): Promise<RootedRun> {
  const { rootedGuest } = await import("../guest/rooted_guest.ts");
  const { kernel, initrd } = settings;
  const own = kernel === undefined
    ? {}
    : { kernel: { kernel, ...(initrd === undefined ? {} : { initrd }) } };
  const request = { ...rootfs, ...own };
  const { files, image } = await rootedGuest(request, hostGuestChoice().kind, options);
  const { hasAgent } = files.rootfs;
  const rooted = hasAgent ? rootedCommand(command, image) : undefined;
  const { command: _, ...others } = settings;
  return {
    settings: rooted === undefined ? others : { ...others, command: rooted },
    files,
    image,
    problems: hasAgent ? [] : agentProblems(command),
  };
}
