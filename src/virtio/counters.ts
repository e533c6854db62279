/** Where a device tells what it has counted: its kind (`DeviceKind.counters`) says what each number is. */
export interface Counters {
  /** These are the counts now, in the order of the kind's names. Cheap where nothing has changed; allocates nothing. */
  publish(counts: Float64Array): void;
}

/** For devices whose counts nobody asks for. */
export const NO_COUNTERS: Counters = { publish: () => {} };
