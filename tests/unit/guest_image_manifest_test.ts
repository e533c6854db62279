/** Images in archives: image-layout.md, image-index.md and config.md, and what docker save writes. */
import { assertEquals, assertRejects } from "../../src/std/assert.ts";
import { unpacked, wholeBytes } from "../../src/guest/image/byte_streams.ts";
import { readConfig, startWords } from "../../src/guest/image/config.ts";
import { ImageError } from "../../src/guest/image/errors.ts";
import { blocksOf, imageBytes } from "../../src/guest/image/ext4.ts";
import type { ImageFiles } from "../../src/guest/image/image_files.ts";
import { findImage } from "../../src/guest/image/manifest.ts";
import {
  concatenated,
  digest,
  dockerSave,
  type ImageInit,
  ociLayout,
  pieces,
  tarOf,
} from "../support/archives.ts";

const ARCHITECTURE = Deno.build.arch === "x86_64" ? "amd64" : "arm64";

class MapFiles implements ImageFiles {
  constructor(readonly files: Map<string, Uint8Array<ArrayBuffer>>) {}
  has(name: string): boolean {
    return this.files.has(name);
  }
  open(name: string): AsyncIterable<Uint8Array> {
    return pieces(this.files.get(name) ?? new Uint8Array());
  }
}

async function image(name: string, text: string): Promise<ImageInit> {
  const tar = await tarOf({ name: "f", data: text });
  const config = { Entrypoint: ["/bin/sh", "-c"], Cmd: [text], Env: ["A=1", "B=x=y", "C"] };
  return { name, config, layers: [{ tar, packed: tar }], architecture: ARCHITECTURE };
}

async function replaced(
  files: Map<string, Uint8Array<ArrayBuffer>>,
  name: string,
  change: (json: Record<string, unknown>) => void,
): Promise<MapFiles> {
  const json = JSON.parse(new TextDecoder().decode(files.get(name)));
  change(json);
  files.set(name, new TextEncoder().encode(JSON.stringify(json)));
  return await Promise.resolve(new MapFiles(files));
}

Deno.test("the only image of a layout is found, with all it says", async () => {
  const one = await image("latest", "hello");
  const found = await findImage(new MapFiles(await ociLayout(one)), undefined);
  assertEquals(found.config, {
    entrypoint: ["/bin/sh", "-c"],
    cmd: ["hello"],
    env: { A: "1", B: "x=y", C: "" },
    workdir: "/",
    user: "",
  });
  const [layer] = found.layers;
  const [{ tar } = { tar: new Uint8Array() }] = one.layers;
  assertEquals(layer?.diffId, await digest(tar));
  assertEquals(layer?.name, `blobs/sha256/${layer?.diffId.slice(7)}`);
});

Deno.test("among several a ref chooses: by name, the end of one, or digest", async () => {
  const files = await ociLayout(
    await image("docker.io/library/one:1", "1"),
    await image("two:2", "2"),
  );
  const archive = new MapFiles(files);
  assertEquals((await findImage(archive, "one:1")).config.cmd, ["1"]);
  assertEquals((await findImage(archive, "two:2")).config.cmd, ["2"]);
  const index = JSON.parse(new TextDecoder().decode(files.get("index.json")));
  assertEquals((await findImage(archive, index.manifests[1].digest)).config.cmd, ["2"]);
  for (const ref of [undefined, "three"]) {
    const error = await assertRejects(() => findImage(archive, ref), ImageError);
    assertEquals([error.code, error.hint?.includes("docker.io/library/one:1, two:2")], [
      "ROOTFS_REF",
      true,
    ]);
  }
});

Deno.test("an index of an index leads to the image for this machine", async () => {
  const files = await ociLayout(await image("x", "1"));
  const inner = JSON.parse(new TextDecoder().decode(files.get("index.json")));
  const [entry] = inner.manifests;
  const other = {
    digest: `sha256:${"0".repeat(64)}`,
    platform: { os: "linux", architecture: "m68k" },
  };
  const unknown = { ...other, platform: { os: "unknown", architecture: "unknown" } };
  const ours = { ...entry, platform: { os: "linux", architecture: ARCHITECTURE } };
  const bytes = new TextEncoder().encode(JSON.stringify({ manifests: [other, unknown, ours] }));
  const name = await digest(bytes);
  files.set(`blobs/sha256/${name.slice(7)}`, bytes);
  const mediaType = "application/vnd.oci.image.index.v1+json";
  const archive = await replaced(files, "index.json", (json) => {
    json["manifests"] = [{ mediaType, digest: name }];
  });
  assertEquals((await findImage(archive, undefined)).config.cmd, ["1"]);
});

Deno.test("what docker save wrote is read as well", async () => {
  const archive = new MapFiles(await dockerSave({ ...await image("one:1", "1"), name: "one:1" }));
  const found = await findImage(archive, undefined);
  assertEquals(found.layers.map(({ name }) => name), ["layer0/layer.tar"]);
  assertEquals((await findImage(archive, "one:1")).id, found.id);
});

Deno.test("damaged and foreign images are refused", async () => {
  const good = await image("x", "1");
  const changed = await ociLayout(good);
  const index = JSON.parse(new TextDecoder().decode(changed.get("index.json")));
  const manifest = `blobs/sha256/${index.manifests[0].digest.slice(7)}`;
  const cases: readonly (readonly [ImageFiles, string])[] = [
    [await replaced(changed, manifest, (json) => json["x"] = 1), "ROOTFS_DAMAGED"],
    [
      await replaced(await ociLayout(good), "index.json", (json) => {
        json["manifests"] = [{ digest: "sha256:../../etc/passwd" }];
      }),
      "ROOTFS_DAMAGED",
    ],
    [
      await replaced(await ociLayout(good), "index.json", (json) => json["manifests"] = {}),
      "ROOTFS_DAMAGED",
    ],
    [new MapFiles(await ociLayout({ ...good, architecture: "s390x" })), "ROOTFS_KIND"],
    [new MapFiles(new Map([["index.json", new TextEncoder().encode("{")]])), "ROOTFS_DAMAGED"],
    [new MapFiles(await ociLayout({ ...good, config: { Env: [1] } })), "ROOTFS_DAMAGED"],
  ];
  for (const [files, code] of cases) {
    const error = await assertRejects(() => findImage(files, undefined), ImageError);
    assertEquals(error.code, code, error.message);
  }
});

Deno.test("the words of a start are docker's", () => {
  const start = (entrypoint: string[], cmd: string[], args?: string[]): readonly string[] =>
    startWords({ entrypoint, cmd, env: {}, workdir: "/", user: "" }, args);
  assertEquals(start(["e"], ["c"]), ["e", "c"]);
  assertEquals(start(["e"], ["c"], ["a", "b"]), ["e", "a", "b"]);
  assertEquals(start(["e"], ["c"], []), ["e"]);
  assertEquals(start([], ["c"]), ["c"]);
  assertEquals(start([], ["c"], ["a"]), ["a"]);
  assertEquals(start([], []), []);
  const { config } = readConfig({ config: null, rootfs: { diff_ids: [] } });
  assertEquals(config, { entrypoint: [], cmd: [], env: {}, workdir: "/", user: "" });
});

Deno.test("gzip is unpacked to its last member, damage is told", async () => {
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  const one = await gzipped("hello "), other = await gzipped("world");
  const both = concatenated([one, other]);
  assertEquals(text(await wholeBytes(unpacked(pieces(both, 1)), 100)), "hello world");
  assertEquals(text(await wholeBytes(unpacked(pieces(new Uint8Array([65, 66]))), 100)), "AB");
  const short = both.subarray(0, both.length - 9);
  const error = await assertRejects(() => wholeBytes(unpacked(pieces(short)), 100), ImageError);
  assertEquals(error.code, "ROOTFS_DAMAGED");
  const xz = new Uint8Array([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]);
  const kind = await assertRejects(() => wholeBytes(unpacked(pieces(xz)), 100), ImageError);
  assertEquals(kind.code, "ROOTFS_KIND");
  await assertRejects(() => wholeBytes(pieces(both), 10), ImageError);
});

Deno.test("an image has room to spare", () => {
  assertEquals(imageBytes({ bytes: 0, names: 0 }), 2 ** 30);
  assertEquals(imageBytes({ bytes: 10 * 2 ** 30, names: 0 }), 12.5 * 2 ** 30);
  assertEquals([blocksOf(0), blocksOf(1), blocksOf(4096), blocksOf(4097)], [0, 4096, 4096, 8192]);
});

async function gzipped(text: string): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"));
  return await new Response(stream).bytes();
}
