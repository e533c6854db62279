/** Paths of the host, as programs give them. */
import { ConfigError } from "./errors.ts";

/** The path of a file URL, or the path itself. Throws ConfigError, about `field`, for other URLs. */
export function hostPath(field: string, path: string | URL): string {
  if (typeof path === "string") return path;
  if (path.protocol === "file:") return decodeURIComponent(path.pathname);
  throw new ConfigError(field, `Cannot use ${field} ${path.href}: it is no file`, "URL_NO_FILE");
}
