/**
 * What can go wrong between driver and device, by who has to act (hostile-driver.md "Policy").
 * A fault of the driver never leaves the device as anything else than these.
 */

/** The rings contradict themselves: all queues stop, NEEDS_RESET is set, the driver must reset (class R). */
export class DriverFault extends Error {
  override readonly name = "DriverFault";
}

/** Our own bug: the machine stops rather than go on with wrong state. */
export class InvariantError extends Error {
  override readonly name = "InvariantError";
}
