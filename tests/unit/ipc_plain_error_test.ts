/** Errors as they cross threads. */
import { assert, assertEquals } from "../../src/std/assert.ts";
import { plainError } from "../../src/ipc/messages.ts";
import { KvmError } from "../../src/kvm/kvm_error.ts";

Deno.test("an error keeps name, message, code and hint through a structured clone", () => {
  const error = new KvmError("open /dev/kvm", 13);
  const { stack, ...rest } = structuredClone(plainError(error));
  assert(stack?.includes("/dev/kvm"));
  assertEquals(rest, {
    name: "KvmError",
    message: "cannot open /dev/kvm: permission denied",
    code: "KVM_EACCES",
    hint: error.hint ?? "",
  });
});

Deno.test("what an error does not have is left out, not undefined", () => {
  const plain = plainError(new TypeError("x"));
  assertEquals(Object.keys(plain).sort(), ["message", "name", "stack"]);
});

Deno.test("codes that are no text do not cross", () => {
  assertEquals(plainError(Object.assign(new Error("x"), { code: 5, hint: null })).code, undefined);
});

for (const thrown of ["text", undefined, null, 5]) {
  Deno.test(`${JSON.stringify(thrown)} thrown becomes an error with that text`, () => {
    assertEquals(plainError(thrown), { name: "Error", message: String(thrown) });
  });
}
