/** virtio-console numbers (spec 5.3; include/uapi/linux/virtio_console.h). */
import { struct, u16, u32 } from "../../src/abi/struct.ts";

export const VIRTIO_CONSOLE_F_SIZE: bigint = 1n << 0n;
export const VIRTIO_CONSOLE_F_MULTIPORT: bigint = 1n << 1n;
export const VIRTIO_CONSOLE_F_EMERG_WRITE: bigint = 1n << 2n;

export const virtio_console_config = struct("struct virtio_console_config", {
  cols: u16,
  rows: u16,
  max_nr_ports: u32,
  emerg_wr: u32,
});
export const virtio_console_control = struct("struct virtio_console_control", {
  id: u32,
  event: u16,
  value: u16,
});

export const VIRTIO_CONSOLE_DEVICE_READY = 0;
export const VIRTIO_CONSOLE_PORT_ADD = 1;
export const VIRTIO_CONSOLE_PORT_REMOVE = 2;
export const VIRTIO_CONSOLE_PORT_READY = 3;
export const VIRTIO_CONSOLE_CONSOLE_PORT = 4;
export const VIRTIO_CONSOLE_RESIZE = 5;
export const VIRTIO_CONSOLE_PORT_OPEN = 6;
export const VIRTIO_CONSOLE_PORT_NAME = 7;
