/**
 * Leaves two descriptors in flight: an end of a socket, and says whether that is still open when nobody has its number
 * any more; and the end for writing of the FIFO that it is told. Run by `in_flight_test.ts`.
 */
import { O_CLOEXEC, O_WRONLY } from "../../src/abi/linux.ts";
import { OwnedFd } from "../../src/sys/fd.ts";
import { leaveInFlight } from "../../src/sys/in_flight.ts";
import { cString, libc } from "../../src/sys/libc.ts";
import { childPair, isHungUp } from "../../src/sys/unix_socket.ts";

const [path = ""] = Deno.args;
const [ours, theirs] = childPair();
leaveInFlight(theirs.number);
theirs.close();
const fifo = new OwnedFd(libc().open(cString(path), O_WRONLY | O_CLOEXEC, 0));
leaveInFlight(fifo.number);
console.log(isHungUp(ours.number) ? "closed" : "open");
Deno.exit(0);
