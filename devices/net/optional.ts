/** Members of a card's configuration that nobody chose are not there at all. Used by `kind.ts` and `make.ts`. */

/** `{name: value}`, or nothing to spread when there is no value. */
export function optional<K extends string, T>(
  name: K,
  value: T | undefined,
): { readonly [key in K]?: T } {
  return (value === undefined ? {} : { [name]: value }) as { readonly [key in K]?: T };
}
