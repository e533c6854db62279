import { assertEquals, assertStringIncludes, assertThrows } from "../../src/std/assert.ts";
import { parseCpus, parseDuration, parseMemory } from "../../src/cli/quantity.ts";
import { FlagError } from "../../src/virtio/device_kind.ts";

/** The FlagError of `read`, as one text. */
function refusal(read: () => unknown): string {
  const { message, hint } = assertThrows(read, FlagError);
  return `${message} (${hint})`;
}

Deno.test("memory is MiB unless a unit says otherwise", () => {
  const sizes: Record<string, number> = {
    "128": 128,
    "128M": 128,
    "128m": 128,
    "512MiB": 512,
    "512MB": 512,
    "1G": 1024,
    "1.5GiB": 1536,
    "0.5g": 512,
    "1T": 1024 * 1024,
    "4096K": 4,
    "2": 2,
  };
  for (const [text, mib] of Object.entries(sizes)) assertEquals(parseMemory(text), mib, text);
});

Deno.test("memory that is no size, or none a machine can have, is refused with a hint", () => {
  for (
    const text of ["x", "", " ", "-1", "0x10", "1e3", "M", "128 M", "1,5G", "128B", "8iB"]
  ) {
    assertStringIncludes(refusal(() => parseMemory(text)), `--mem "${text}": it is no size`);
  }
  for (const text of ["0.3M", "1K"]) {
    assertStringIncludes(refusal(() => parseMemory(text)), "no whole number of MiB");
  }
  for (const text of ["0", "1M", "2T", "99999999999999999999"]) {
    assertStringIncludes(refusal(() => parseMemory(text)), "2M to 1024G are possible");
  }
});

Deno.test("cpus are a whole number within limits", () => {
  assertEquals(parseCpus("1"), 1);
  assertEquals(parseCpus("32"), 32);
  for (const text of ["0", "33", "1000000"]) {
    assertStringIncludes(refusal(() => parseCpus(text)), "1 to 32 are possible");
  }
  for (const text of ["", "-1", "1.5", "two", "0x2"]) {
    assertStringIncludes(refusal(() => parseCpus(text)), "it is no whole number");
  }
});

Deno.test("times have a unit", () => {
  const times: Record<string, number> = {
    "1500ms": 1500,
    "30s": 30_000,
    "0.5s": 500,
    "5m": 300_000,
    "1h": 3_600_000,
  };
  for (const [text, ms] of Object.entries(times)) assertEquals(parseDuration(text), ms, text);
  assertStringIncludes(refusal(() => parseDuration("30")), "add a unit: --timeout 30s");
  for (const text of ["", "s", "-1s", "1d", "1 s", "1S", "1e3s"]) {
    assertStringIncludes(refusal(() => parseDuration(text)), "it is no time");
  }
});

Deno.test("times a timer cannot keep are refused: it would fire at once", () => {
  assertEquals(parseDuration("2147483647ms"), 2 ** 31 - 1);
  for (const text of ["0s", "0.1ms", "2147483648ms", "1000h"]) {
    assertStringIncludes(refusal(() => parseDuration(text)), "1ms to 596h are possible");
  }
});
