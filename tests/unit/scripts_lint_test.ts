/// <reference lib="deno.unstable" />
import { assertEquals } from "@std/assert";
import plugin from "../../scripts/lint_plugin.ts";

/** The rules that fire on `source`, sorted, each once. */
function fired(fileName: string, source: string): string[] {
  const ids = Deno.lint.runPlugin(plugin, fileName, source).map(({ id }) => id);
  return [...new Set(ids)].sort();
}

function expectEach(rule: string, fileName: string, sources: readonly string[]): void {
  for (const source of sources) {
    assertEquals(fired(fileName, source), [`house/${rule}`], source);
  }
}

function expectNone(fileName: string, sources: readonly string[]): void {
  for (const source of sources) assertEquals(fired(fileName, source), [], source);
}

Deno.test("lint: devices and transports await nothing", () => {
  const sources = [
    "await x();",
    "for await (const x of y) use(x);",
    "await using x = y();",
    "async function f() {}",
    "class A { async f() {} }",
    "f(async () => {});",
    "new Promise(f);",
    "function f(): Promise<void> { return x; }",
    "Promise.resolve();",
    "setTimeout(f, 1);",
    "queueMicrotask(f);",
  ];
  expectEach("no-await-in-loop", "devices/block/device.ts", sources);
  expectEach("no-await-in-loop", "transports/mmio.ts", sources);
  expectNone("src/machine/mod.ts", sources);
  expectNone("tests/unit/devices/x.ts", sources);
  expectNone("devices/block/device.ts", [
    "function f(): void {}",
    "for (const x of y) use(x);",
    "loop.setTimeout(f);",
    "using x = y();",
  ]);
});

Deno.test("lint: the project's own path is known when the file name is absolute", () => {
  const root = new URL("../../", import.meta.url).pathname;
  assertEquals(fired(`${root}devices/block/device.ts`, "await x();"), ["house/no-await-in-loop"]);
  assertEquals(fired("/elsewhere/devices/block/device.ts", "await x();"), []);
});

Deno.test("lint: FFI only in src/sys", () => {
  const sources = [
    'Deno.dlopen("libc.so.6", {});',
    "Deno.UnsafePointer.create(1n);",
    "new Deno.UnsafePointerView(p);",
    'Deno["dlopen"](x, {});',
    "globalThis.Deno.dlopen(x, {});",
    "const { dlopen } = Deno;",
    "let x: Deno.UnsafePointerView;",
  ];
  expectEach("no-ffi-outside-sys", "src/kvm/vm.ts", sources);
  expectEach("no-ffi-outside-sys", "main.ts", sources);
  expectNone("src/sys/libc.ts", sources);
  expectNone("src/kvm/vm.ts", ["Deno.readFile(x);", "let p: Deno.PointerValue;", "dlopen(x);"]);
});

Deno.test("lint: functions at module level are declarations", () => {
  expectEach("no-top-level-arrow", "src/kvm/vm.ts", [
    "const f = () => 1;",
    "export const f = () => 1;",
    "const f = function () {};",
    "const f = (() => 1) satisfies F;",
  ]);
  expectNone("src/kvm/vm.ts", [
    "function f() { const g = () => 1; return g; }",
    "const list = items.map((item) => item.id);",
    "const table = { f: () => 1 };",
  ]);
});

Deno.test("lint: #private instead of the keyword", () => {
  expectEach("no-private-keyword", "src/kvm/vm.ts", [
    "class A { private x = 1; }",
    "class A { private f() {} }",
    "class A { private static f() {} }",
    "class A { constructor(private readonly x: number) {} }",
    "abstract class A { private abstract f(): void; }",
  ]);
  expectNone("src/kvm/vm.ts", [
    "class A { #x = 1; protected y = 2; readonly z = 3; }",
    "class A { constructor(readonly x: number, protected y: number) {} }",
    "class A { private constructor() {} }",
  ]);
});

Deno.test("lint: names say what a thing does", () => {
  expectEach("no-empty-names", "src/kvm/vm.ts", [
    "class DeviceManager {}",
    "interface QueueHelper {}",
    "type StringUtils = string;",
    "function parseUtil() {}",
    "const queueHelpers = 1;",
    "enum QueueUtil {}",
    "class A { memoryManager = 1; }",
    "class A { #memoryManager = 1; }",
    "const manager = 1;",
    "const QUEUE_UTILS = 1;",
  ]);
  expectEach("no-empty-names", "src/kvm/string_utils.ts", ["const a = 1;"]);
  expectEach("no-empty-names", "src/kvm/manager.ts", ["const a = 1;"]);
  expectNone("src/kvm/vm.ts", [
    "class ManagerClock {}",
    "const utility = 1;",
    "function helpText() {}",
    'import { pathUtils } from "elsewhere";',
  ]);
});

Deno.test("lint: nothing is cast to any", () => {
  expectEach("no-as-any", "src/kvm/vm.ts", ["f(x as any);", "f(<any> x);"]);
  expectNone("src/kvm/vm.ts", ["f(x as unknown);", "const x = y as const;"]);
});
