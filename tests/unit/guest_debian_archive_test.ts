import { assert, assertEquals, assertStringIncludes, assertThrows } from "../../src/std/assert.ts";
import {
  aptConfiguration,
  downloadFraction,
  parsePackages,
  sourceLines,
} from "../../src/guest/debian_archive.ts";
import { GuestBuildError } from "../../src/guest/errors.ts";
import { KERNEL_PACKAGE, kernelPackages } from "../../src/guest/stock_packages.ts";

const SHOWN = `Package: linux-image-cloud-amd64
Source: linux-signed-amd64 (6.1.192+2)
Version: 6.1.192-2
Provides: wireguard-modules (= 1.0.0)
Depends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2), kmod:any | libkmod2 (>> 30~), c++abi
Description: Linux for x86-64 cloud (meta-package)
 Depends: this is prose
Size: 1504

Package: linux-image-6.1.0-56-cloud-amd64
Version: 6.1.192-2
Size: 26713492

W: Something that apt wanted to say
`;

function packageOf(name: string, ...depends: string[]) {
  return { name, version: "1", depends, size: 1 };
}

Deno.test("packages are read from what apt-cache shows", () => {
  assertEquals(parsePackages(SHOWN), [
    {
      name: "linux-image-cloud-amd64",
      version: "6.1.192-2",
      depends: ["linux-image-6.1.0-56-cloud-amd64", "kmod", "libkmod2", "c++abi"],
      size: 1504,
    },
    {
      name: "linux-image-6.1.0-56-cloud-amd64",
      version: "6.1.192-2",
      depends: [],
      size: 26713492,
    },
  ]);
  assertEquals(parsePackages(""), []);
  assertEquals(parsePackages("Package: half\n"), []);
});

Deno.test("a released suite has security fixes, and every list is verified with Debian's keys", () => {
  const lines = sourceLines("bookworm").trim().split("\n");
  assertEquals(lines.map((line) => line.replace(/\[.*\] /, "")), [
    "deb http://deb.debian.org/debian bookworm main",
    "deb http://deb.debian.org/debian bookworm-updates main",
    "deb http://deb.debian.org/debian-security bookworm-security main",
  ]);
  for (const line of [...lines, sourceLines("sid")]) {
    assertStringIncludes(line, "signed-by=/usr/share/keyrings/debian-archive-keyring.gpg");
    assert(!line.includes("trusted"), line);
  }
  assertEquals(sourceLines("sid").trim().split("\n").length, 1);
});

Deno.test("apt keeps to its own directory", () => {
  const lines = aptConfiguration("/scratch").trim().split("\n");
  const settings = new Map(lines.map((line) => {
    const [, name = "", value = ""] = /^(\S+) (.*);$/.exec(line) ?? [];
    return [name, value];
  }));
  const places = ["Dir::State", "Dir::State::lists", "Dir::State::status", "Dir::Cache"]
    .concat(["Dir::Cache::archives", "Dir::Etc::sourcelist", "Dir::Etc::sourceparts"])
    .concat(["Dir::Etc::preferences", "Dir::Etc::preferencesparts"]);
  for (const name of places) assert(settings.get(name)?.startsWith('"/scratch'), name);
  assertEquals(settings.get("Acquire::AllowInsecureRepositories"), '"false"');
  // The host's proxy stays.
  for (const line of lines) assert(!/Acquire::http|clear Acquire/.test(line), line);
});

Deno.test("apt's status lines tell how far a download is", () => {
  assertEquals(downloadFraction("dlstatus:1:20.5000:Retrieving file 1 of 1"), 0.205);
  assertEquals(downloadFraction("dlstatus:3:100.0000:Retrieving file 3 of 3"), 1);
  assertEquals(
    downloadFraction("Get:1 http://deb.debian.org/debian bookworm InRelease"),
    undefined,
  );
});

Deno.test("a meta package leads to one kernel, in one package or in several", () => {
  const meta = packageOf("linux-image-cloud-amd64");
  const old = packageOf("linux-image-6.1.0-56-cloud-amd64");
  assertEquals(kernelPackages([meta, old], "bookworm"), {
    release: "6.1.0-56-cloud-amd64",
    packages: [old],
  });
  const parts = ["image", "binary", "modules"]
    .map((part) => packageOf(`linux-${part}-7.2.13+deb14-cloud-amd64`));
  assertEquals(kernelPackages([meta, ...parts], "sid"), {
    release: "7.2.13+deb14-cloud-amd64",
    packages: parts,
  });
  for (const name of ["kmod", "linux-base-7.2.13+deb14-cloud-amd64", "linux-image-amd64"]) {
    assertEquals(KERNEL_PACKAGE.test(name), false, name);
  }
});

Deno.test("no kernel, or two, is an error that names them", () => {
  for (const names of [[], ["linux-image-6.1-cloud-amd64", "linux-modules-6.2-cloud-amd64"]]) {
    const error = assertThrows(() => kernelPackages(names.map((name) => packageOf(name)), "sid"));
    assert(error instanceof GuestBuildError && error.code === "GUEST_PACKAGES");
    for (const name of names) assertStringIncludes(error.message, name);
    assertStringIncludes(error.hint ?? "", "--kernel");
  }
});
