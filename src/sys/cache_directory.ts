/** Where this project keeps what it can make again. */

/**
 * `DINOVISOR_CACHE`, else `dinovisor` under `XDG_CACHE_HOME`, else `~/.cache/dinovisor`; undefined when none of the
 * three variables is set.
 */
export function cacheDirectory(
  variable: (name: string) => string | undefined,
): string | undefined {
  const own = variable("DINOVISOR_CACHE");
  if (own) return own;
  const xdg = variable("XDG_CACHE_HOME");
  if (xdg?.startsWith("/")) return `${xdg}/dinovisor`; // the XDG specification: relative paths are ignored
  const home = variable("HOME");
  return home ? `${home}/.cache/dinovisor` : undefined;
}
