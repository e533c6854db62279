/**
 * Which parts of a disk have been copied to its overlay: two bits for each cluster. "Copied" ones are read from the
 * overlay, and stay copied. "Held" ones are about to be: whoever wants to write there waits, or one copy would undo the
 * other's data.
 */

/** Of most disks: what a small write costs at most, and what a bit stands for. */
const CLUSTER_BYTES = 2 ** 16;
/** Larger disks have larger clusters, so that a guest that writes everywhere makes the two maps 16 MiB at most. */
const MAX_CLUSTERS = 2 ** 26;
/** Beyond this a small write would copy too much. */
const MAX_CLUSTER_BYTES = 2 ** 20;

/** The largest disk that can have an overlay, in bytes: 64 TiB. */
export const MAX_OVERLAY_BYTES: number = MAX_CLUSTERS * MAX_CLUSTER_BYTES;

export class ClusterMap {
  /** A power of two. */
  readonly clusterBytes: number;
  /** Of the disk. */
  readonly bytes: number;
  // Pages of zeroes until a bit in them is set: an empty map takes no memory.
  readonly #copied: Uint8Array;
  readonly #held: Uint8Array;

  /** For a disk of `bytes`; `clusterBytes` is for tests. */
  constructor(bytes: number, clusterBytes = CLUSTER_BYTES) {
    while (bytes > clusterBytes * MAX_CLUSTERS) clusterBytes *= 2;
    this.clusterBytes = clusterBytes;
    this.bytes = bytes;
    const clusters = Math.ceil(bytes / clusterBytes);
    this.#copied = new Uint8Array(Math.ceil(clusters / 8));
    this.#held = new Uint8Array(Math.ceil(clusters / 8));
  }

  /** The cluster that holds byte `offset`. */
  at(offset: number): number {
    return Math.floor(offset / this.clusterBytes);
  }

  /** Its first byte. */
  start(cluster: number): number {
    return cluster * this.clusterBytes;
  }

  /** The byte behind its last: the disk's end may come before the cluster's. */
  end(cluster: number): number {
    return Math.min((cluster + 1) * this.clusterBytes, this.bytes);
  }

  isCopied(cluster: number): boolean {
    return isSet(this.#copied, cluster);
  }

  isHeld(cluster: number): boolean {
    return isSet(this.#held, cluster);
  }

  /** How many bytes from `offset` on, of `length`, are all copied or all not. */
  alike(offset: number, length: number): number {
    let cluster = this.at(offset);
    const copied = this.isCopied(cluster);
    const end = offset + length;
    while (this.end(cluster) < end && this.isCopied(cluster + 1) === copied) cluster++;
    return Math.min(this.end(cluster), end) - offset;
  }

  /** How many bytes from `offset` on, of `length`, are neither copied nor held. */
  free(offset: number, length: number): number {
    const end = offset + length;
    let at = offset;
    while (at < end) {
      const cluster = this.at(at);
      if (this.isCopied(cluster) || this.isHeld(cluster)) break;
      at = Math.min(this.end(cluster), end);
    }
    return at - offset;
  }

  /** How many bytes from `offset`, where a cluster begins, belong to clusters that lie wholly in `length` and are not held. */
  whole(offset: number, length: number): number {
    const end = offset + length;
    let at = offset;
    for (let cluster = this.at(offset); at < end; cluster++) {
      if (this.isHeld(cluster) || this.end(cluster) > end) break;
      at = this.end(cluster);
    }
    return at - offset;
  }

  /** Makes others wait for clusters `first` to `last`. */
  hold(first: number, last: number): void {
    for (let cluster = first; cluster <= last; cluster++) set(this.#held, cluster);
  }

  /** The end of `hold`. */
  release(first: number, last: number): void {
    for (let cluster = first; cluster <= last; cluster++) {
      const byte = cluster >>> 3;
      this.#held[byte] = (this.#held[byte] as number) & ~(1 << (cluster & 7));
    }
  }

  /** From now on clusters `first` to `last` are read from the overlay. */
  setCopied(first: number, last: number): void {
    for (let cluster = first; cluster <= last; cluster++) set(this.#copied, cluster);
  }
}

function isSet(bits: Uint8Array, index: number): boolean {
  return ((bits[index >>> 3] as number) & (1 << (index & 7))) !== 0;
}

function set(bits: Uint8Array, index: number): void {
  const byte = index >>> 3;
  bits[byte] = (bits[byte] as number) | (1 << (index & 7));
}
