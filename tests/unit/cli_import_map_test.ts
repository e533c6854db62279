/** The import map that lets tests in any folder import the package. */
import { mergedMap } from "../../src/cli/import_map.ts";
import { assertEquals } from "../../src/std/assert.ts";

const BASE = new URL("file:///home/me/kernel/deno.json");
const LIBRARY = new URL("file:///opt/dinovisor/lib/");
const OURS = {
  "@dinovisor/dinovisor": "file:///opt/dinovisor/lib/src/mod.ts",
  "@dinovisor/dinovisor/testing": "file:///opt/dinovisor/lib/src/testing.ts",
  "@dinovisor/dinovisor/machine": "file:///opt/dinovisor/lib/src/machine/mod.ts",
};

const OWN = { imports: { "tar": "npm:tar@3" } };
const OWN_SCOPE = {
  "file:///opt/dinovisor/lib/": { "tar": "npm:tar@3", "tar/": "npm:/tar@3/" },
};

Deno.test("without imports of its own a folder gets ours", () => {
  assertEquals(mergedMap({}, BASE, LIBRARY, OWN), { imports: OURS, scopes: OWN_SCOPE });
});

Deno.test("a folder keeps its imports, as they are seen from elsewhere", () => {
  const imports = {
    "boards/": "./boards/",
    "up": "../up.ts",
    "/": "/srv/",
    "@std/assert": "jsr:@std/assert@1",
    "@std/path": "jsr:/@std/path@1",
    "chalk": "npm:chalk@5",
    "x/": "npm:/x@1/",
    "page": "https://example.com/page.ts",
    "odd": 7,
  };
  const scopes = { "./vendor/": { "up": "./vendor/up.ts" } };
  assertEquals(mergedMap({ imports, scopes }, BASE, LIBRARY, OWN), {
    imports: {
      "boards/": "file:///home/me/kernel/boards/",
      "up": "file:///home/me/up.ts",
      "/": "file:///srv/",
      "@std/assert": "jsr:@std/assert@1",
      "@std/assert/": "jsr:/@std/assert@1/",
      "@std/path": "jsr:/@std/path@1",
      "@std/path/": "jsr:/@std/path@1/",
      "chalk": "npm:chalk@5",
      "chalk/": "npm:/chalk@5/",
      "x/": "npm:/x@1/",
      "page": "https://example.com/page.ts",
      ...OURS,
    },
    scopes: {
      "file:///home/me/kernel/vendor/": { "up": "file:///home/me/kernel/vendor/up.ts" },
      ...OWN_SCOPE,
    },
  });
});

Deno.test("a folder that names the package itself is left alone", () => {
  const imports = { "@dinovisor/dinovisor/testing": "./ours.ts" };
  assertEquals(mergedMap({ imports }, BASE, LIBRARY, OWN), undefined);
  assertEquals(mergedMap({ name: "@dinovisor/dinovisor" }, BASE, LIBRARY, OWN), undefined);
});
