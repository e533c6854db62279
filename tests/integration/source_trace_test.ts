/** Places of a bundle in the sources' terms. Needs no KVM; files, because that is where maps are. */
import { assertEquals } from "../../src/std/assert.ts";
import { sourceTrace } from "../../src/cli/source_trace.ts";

/** `x` of one.ts, line 3, column 5, is at line 1, column 9 of the bundle; nothing is known of what is before it. */
const MAP = { version: 3, sources: ["src/one.ts"], names: [], mappings: "QAEI" };

async function withBundle(map: string | undefined, use: (url: string) => void): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "dinovisor trace " });
  try {
    if (map !== undefined) await Deno.writeTextFile(`${directory}/a.js.map`, map);
    use(`file://${directory}/a.js`);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("a place with a map becomes the source's, and the rest of a trace stays", async () => {
  await withBundle(JSON.stringify(MAP), (url) => {
    const trace =
      `Error: x\n    at a (${url}:1:9)\n    at async ${url}:1:12\n    at b (ext:c.js:1:2)`;
    assertEquals(
      sourceTrace(trace),
      "Error: x\n    at a (src/one.ts:3:5)\n    at async src/one.ts:3:5\n    at b (ext:c.js:1:2)",
    );
    assertEquals(sourceTrace(`at a (${url}:1:8)`), `at a (${url}:1:8)`);
  });
});

for (const map of [undefined, "no JSON", `{"version":3}`]) {
  Deno.test(`with ${map ?? "nothing"} for a map a trace stays as it is`, async () => {
    await withBundle(map, (url) => {
      assertEquals(sourceTrace(`at a (${url}:1:9)`), `at a (${url}:1:9)`);
    });
  });
}
