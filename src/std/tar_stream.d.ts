/** Types for `tar-stream`, which comes from npm with types of Node's streams. Only what is used here. */

/** A header, with what pax and GNU headers before it say of name, link and size. */
export interface TarHeader {
  readonly name: string;
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: Date;
  /** `null`: of no type that is known. */
  readonly type:
    | "file"
    | "link"
    | "symlink"
    | "character-device"
    | "block-device"
    | "directory"
    | "fifo"
    | "contiguous-file"
    | null;
  readonly linkname: string | null;
  readonly devmajor: number;
  readonly devminor: number;
  /** Where the entry's data begins in the archive. */
  readonly byteOffset: number;
  /** All records of its pax header, texts as UTF-8. */
  readonly pax: Readonly<Record<string, string>> | null;
}

/** An entry: read it to its end, or the next one does not come. */
export interface TarEntry extends AsyncIterable<Uint8Array> {
  readonly header: TarHeader;
  /** Reads it to its end, for nothing. */
  resume(): void;
}

/** An archive that is read. */
export interface Extract extends AsyncIterable<TarEntry> {
  /** False: wait for `drain` before more. */
  write(chunk: Uint8Array): boolean;
  /** No more will come. */
  end(): void;
  /** Ends reading with an error. */
  destroy(error?: Error): void;
  /** `close` comes after the end and after errors. */
  once(event: "drain" | "close", listener: () => void): void;
}

/** An archive that is written. */
export interface Pack extends AsyncIterable<Uint8Array> {
  /** Adds an entry with all of its data. */
  entry(
    header: Partial<TarHeader> & { readonly name: string },
    data?: Uint8Array | string,
  ): unknown;
  /** No more will come. */
  finalize(): void;
}

/** A reader. */
export function extract(): Extract;
/** A writer. */
export function pack(): Pack;
