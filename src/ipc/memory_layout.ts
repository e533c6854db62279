/** Where guest RAM is mapped, as one isolate tells another: addresses, never views (a clone would copy it all). */

export interface MemoryLayout {
  readonly regions: readonly {
    /** Guest-physical. */
    readonly base: number;
    readonly size: number;
    readonly hostAddress: number;
  }[];
}
