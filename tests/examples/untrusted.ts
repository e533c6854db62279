/** Runs a shell script that nobody trusts: no network, little memory, two minutes at most for all of it. */
import { Vm } from "@dinovisor/dinovisor";

const script = Deno.args[0] ?? "echo $((6 * 7)); while :; do :; done";
await using vm = await Vm.boot({ memory: "96MiB", signal: AbortSignal.timeout(120_000) });
const { code, signal, text } = await vm.output("sh", ["-c", script], {
  uid: 65534,
  gid: 65534,
  signal: AbortSignal.timeout(3000),
});
console.log(text.trim(), code, signal);
