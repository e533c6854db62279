/** virtio-net numbers (spec 5.1; include/uapi/linux/virtio_net.h). */
import { array, packedStruct, struct, u16, u32, u8 } from "../../src/abi/struct.ts";

export const VIRTIO_NET_F_CSUM: bigint = 1n << 0n;
export const VIRTIO_NET_F_GUEST_CSUM: bigint = 1n << 1n;
export const VIRTIO_NET_F_CTRL_GUEST_OFFLOADS: bigint = 1n << 2n;
export const VIRTIO_NET_F_MTU: bigint = 1n << 3n;
export const VIRTIO_NET_F_MAC: bigint = 1n << 5n;
export const VIRTIO_NET_F_GUEST_TSO4: bigint = 1n << 7n;
export const VIRTIO_NET_F_GUEST_TSO6: bigint = 1n << 8n;
export const VIRTIO_NET_F_GUEST_ECN: bigint = 1n << 9n;
export const VIRTIO_NET_F_HOST_TSO4: bigint = 1n << 11n;
export const VIRTIO_NET_F_HOST_TSO6: bigint = 1n << 12n;
export const VIRTIO_NET_F_HOST_ECN: bigint = 1n << 13n;
export const VIRTIO_NET_F_MRG_RXBUF: bigint = 1n << 15n;
export const VIRTIO_NET_F_STATUS: bigint = 1n << 16n;
export const VIRTIO_NET_F_CTRL_VQ: bigint = 1n << 17n;
export const VIRTIO_NET_F_CTRL_RX: bigint = 1n << 18n;
export const VIRTIO_NET_F_CTRL_VLAN: bigint = 1n << 19n;
export const VIRTIO_NET_F_CTRL_RX_EXTRA: bigint = 1n << 20n;
export const VIRTIO_NET_F_GUEST_ANNOUNCE: bigint = 1n << 21n;
export const VIRTIO_NET_F_MQ: bigint = 1n << 22n;
export const VIRTIO_NET_F_CTRL_MAC_ADDR: bigint = 1n << 23n;
export const VIRTIO_NET_F_GUEST_USO4: bigint = 1n << 54n;
export const VIRTIO_NET_F_GUEST_USO6: bigint = 1n << 55n;
export const VIRTIO_NET_F_HOST_USO: bigint = 1n << 56n;

export const VIRTIO_NET_S_LINK_UP = 1;
export const VIRTIO_NET_S_ANNOUNCE = 2;

export const virtio_net_config = packedStruct("struct virtio_net_config", {
  mac: array(u8, 6),
  status: u16,
  max_virtqueue_pairs: u16,
  mtu: u16,
  speed: u32,
  duplex: u8,
  rss_max_key_size: u8,
  rss_max_indirection_table_length: u16,
  supported_hash_types: u32,
});
/** Up to and including `mtu`: what a driver of these features may read. */
export const NET_CONFIG_BYTES = 12;

/** The header of every packet since virtio 1.0: `num_buffers` is always there (spec 5.1.6). */
export const virtio_net_hdr_v1 = struct("struct virtio_net_hdr_v1", {
  flags: u8,
  gso_type: u8,
  hdr_len: u16,
  gso_size: u16,
  csum_start: u16,
  csum_offset: u16,
  num_buffers: u16,
});
export const VIRTIO_NET_HDR_F_NEEDS_CSUM = 1;
export const VIRTIO_NET_HDR_F_DATA_VALID = 2;
export const VIRTIO_NET_HDR_GSO_NONE = 0;
export const VIRTIO_NET_HDR_GSO_TCPV4 = 1;
export const VIRTIO_NET_HDR_GSO_TCPV6 = 4;
export const VIRTIO_NET_HDR_GSO_UDP_L4 = 5;
export const VIRTIO_NET_HDR_GSO_ECN = 0x80;

// The control queue, spec 5.1.6.5.
export const VIRTIO_NET_OK = 0;
export const VIRTIO_NET_ERR = 1;
export const VIRTIO_NET_CTRL_RX = 0;
export const VIRTIO_NET_CTRL_RX_PROMISC = 0;
export const VIRTIO_NET_CTRL_RX_ALLMULTI = 1;
export const VIRTIO_NET_CTRL_RX_ALLUNI = 2;
export const VIRTIO_NET_CTRL_RX_NOMULTI = 3;
export const VIRTIO_NET_CTRL_RX_NOUNI = 4;
export const VIRTIO_NET_CTRL_RX_NOBCAST = 5;
export const VIRTIO_NET_CTRL_MAC = 1;
export const VIRTIO_NET_CTRL_MAC_TABLE_SET = 0;
export const VIRTIO_NET_CTRL_MAC_ADDR_SET = 1;
export const VIRTIO_NET_CTRL_VLAN = 2;
export const VIRTIO_NET_CTRL_VLAN_ADD = 0;
export const VIRTIO_NET_CTRL_VLAN_DEL = 1;
export const VIRTIO_NET_CTRL_ANNOUNCE = 3;
export const VIRTIO_NET_CTRL_ANNOUNCE_ACK = 0;
export const VIRTIO_NET_CTRL_MQ = 4;
export const VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET = 0;
export const VIRTIO_NET_CTRL_GUEST_OFFLOADS = 5;
export const VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET = 0;

export const ETH_ALEN = 6;
/** Destination, source, type. */
export const ETH_HLEN = 14;
export const ETH_P_8021Q = 0x8100;
/** What a VLAN tag adds to a frame. */
export const VLAN_TAG_BYTES = 4;
export const VLAN_N_VID = 4096;
