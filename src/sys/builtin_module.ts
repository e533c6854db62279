/** Modules of the runtime that take long to load and few runs need: asked for in the middle, not imported at the top. */

interface BuiltinModules {
  readonly "node:module": typeof import("node:module");
  readonly "node:zlib": typeof import("node:zlib");
}

/** The module called `name`, loaded now. Without a promise, as a dynamic import would be; nor is node:process loaded before. */
export function builtinModule<Name extends keyof BuiltinModules>(name: Name): BuiltinModules[Name] {
  // deno-lint-ignore no-process-global -- to import it is what takes long
  return process.getBuiltinModule(name) as BuiltinModules[Name];
}
