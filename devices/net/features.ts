/** Which virtio-net features need which others, and what they mean as offloads (spec 5.1.3, 5.1.3.1). */
import {
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_CTRL_GUEST_OFFLOADS,
  VIRTIO_NET_F_CTRL_MAC_ADDR,
  VIRTIO_NET_F_CTRL_RX,
  VIRTIO_NET_F_CTRL_RX_EXTRA,
  VIRTIO_NET_F_CTRL_VLAN,
  VIRTIO_NET_F_CTRL_VQ,
  VIRTIO_NET_F_GUEST_ANNOUNCE,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_ECN,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_GUEST_TSO6,
  VIRTIO_NET_F_GUEST_USO4,
  VIRTIO_NET_F_GUEST_USO6,
  VIRTIO_NET_F_HOST_ECN,
  VIRTIO_NET_F_HOST_TSO4,
  VIRTIO_NET_F_HOST_TSO6,
  VIRTIO_NET_F_HOST_USO,
  VIRTIO_NET_F_MQ,
} from "./abi.ts";
import {
  OFFLOAD_CSUM,
  OFFLOAD_ECN,
  OFFLOAD_TSO4,
  OFFLOAD_TSO6,
  OFFLOAD_USO4,
  OFFLOAD_USO6,
} from "./backend.ts";

interface OffloadBit {
  readonly feature: bigint;
  readonly offloads: number;
}

/** Driver to device. */
const SEND: readonly OffloadBit[] = [
  { feature: VIRTIO_NET_F_CSUM, offloads: OFFLOAD_CSUM },
  { feature: VIRTIO_NET_F_HOST_TSO4, offloads: OFFLOAD_TSO4 },
  { feature: VIRTIO_NET_F_HOST_TSO6, offloads: OFFLOAD_TSO6 },
  { feature: VIRTIO_NET_F_HOST_ECN, offloads: OFFLOAD_ECN },
  { feature: VIRTIO_NET_F_HOST_USO, offloads: OFFLOAD_USO4 | OFFLOAD_USO6 },
];

/** Device to driver; also the bits of VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET. */
const RECEIVE: readonly OffloadBit[] = [
  { feature: VIRTIO_NET_F_GUEST_CSUM, offloads: OFFLOAD_CSUM },
  { feature: VIRTIO_NET_F_GUEST_TSO4, offloads: OFFLOAD_TSO4 },
  { feature: VIRTIO_NET_F_GUEST_TSO6, offloads: OFFLOAD_TSO6 },
  { feature: VIRTIO_NET_F_GUEST_ECN, offloads: OFFLOAD_ECN },
  { feature: VIRTIO_NET_F_GUEST_USO4, offloads: OFFLOAD_USO4 },
  { feature: VIRTIO_NET_F_GUEST_USO6, offloads: OFFLOAD_USO6 },
];

/** Each feature with alternatives of which it needs one (spec 5.1.3.1). */
const NEEDS: readonly { readonly feature: bigint; readonly oneOf: bigint }[] = [
  { feature: VIRTIO_NET_F_GUEST_TSO4, oneOf: VIRTIO_NET_F_GUEST_CSUM },
  { feature: VIRTIO_NET_F_GUEST_TSO6, oneOf: VIRTIO_NET_F_GUEST_CSUM },
  { feature: VIRTIO_NET_F_GUEST_ECN, oneOf: VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_GUEST_TSO6 },
  { feature: VIRTIO_NET_F_GUEST_USO4, oneOf: VIRTIO_NET_F_GUEST_CSUM },
  { feature: VIRTIO_NET_F_GUEST_USO6, oneOf: VIRTIO_NET_F_GUEST_CSUM },
  { feature: VIRTIO_NET_F_HOST_TSO4, oneOf: VIRTIO_NET_F_CSUM },
  { feature: VIRTIO_NET_F_HOST_TSO6, oneOf: VIRTIO_NET_F_CSUM },
  { feature: VIRTIO_NET_F_HOST_ECN, oneOf: VIRTIO_NET_F_HOST_TSO4 | VIRTIO_NET_F_HOST_TSO6 },
  { feature: VIRTIO_NET_F_HOST_USO, oneOf: VIRTIO_NET_F_CSUM },
  { feature: VIRTIO_NET_F_CTRL_RX, oneOf: VIRTIO_NET_F_CTRL_VQ },
  { feature: VIRTIO_NET_F_CTRL_RX_EXTRA, oneOf: VIRTIO_NET_F_CTRL_VQ },
  { feature: VIRTIO_NET_F_CTRL_VLAN, oneOf: VIRTIO_NET_F_CTRL_VQ },
  { feature: VIRTIO_NET_F_CTRL_MAC_ADDR, oneOf: VIRTIO_NET_F_CTRL_VQ },
  { feature: VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, oneOf: VIRTIO_NET_F_CTRL_VQ },
  { feature: VIRTIO_NET_F_GUEST_ANNOUNCE, oneOf: VIRTIO_NET_F_CTRL_VQ },
  { feature: VIRTIO_NET_F_MQ, oneOf: VIRTIO_NET_F_CTRL_VQ },
];

/** Whether `features` has what each of them needs. */
export function isClosed(features: bigint): boolean {
  return NEEDS.every(({ feature, oneOf }) =>
    (features & feature) === 0n || (features & oneOf) !== 0n
  );
}

/** The features that offer `offloads` to the driver, for sending. A bit of several offloads needs all of them. */
export function sendFeatures(offloads: number): bigint {
  return featuresOf(SEND, offloads);
}

/** The features that let the device hand `offloads` to the driver. */
export function receiveFeatures(offloads: number): bigint {
  return featuresOf(RECEIVE, offloads);
}

/** What a driver with these features may leave to the device. */
export function sendOffloads(features: bigint): number {
  return offloadsOf(SEND, features);
}

/** What the device may leave to a driver with these features. */
export function receiveOffloads(features: bigint): number {
  return offloadsOf(RECEIVE, features);
}

function featuresOf(bits: readonly OffloadBit[], present: number): bigint {
  return bits.reduce(
    (features, { feature, offloads }) =>
      (present & offloads) === offloads ? features | feature : features,
    0n,
  );
}

function offloadsOf(bits: readonly OffloadBit[], features: bigint): number {
  return bits.reduce(
    (present, { feature, offloads }) => (features & feature) === 0n ? present : present | offloads,
    0,
  );
}
