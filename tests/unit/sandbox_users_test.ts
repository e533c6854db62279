/** Users of the guest, by its own files. */
import { VmError } from "../../src/sandbox/errors.ts";
import { userOf } from "../../src/sandbox/users.ts";
import { assertEquals, assertThrows } from "../../src/std/assert.ts";

const FILES = {
  passwd: `root:x:0:0:root:/root:/bin/sh
# nobody:x:1:1::/:
bob:x:1000:1000:Bob:/home/bob:/bin/sh
1000:x:2000:7::/home/digits:
homeless:x:5:6
broken
huge:x:4294967295:0::/:
`,
  group:
    "root:x:0:\nbob:x:1000:\nstaff:x:50:alice,bob\naudio:x:29:bob\nown:x:1000:bob\nbad:x:x:bob\n",
};

Deno.test("a user has the ids, groups and variables of the guest's files", () => {
  assertEquals(userOf("bob", FILES), {
    uid: 1000,
    gid: 1000,
    groups: [1000, 50, 29],
    env: { HOME: "/home/bob", USER: "bob", LOGNAME: "bob" },
  });
  assertEquals(userOf("root", FILES).groups, [0]);
  const { uid, gid, env } = userOf("homeless", FILES);
  assertEquals([uid, gid, env.HOME], [5, 6, "/"]);
});

Deno.test("a group that is said is the only one", () => {
  const of = (user: string) => {
    const { uid, gid, groups } = userOf(user, FILES);
    return [uid, gid, groups];
  };
  assertEquals(of("bob:staff"), [1000, 50, [50]]);
  assertEquals(of("bob:77"), [1000, 77, [77]]);
  assertEquals(of("7:0"), [7, 0, [0]]);
});

Deno.test("names come before ids, and an id needs no name", () => {
  assertEquals(userOf("1000", FILES).uid, 2000);
  assertEquals(userOf(2000, FILES).env.USER, "1000");
  assertEquals(userOf(4000, { passwd: "", group: "" }), {
    uid: 4000,
    gid: 0,
    groups: [0],
    env: { HOME: "/" },
  });
});

const REFUSED: readonly (readonly [string | number, string])[] = [
  ["alice", "USER_NOT_FOUND"],
  ["nobody", "USER_NOT_FOUND"],
  ["broken", "USER_NOT_FOUND"],
  ["huge", "USER_NOT_FOUND"],
  ["4294967295", "USER_NOT_FOUND"],
  [-1, "USER_NOT_FOUND"],
  ["bob:wheel", "GROUP_NOT_FOUND"],
  ["bob:bad", "GROUP_NOT_FOUND"],
  ["", "USER_INVALID"],
  ["bob:", "USER_INVALID"],
  [":0", "USER_INVALID"],
];
Deno.test("who is not there is said by name", () => {
  for (const [user, code] of REFUSED) {
    assertEquals(assertThrows<VmError>(() => userOf(user, FILES), VmError).code, code, `${user}`);
  }
});

Deno.test("a user in more groups than the agent takes has the first of them", () => {
  const group = Array.from({ length: 400 }, (_, i) => `g${i}:x:${2000 + i}:bob`).join("\n");
  assertEquals(userOf("bob", { ...FILES, group }).groups.length, 256);
});
