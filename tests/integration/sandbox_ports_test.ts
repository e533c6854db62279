/** Programs in the guest that listen: TCP ports, HTTP, vsock; and waiting for them. */
import { Vm, VmError } from "../../src/mod.ts";
import { assertEquals, assertRejects } from "../../src/std/assert.ts";
import { linuxTest } from "../support/kvm.ts";

const PORT = 8000;
const BIG_KIB = 128;

linuxTest("a server in the guest is waited for, fetched from and called", async () => {
  await using vm = await Vm.boot();
  await vm.sh`mkdir -p /tmp/www/cgi-bin && echo 'hello web' > /tmp/www/index.html`;
  await vm.sh`dd if=/dev/urandom of=/tmp/www/big bs=1024 count=${BIG_KIB}`;
  const script = `#!/bin/sh
printf 'Status: 201 Made\\r\\n\\r\\n'
echo $REQUEST_METHOD $QUERY_STRING
cat
`;
  await vm.fs.writeTextFile("/tmp/www/cgi-bin/echo", script, { mode: 0o755 });
  const refused = await assertRejects(() => vm.connect({ port: PORT }), VmError);
  assertEquals(refused.code, "PORT_REFUSED");
  await using _httpd = await vm.spawn("httpd", ["-f", "-p", `${PORT}`, "-h", "/tmp/www"]);
  await vm.waitFor({ port: PORT });
  await vm.waitFor({ http: `http://guest:${PORT}/`, status: 200 });
  await vm.waitFor({ file: "/tmp/www/big" });
  await vm.waitFor({ command: "test -e /tmp/www/big" });
  const never = vm.waitFor({ file: "/tmp/never" }, { signal: AbortSignal.timeout(300) });
  await assertRejects(() => never, DOMException);

  const index = await vm.fetch(`http://guest:${PORT}/index.html`);
  assertEquals([index.status, index.headers.get("content-length")], [200, "10"]);
  assertEquals(await index.text(), "hello web\n");
  const posted = await vm.fetch(`http://guest:${PORT}/cgi-bin/echo?a=b`, {
    method: "POST",
    body: "the body",
    headers: { "content-length": "8" },
  });
  assertEquals([posted.status, await posted.text()], [201, "POST a=b\nthe body"]);
  assertEquals((await vm.fetch(`http://guest:${PORT}/nothing`)).status, 404);
  const files = await Promise.all([1, 2, 3].map(async () => {
    const response = await vm.fetch(`http://guest:${PORT}/big`);
    return new Uint8Array(await response.arrayBuffer());
  }));
  const whole = await vm.fs.readFile("/tmp/www/big");
  for (const file of files) assertEquals(file, whole);

  await assertRejects(() => vm.fetch(`http://guest:${PORT + 1}/`), TypeError, "Cannot fetch");
  await assertRejects(() => vm.fetch("https://guest/"), VmError, "only http:");
  await using call = await vm.connect({ port: PORT });
  const writer = call.writable.getWriter();
  await writer.write(new TextEncoder().encode("GET / HTTP/1.0\r\n\r\n"));
  await writer.close();
  const answer = await new Response(call.readable).text();
  assertEquals(answer.slice(0, 15), "HTTP/1.1 200 OK");
});
