/** What a disk counts, of requests that were done: bytes, requests; and those the host has refused. */
export const BLOCK_COUNTERS = [
  "readBytes",
  "writeBytes",
  "reads",
  "writes",
  "flushes",
  "failures",
] as const;

/** Where each is. */
export const READ_BYTES = 0;
export const WRITE_BYTES = 1;
export const READS = 2;
export const WRITES = 3;
export const FLUSHES = 4;
export const FAILURES = 5;
