/** virtio-vsock numbers (spec 5.10; include/uapi/linux/virtio_vsock.h, vm_sockets.h). */
import { packedStruct, u16, u32, u64 } from "../../src/abi/struct.ts";

export const VIRTIO_VSOCK_F_STREAM: bigint = 1n << 0n;
export const VIRTIO_VSOCK_F_SEQPACKET: bigint = 1n << 1n;
export const VIRTIO_VSOCK_F_NO_IMPLIED_STREAM: bigint = 1n << 2n;

export const virtio_vsock_config = packedStruct("struct virtio_vsock_config", { guest_cid: u64 });
export const virtio_vsock_event = packedStruct("struct virtio_vsock_event", { id: u32 });
export const virtio_vsock_hdr = packedStruct("struct virtio_vsock_hdr", {
  src_cid: u64,
  dst_cid: u64,
  src_port: u32,
  dst_port: u32,
  len: u32,
  type: u16,
  op: u16,
  flags: u32,
  buf_alloc: u32,
  fwd_cnt: u32,
});

export const VMADDR_CID_HOST = 2;
/** The highest number that is no wildcard (VMADDR_CID_ANY). */
export const MAX_GUEST_CID = 0xffff_fffe;
export const MIN_GUEST_CID = 3;

export const VIRTIO_VSOCK_TYPE_STREAM = 1;
export const VIRTIO_VSOCK_TYPE_SEQPACKET = 2;

export const VIRTIO_VSOCK_OP_REQUEST = 1;
export const VIRTIO_VSOCK_OP_RESPONSE = 2;
export const VIRTIO_VSOCK_OP_RST = 3;
export const VIRTIO_VSOCK_OP_SHUTDOWN = 4;
export const VIRTIO_VSOCK_OP_RW = 5;
export const VIRTIO_VSOCK_OP_CREDIT_UPDATE = 6;
export const VIRTIO_VSOCK_OP_CREDIT_REQUEST = 7;

export const VIRTIO_VSOCK_SHUTDOWN_RCV = 1;
export const VIRTIO_VSOCK_SHUTDOWN_SEND = 2;

export const VIRTIO_VSOCK_SEQ_EOM = 1;
export const VIRTIO_VSOCK_SEQ_EOR = 2;

export const VIRTIO_VSOCK_EVENT_TRANSPORT_RESET = 0;
