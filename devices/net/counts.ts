/** What a card counts, from the guest's side: bytes of frames, frames, and those that were dropped. */
export const NET_COUNTERS = [
  "rxBytes",
  "txBytes",
  "rxPackets",
  "txPackets",
  "rxDropped",
  "txDropped",
] as const;

/** Where each is. */
export const RX_BYTES = 0;
export const TX_BYTES = 1;
export const RX_PACKETS = 2;
export const TX_PACKETS = 3;
export const RX_DROPPED = 4;
export const TX_DROPPED = 5;
