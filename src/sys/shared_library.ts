/** Shared libraries a host may lack, opened where distributions keep them. Called by `liblzma.ts` and `liblz4.ts`. */
import { DecompressError } from "./decompress_error.ts";

// As libc.ts: absolute paths first, so that users can scope --allow-ffi to the files they see here.
const DIRECTORIES = [
  `/usr/lib/${Deno.build.arch}-linux-gnu/`, // Debian, Ubuntu
  `/lib/${Deno.build.arch}-linux-gnu/`, // the same before /lib and /usr/lib became one
  "/lib64/", // Fedora, SUSE
  "/usr/lib/", // Arch
  "", // whatever the loader finds; needs an unscoped --allow-ffi
];

/**
 * Opens `file` (`liblzma.so.5`) and finds `symbols` in it. Throws DecompressError LIBRARY_MISSING, with `debianPackage`
 * in its hint, when none of the usual places has it.
 */
export function openLibrary<Symbols extends Deno.ForeignLibraryInterface>(
  file: string,
  debianPackage: string,
  symbols: Symbols,
): Deno.DynamicLibrary<Symbols>["symbols"] {
  for (const directory of DIRECTORIES) {
    try {
      return Deno.dlopen(directory + file, symbols).symbols;
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable) throw error;
    }
  }
  throw new DecompressError(
    "LIBRARY_MISSING",
    `Cannot open ${file}: the library is not installed`,
    `install it: Debian's package is ${debianPackage}`,
  );
}
