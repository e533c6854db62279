/** What driver and host have agreed on for now: written by `device.ts` and `control.ts`, read for every packet. */
import { NET_COUNTERS } from "./counts.ts";
import { ReceiveFilter } from "./filter.ts";

export class NetSettings {
  /** What the driver may leave to us (OFFLOAD_*). */
  sendOffloads = 0;
  /** What we may leave to the driver. */
  receiveOffloads = 0;
  /** VIRTIO_NET_F_MRG_RXBUF: a packet may take several receive buffers. */
  mergeable = false;
  /** With VIRTIO_NET_F_MTU: no longer IP packet is received. */
  mtu = Infinity;
  /** No longer frame is expected, segmented ones aside; see `NetBackend`. */
  longestFrame = Infinity;
  /** Whether packets move at all. */
  linkUp = true;
  readonly filter: ReceiveFilter = new ReceiveFilter();
  /** Since the device was made (`counts.ts`). Dropped: bad headers, no room, not wanted, link down. */
  readonly counts: Float64Array = new Float64Array(NET_COUNTERS.length);

  count(index: number, amount: number): void {
    this.counts[index] = (this.counts[index] as number) + amount;
  }
}
