/** Sockets between guest and host made of their configuration, on the I/O thread. */
import type { HostResources, LiveDevice } from "../../src/virtio/device_maker.ts";
import type { VsockBackend } from "./backend.ts";
import { VsockDevice } from "./device.ts";
import type { VsockConfig } from "./kind.ts";
import { UdsBackend } from "./uds_backend.ts";

/** Throws SysError when a socket cannot be listened at; none is left then. */
export function makeVsock(
  { cid, uds }: VsockConfig,
  { loop, ownerSocket, backendFailed: failed }: HostResources,
): LiveDevice {
  const backends: VsockBackend[] = [];
  const close = (): void => backends.forEach((backend) => backend.close());
  try {
    if (ownerSocket !== undefined) {
      backends.push(
        new UdsBackend({ ...ownerSocket, ownProcessOnly: true, seqpacket: true, failed }, loop),
      );
    }
    if (uds !== undefined) backends.push(new UdsBackend({ path: uds, failed }, loop));
  } catch (error) {
    close();
    throw error;
  }
  const device = new VsockDevice(cid, backends);
  return {
    device,
    close: () => {
      device.reset(); // sockets of connections are the device's
      close();
    },
  };
}
