/** An overlay over two disks in memory. */
import { ClusterMap } from "../../devices/block/cluster_map.ts";
import { CopyMemory, copyMemoryBytes } from "../../devices/block/copy_memory.ts";
import { OverlayBackend } from "../../devices/block/overlay_backend.ts";
import { gpa } from "../../src/memory/guest_memory.ts";
import { sectorsOf } from "./block_requests.ts";
import { FakeDisk } from "./fake_disk.ts";
import type { GuestRam } from "./guest_ram.ts";

export interface FakeOverlay {
  readonly overlay: OverlayBackend;
  readonly base: FakeDisk;
  readonly scratch: FakeDisk;
  readonly map: ClusterMap;
  /** What a read of this sector is to see. */
  sector(index: number): Uint8Array<ArrayBuffer>;
  /** What was said when the copy memory was released. */
  readonly released: boolean[];
}

/** Small clusters, so that small disks have many. The monitor's copy memory lies in `ram`, for the fake disks find it there. */
export function fakeOverlay(ram: GuestRam, sectors = 64, clusterBytes = 2048): FakeOverlay {
  const base = new FakeDisk(ram, { sectors, readOnly: true });
  const scratch = new FakeDisk(ram, { sectors });
  scratch.bytes.fill(0);
  const map = new ClusterMap(sectors * 512, clusterBytes);
  const length = copyMemoryBytes(clusterBytes);
  const at = ram.allocate(length);
  ram.fill(at, length, 0);
  ram.allow(at, length);
  const released: boolean[] = [];
  const memory = new CopyMemory({
    address: ram.memory.hostAddress(gpa(at), length),
    release: (inUse) => void released.push(inUse),
  }, clusterBytes);
  const overlay = new OverlayBackend(base, scratch, map, memory);
  const sector = (index: number) =>
    sectorsOf(map.isCopied(map.at(index * 512)) ? scratch : base, index, 1);
  return { overlay, base, scratch, map, sector, released };
}
