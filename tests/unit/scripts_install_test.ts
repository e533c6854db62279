/** What `deno task install` is told, and the launcher it writes. */
import { launcher, prefixOf } from "../../scripts/install.ts";
import { assert, assertEquals, assertThrows } from "../../src/std/assert.ts";

Deno.test("a prefix is read in both spellings, and may be left out", () => {
  assertEquals(prefixOf([]), undefined);
  assertEquals(prefixOf(["--prefix", "/opt"]), "/opt");
  assertEquals(prefixOf(["--prefix=/opt"]), "/opt");
});

for (const args of [["--prefix"], ["--prefix="], ["--prefix", "/a", "b"], ["/opt"], ["--root=/"]]) {
  Deno.test(`"${args.join(" ")}" is refused`, () => {
    assertThrows(() => prefixOf(args), Error, "Cannot read");
  });
}

Deno.test("the launcher quotes its paths for a shell", () => {
  const text = launcher("/a b/deno", "1.2.3", "/it's");
  assert(text.startsWith("#!/bin/sh\n"), text);
  assert(text.includes(`'/it'\\''s/main.js'`), text);
  assert(text.includes('export DINOVISOR_DENO_DIR="${DENO_DIR-}"\n  export DENO_DIR='), text);
  assert(text.includes(`export DENO_DIR='/it'\\''s/cache'`), text);
  assert(text.includes(`[ -x '/a b/deno' ] && exec '/a b/deno' "$@"`), text);
  assert(text.includes(`exec npx -y deno@1.2.3 "$@"`), text);
});
