/** A web server in a guest without a network, fetched from here. */
import { Vm } from "@dinovisor/dinovisor";

await using vm = await Vm.boot();
await vm.fs.mkdir("/tmp/www");
await vm.fs.writeTextFile("/tmp/www/index.html", "served by a microVM\n");
await using _server = await vm.spawn("httpd", ["-f", "-p", "80", "-h", "/tmp/www"]);
await vm.waitFor({ http: "http://guest/", status: 200 }, { signal: AbortSignal.timeout(60_000) });
const response = await vm.fetch("http://guest/index.html");
console.log(response.status, (await response.text()).trim());
