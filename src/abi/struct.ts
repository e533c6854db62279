/**
 * Layouts of C structs as data: one declaration gives offsets, size and ioctl number.
 * Called by every other file of `src/abi`; checked against a C compiler by `scripts/check_abi.ts`.
 */

/** A field's size and alignment in bytes. */
export interface FieldType {
  readonly size: number;
  readonly align: number;
}

export const u8: FieldType = { size: 1, align: 1 };
export const u16: FieldType = { size: 2, align: 2 };
export const u32: FieldType = { size: 4, align: 4 };
export const i32: FieldType = { size: 4, align: 4 };
export const u64: FieldType = { size: 8, align: 8 };

/** `type name[count]`. */
export function array(type: FieldType, count: number): FieldType {
  return { size: type.size * count, align: type.align };
}

/** A C struct: its size, and the byte offset of each field in `at`. */
export interface Struct<F extends string = string> extends FieldType {
  /** The C spelling (`struct kvm_regs`), for the probe of `scripts/check_abi.ts`. */
  readonly cName: string;
  readonly at: Readonly<Record<F, number>>;
}

function layout<F extends string>(
  cName: string,
  fields: Readonly<Record<F, FieldType>>,
  packed: boolean,
): Struct<F> {
  const at = {} as Record<F, number>;
  let offset = 0;
  let structAlign = 1;
  for (const name of Object.keys(fields) as F[]) {
    const { size, align } = fields[name];
    const fieldAlign = packed ? 1 : align;
    offset = Math.ceil(offset / fieldAlign) * fieldAlign;
    at[name] = offset;
    offset += size;
    structAlign = Math.max(structAlign, fieldAlign);
  }
  return { cName, at, size: Math.ceil(offset / structAlign) * structAlign, align: structAlign };
}

/** Lays `fields` out by the C rules of natural alignment (System V ABI, LP64). */
export function struct<F extends string>(
  cName: string,
  fields: Readonly<Record<F, FieldType>>,
): Struct<F> {
  return layout(cName, fields, false);
}

/** The same for `__attribute__((packed))`. */
export function packedStruct<F extends string>(
  cName: string,
  fields: Readonly<Record<F, FieldType>>,
): Struct<F> {
  return layout(cName, fields, true);
}

// include/uapi/asm-generic/ioctl.h: direction, size, type and number in one word.
const IOC_WRITE = 1;
const IOC_READ = 2;

function ioc(direction: number, type: number, nr: number, size: number): number {
  return ((direction << 30) | (size << 16) | (type << 8) | nr) >>> 0;
}

/** `_IO(type, nr)`. */
export function io(type: number, nr: number): number {
  return ioc(0, type, nr, 0);
}
/** `_IOW(type, nr, T)`. */
export function iow(type: number, nr: number, argument: FieldType): number {
  return ioc(IOC_WRITE, type, nr, argument.size);
}
/** `_IOR(type, nr, T)`. */
export function ior(type: number, nr: number, argument: FieldType): number {
  return ioc(IOC_READ, type, nr, argument.size);
}
/** `_IOWR(type, nr, T)`. */
export function iowr(type: number, nr: number, argument: FieldType): number {
  return ioc(IOC_READ | IOC_WRITE, type, nr, argument.size);
}
