import { assertEquals, assertStringIncludes } from "../../src/std/assert.ts";
import {
  hasNetAdmin,
  passtFinding,
  programPath,
  tapFinding,
} from "../../src/cli/network_checks.ts";

Deno.test("doctor says whether taps can be made, and never fails for them", () => {
  assertEquals(tapFinding(undefined, true).state, "ok");
  const user = tapFinding(undefined, false);
  assertEquals(user.state, "warn");
  assertStringIncludes(user.detail, "without CAP_NET_ADMIN");
  assertStringIncludes(user.hint ?? "", "sudo ip tuntap add tap0 mode tap user");
  for (const isAdmin of [true, false]) {
    const { state, detail, hint } = tapFinding("Cannot open /dev/net/tun: no such file", isAdmin);
    assertEquals(state, "warn");
    assertStringIncludes(detail, "Cannot open /dev/net/tun: no such file; machines run without");
    assertStringIncludes(hint ?? "", "sudo modprobe tun");
  }
});

Deno.test("doctor says where passt is, or how to install it", () => {
  assertEquals(passtFinding("/usr/bin/passt"), {
    state: "ok",
    subject: "passt (--net user)",
    detail: "/usr/bin/passt",
  });
  const { state, hint } = passtFinding(undefined);
  assertEquals([state, hint], ["warn", "on Debian and Ubuntu: sudo apt-get install passt"]);
});

Deno.test("CAP_NET_ADMIN is read from the effective capabilities", () => {
  const status = (effective: string) =>
    `CapPrm:\t000001ffffffffff\nCapEff:\t${effective}\nCapBnd:\t000001ffffffffff\n`;
  assertEquals(hasNetAdmin(status("0000000000001000")), true);
  assertEquals(hasNetAdmin(status("000001ffffffffff")), true);
  assertEquals(hasNetAdmin(status("000001ffffffefff")), false);
  assertEquals(hasNetAdmin(status("0000000000000000")), false);
  assertEquals(hasNetAdmin(""), false);
});

Deno.test("a program is looked for in the folders of PATH, in order", () => {
  const asked: string[] = [];
  const found = programPath("passt", "/a::/b:/c", (file) => {
    asked.push(file);
    return file === "/b/passt";
  });
  assertEquals([found, asked], ["/b/passt", ["/a/passt", "./passt", "/b/passt"]]);
  assertEquals(programPath("passt", "/a:/b", () => false), undefined);
});
