/** Three machines on one switch: each pings the next. */
import { Switch, Vm } from "@dinovisor/dinovisor";

await using lan = new Switch();
await using machines = new AsyncDisposableStack();
const vms = await Promise.all([1, 2, 3].map(async (number) => {
  const vm = machines.use(await Vm.boot({ net: { mode: "switch", switch: lan } }));
  await vm.sh`ip link set eth0 up && ip address add ${`10.0.0.${number}/24`} dev eth0`;
  return vm;
}));
const pings = vms.map((vm, i) => vm.sh`ping -q -c 2 ${`10.0.0.${(i + 1) % 3 + 1}`}`.code());
console.log(await Promise.all(pings));
