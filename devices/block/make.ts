/** A disk made of its configuration, on the I/O thread. */
import type { HostResources, LiveDevice } from "../../src/virtio/device_maker.ts";
import { QUEUE_SIZE } from "./config_space.ts";
import { BlockDevice } from "./device.ts";
import { diskFailure } from "./disk_backend.ts";
import { openFileBackend, scratchOf } from "./file_backend.ts";
import type { BlockConfig } from "./kind.ts";
import { MergingBackend } from "./merging_backend.ts";

/** Throws SysError when the file cannot be opened after all. */
export function makeBlock(config: BlockConfig, host: HostResources): LiveDevice {
  const { queues = 1 } = config;
  const operations = queues * QUEUE_SIZE;
  const backend = new MergingBackend(
    openFileBackend({ ...config, operations, opened: host.opened }, host.loop),
    operations,
  );
  const scratch = scratchOf(config);
  const name = config.id ?? config.path.slice(config.path.lastIndexOf("/") + 1);
  const device = new BlockDevice(
    backend,
    name.replace(/[^\x20-\x7e]/g, "?"),
    queues,
    (operation, errno) => host.backendFailed(diskFailure(config.path, operation, errno, scratch)),
    host.counters,
  );
  return {
    device,
    close: () => backend.close(),
    isBusy: () => device.isBusy,
  };
}
