/** A root file system as options have it. */
import type { RootSource } from "../guest/image/source.ts";
import type { RootedRequest } from "../guest/rooted_guest.ts";
import { ConfigError } from "./errors.ts";
import { hostPath } from "./host_path.ts";
import { type Size, sizeOf } from "./size.ts";

/**
 * The guest's root. What is made of it is kept in the cache and stays as it is: each machine writes to a view of its
 * own, which is gone with it.
 *
 * ```ts
 * import { Vm } from "@dinovisor/dinovisor";
 *
 * // docker save alpine > alpine.tar
 * await using vm = await Vm.boot({ rootfs: { oci: "alpine.tar" } });
 * await using main = await vm.start(["cat", "/etc/alpine-release"]);
 * console.log((await main.output()).text);
 * ```
 */
export type RootfsInit =
  /** A directory of the host. Files of the user who runs this are root's in the guest. */
  | { readonly dir: string | URL; readonly size?: Size }
  /** An archive of one: tar, alone or packed with gzip or zstd. */
  | { readonly tar: string | URL; readonly size?: Size }
  /**
   * An OCI image: a layout directory, a tar of one, or what `docker save` writes. `ref` chooses by name or digest where
   * there are several.
   */
  | { readonly oci: string | URL; readonly ref?: string; readonly size?: Size }
  /** A raw disk image with a file system and an init of its own, so without an agent. */
  | { readonly image: string | URL; readonly overlay?: boolean };

const KINDS = ["dir", "tar", "oci", "image"] as const;

/** What is asked for; a path alone is told by its content. Throws ConfigError. */
export function rootedRequestOf(
  rootfs: string | URL | RootfsInit,
  kernel: RootedRequest["kernel"],
): RootedRequest {
  const { size, overlay = false, ...source } = partsOf(rootfs);
  return {
    source: source as RootSource,
    bytes: size === undefined ? undefined : sizeOf("rootfs.size", size),
    overlay,
    ...(kernel === undefined ? {} : { kernel }),
  };
}

interface Parts {
  readonly kind: RootSource["kind"];
  readonly path: string;
  readonly ref?: string;
  readonly size?: Size;
  readonly overlay?: boolean;
}

function partsOf(rootfs: string | URL | RootfsInit): Parts {
  if (typeof rootfs === "string" || rootfs instanceof URL) {
    return { kind: "auto", path: hostPath("rootfs", rootfs) };
  }
  const given = rootfs as Partial<Record<(typeof KINDS)[number], string | URL>>;
  const kinds = KINDS.filter((kind) => given[kind] !== undefined);
  const [kind] = kinds;
  const place = kind === undefined ? undefined : given[kind];
  if (kind === undefined || place === undefined || kinds.length > 1) {
    throw new ConfigError(
      "rootfs",
      "Cannot use rootfs: it names no root, or several",
      "ROOTFS_KIND",
      {
        hint: 'name one: rootfs: { oci: "image.tar" }; dir, tar, oci and image are possible',
      },
    );
  }
  const { ref, size, overlay } = rootfs as Omit<Parts, "kind" | "path">;
  return {
    kind,
    path: hostPath(`rootfs.${kind}`, place),
    ...(ref === undefined ? {} : { ref }),
    ...(size === undefined ? {} : { size }),
    ...(overlay === undefined ? {} : { overlay }),
  };
}
