/**
 * Packet headers (spec 5.1.6), checked in both directions: a guest's before a packet leaves, because the host's network
 * stack works by them; the host's before a packet arrives, because the driver only knows what it negotiated. Headers
 * are always copies in our own memory. Called by `transmit.ts` and `receive.ts`.
 */
import {
  ETH_HLEN,
  VIRTIO_NET_HDR_F_DATA_VALID,
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
  VIRTIO_NET_HDR_GSO_ECN,
  VIRTIO_NET_HDR_GSO_NONE,
  VIRTIO_NET_HDR_GSO_TCPV4,
  VIRTIO_NET_HDR_GSO_TCPV6,
  VIRTIO_NET_HDR_GSO_UDP_L4,
  virtio_net_hdr_v1 as HEADER,
} from "./abi.ts";
import {
  MAX_FRAME_BYTES,
  OFFLOAD_CSUM,
  OFFLOAD_ECN,
  OFFLOAD_TSO4,
  OFFLOAD_TSO6,
  OFFLOAD_USO4,
  OFFLOAD_USO6,
} from "./backend.ts";

/** The smallest IP header, IPv4 without options: a segmented packet has one. */
const IP_HEADER_BYTES = 20;
const TCP_HEADER_BYTES = 20;
const UDP_HEADER_BYTES = 8;
/** Where TCP and UDP keep their checksums. */
const TCP_CHECKSUM = 16;
const UDP_CHECKSUM = 6;

const { at } = HEADER;

function u16(bytes: Uint8Array, offset: number): number {
  return (bytes[offset] as number) | ((bytes[offset + 1] as number) << 8);
}

function setU16(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value;
  bytes[offset + 1] = value >>> 8;
}

/**
 * Whether a driver that negotiated `offloads` may send a frame of `length` bytes under `header`. What counts for
 * nothing is cleared in it, so that the host's stack sees nothing that was not checked.
 */
export function acceptForSending(header: Uint8Array, length: number, offloads: number): boolean {
  if (length < ETH_HLEN || length > MAX_FRAME_BYTES) return false; // NET-25, NET-26
  // Unknown flags are ignored (NET-14), and a driver's DATA_VALID means nothing.
  const needsChecksum = ((header[at.flags] as number) & VIRTIO_NET_HDR_F_NEEDS_CSUM) !== 0;
  header[at.flags] = needsChecksum ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0;
  setU16(header, at.num_buffers, 0); // NET-22
  if (needsChecksum) {
    if (!checksumFits(header, length, offloads)) return false;
  } else { // NET-15: the fields count for nothing
    setU16(header, at.csum_start, 0);
    setU16(header, at.csum_offset, 0);
  }
  if (header[at.gso_type] === VIRTIO_NET_HDR_GSO_NONE) {
    setU16(header, at.gso_size, 0);
    setU16(header, at.hdr_len, 0);
    return true;
  }
  return needsChecksum && segmentable(header, length, offloads);
}

/** The sum begins behind the Ethernet header, and its place is whole inside the frame (NET-24). */
function checksumFits(header: Uint8Array, length: number, offloads: number): boolean {
  if ((offloads & OFFLOAD_CSUM) === 0) return false;
  const start = u16(header, at.csum_start);
  return start >= ETH_HLEN && start + u16(header, at.csum_offset) + 2 <= length;
}

function segmentable(header: Uint8Array, length: number, offloads: number): boolean {
  const type = header[at.gso_type] as number;
  if (!mayHaveType(type, offloads) || u16(header, at.gso_size) === 0) return false;
  const isUdp = type === VIRTIO_NET_HDR_GSO_UDP_L4;
  const start = u16(header, at.csum_start);
  const end = start + (isUdp ? UDP_HEADER_BYTES : TCP_HEADER_BYTES);
  if (start < ETH_HLEN + IP_HEADER_BYTES || end > length) return false;
  if (u16(header, at.csum_offset) !== (isUdp ? UDP_CHECKSUM : TCP_CHECKSUM)) return false;
  // A hint only, and a wrong one must not hurt (NET-19): the host finds the headers' end by itself.
  if (u16(header, at.hdr_len) > length || u16(header, at.hdr_len) < end) {
    setU16(header, at.hdr_len, end);
  }
  return true;
}

/** Whether `type` is one segmentation that `offloads` has, with ECN only if they have that too (NET-24, NET-33). */
function mayHaveType(type: number, offloads: number): boolean {
  if ((type & VIRTIO_NET_HDR_GSO_ECN) !== 0 && (offloads & OFFLOAD_ECN) === 0) return false;
  switch (type) {
    case VIRTIO_NET_HDR_GSO_TCPV4:
    case VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN:
      return (offloads & OFFLOAD_TSO4) !== 0;
    case VIRTIO_NET_HDR_GSO_TCPV6:
    case VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN:
      return (offloads & OFFLOAD_TSO6) !== 0;
    case VIRTIO_NET_HDR_GSO_UDP_L4:
      return (offloads & (OFFLOAD_USO4 | OFFLOAD_USO6)) !== 0;
    default:
      return false; // UFO and tunnels are never offered
  }
}

/**
 * Whether a driver that takes `offloads` may get a packet with this header. A backend hands out what it was told
 * with `setOffloads`; packets already on their way when the driver changed its mind are lost here, as on a cable.
 */
export function acceptForReceiving(header: Uint8Array, offloads: number): boolean {
  const flags = header[at.flags] as number;
  if ((offloads & OFFLOAD_CSUM) === 0) { // NET-32
    if ((flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) !== 0) return false;
    header[at.flags] = 0;
  } else {
    header[at.flags] = flags & (VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID);
  }
  const type = header[at.gso_type] as number;
  if (type === VIRTIO_NET_HDR_GSO_NONE) return true;
  return mayHaveType(type, offloads) && u16(header, at.gso_size) !== 0 && // NET-33, NET-34
    (flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) !== 0;
}

/** Whether the packet is to be segmented by whoever gets it. */
export function isSegmented(header: Uint8Array): boolean {
  return (header[at.gso_type] as number) !== VIRTIO_NET_HDR_GSO_NONE;
}

/** How many buffers the packet takes (NET-28, NET-29). */
export function setBuffers(header: Uint8Array, count: number): void {
  setU16(header, at.num_buffers, count);
}
