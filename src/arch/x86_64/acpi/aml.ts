/**
 * ACPI Machine Language (ACPI 6.5, chapter 20) as far as our tables speak it: each function returns the bytes of one
 * term. A name or number the language cannot say throws `TypeError`: it is a bug of the caller. Used by `dsdt.ts`.
 */

/** Encoded terms. Tables are a few KiB and are written once: plain arrays are fast enough. */
export type Aml = readonly number[];

// 20.3, table 20.2.
const ZERO_OP = 0x00;
const ONE_OP = 0x01;
const NAME_OP = 0x08;
const BYTE_PREFIX = 0x0a;
const WORD_PREFIX = 0x0b;
const DWORD_PREFIX = 0x0c;
const STRING_PREFIX = 0x0d;
const QWORD_PREFIX = 0x0e;
const SCOPE_OP = 0x10;
const BUFFER_OP = 0x11;
const PACKAGE_OP = 0x12;
const METHOD_OP = 0x14;
const DUAL_NAME_PREFIX = 0x2e;
const MULTI_NAME_PREFIX = 0x2f;
const DEVICE_OP = [0x5b, 0x82];
const ROOT_CHAR = 0x5c;
const ARG0_OP = 0x68;
const NOTIFY_OP = 0x86;
const LEQUAL_OP = 0x93;
const IF_OP = 0xa0;

/** 20.2.2: how many characters a name segment has; shorter names are filled up with underscores. */
const SEGMENT_LENGTH = 4;
const SEGMENT = /^[A-Z_][A-Z0-9_]{0,3}$/;
const EISA_ID = /^[A-Z]{3}[0-9A-F]{4}$/;
const METHOD_SERIALIZED = 8;
/** 20.2.4: four bytes hold 4 + 3 * 8 bits. */
const PACKAGE_LENGTH_LIMIT = 2 ** 28;

/** NameString (20.2.2): `COM1`, `\_SB`, `\_SB.PWRB`. */
export function nameString(path: string): Aml {
  const root = path.startsWith("\\");
  const text = root ? path.slice(1) : path;
  const segments = text === "" && root ? [] : text.split(".").map(segment);
  return [...root ? [ROOT_CHAR] : [], ...segmentPrefix(segments.length), ...segments.flat()];
}

function segmentPrefix(count: number): Aml {
  if (count === 0) return [ZERO_OP]; // NullName
  if (count === 1) return [];
  if (count === 2) return [DUAL_NAME_PREFIX];
  if (count < 256) return [MULTI_NAME_PREFIX, count];
  throw new TypeError(`An AML name cannot have ${count} segments`);
}

function segment(name: string): Aml {
  if (!SEGMENT.test(name)) throw new TypeError(`AML name segment '${name}' is not allowed`);
  return ascii(name.padEnd(SEGMENT_LENGTH, "_"));
}

/** PkgLength (20.2.4) in front of `content`. The length counts its own bytes: one up to 63, then two, three, four. */
function sized(content: Aml): Aml {
  if (content.length + 1 < 2 ** 6) return [content.length + 1, ...content];
  for (const more of [1, 2, 3]) {
    const length = content.length + 1 + more;
    if (length >= 2 ** (4 + 8 * more)) continue;
    const rest = littleEndian(Math.floor(length / 16), more);
    return [(more << 6) | (length % 16), ...rest, ...content];
  }
  throw new TypeError(`An AML package of ${content.length} bytes is above ${PACKAGE_LENGTH_LIMIT}`);
}

/** An integer from 0 to 2**53 - 1 in its shortest form. */
export function integer(value: number): Aml {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new TypeError(`AML cannot hold the integer ${value}`);
  }
  if (value === 0) return [ZERO_OP];
  if (value === 1) return [ONE_OP];
  if (value < 2 ** 8) return [BYTE_PREFIX, value];
  if (value < 2 ** 16) return [WORD_PREFIX, ...littleEndian(value, 2)];
  if (value < 2 ** 32) return [DWORD_PREFIX, ...littleEndian(value, 4)];
  return [QWORD_PREFIX, ...littleEndian(value, 8)];
}

/** A string of ASCII characters other than NUL (20.2.3). */
export function string(text: string): Aml {
  return [STRING_PREFIX, ...ascii(text), 0];
}

/** `EISAID ("PNP0501")` (19.6.36): three letters of five bits and four digits of four, big-endian. */
export function eisaId(id: string): Aml {
  if (!EISA_ID.test(id)) throw new TypeError(`'${id}' is not an EISA id`);
  const [a = 0, b = 0, c = 0] = ascii(id.slice(0, 3)).map((letter) => letter - 0x40);
  const product = parseInt(id.slice(3), 16);
  const bytes = [(a << 2) | (b >> 3), ((b & 7) << 5) | c, product >> 8, product & 0xff];
  return [DWORD_PREFIX, ...bytes];
}

/** `Package () {…}` of up to 255 elements. */
export function packageOf(...elements: readonly Aml[]): Aml {
  if (elements.length > 255) {
    throw new TypeError(`A package cannot have ${elements.length} elements`);
  }
  return [PACKAGE_OP, ...sized([elements.length, ...elements.flat()])];
}

/** `Buffer () {…}`. */
export function buffer(bytes: Aml): Aml {
  return [BUFFER_OP, ...sized([...integer(bytes.length), ...bytes])];
}

/** `Name (path, value)`. */
export function name(path: string, value: Aml): Aml {
  return [NAME_OP, ...nameString(path), ...value];
}

/** `Scope (path) {…}`. */
export function scope(path: string, ...terms: readonly Aml[]): Aml {
  return [SCOPE_OP, ...sized([...nameString(path), ...terms.flat()])];
}

/** `Device (path) {…}`. */
export function device(path: string, ...terms: readonly Aml[]): Aml {
  return [...DEVICE_OP, ...sized([...nameString(path), ...terms.flat()])];
}

/** `Method (path, argumentCount, Serialized) {…}`. */
export function method(path: string, argumentCount: number, ...terms: readonly Aml[]): Aml {
  if (!Number.isInteger(argumentCount) || argumentCount < 0 || argumentCount > 7) {
    throw new TypeError(`A method cannot take ${argumentCount} arguments`);
  }
  const flags = argumentCount | METHOD_SERIALIZED;
  return [METHOD_OP, ...sized([...nameString(path), flags, ...terms.flat()])];
}

/** `If (Arg0 == value) {…}`. */
export function ifArg0(value: number, ...terms: readonly Aml[]): Aml {
  return [IF_OP, ...sized([LEQUAL_OP, ARG0_OP, ...integer(value), ...terms.flat()])];
}

/** `Notify (path, value)`. */
export function notify(path: string, value: number): Aml {
  return [NOTIFY_OP, ...nameString(path), ...integer(value)];
}

/** `value` in `size` bytes, lowest first. */
export function littleEndian(value: number, size: number): Aml {
  if (!Number.isSafeInteger(value) || value < 0 || value >= 2 ** (8 * size)) {
    throw new TypeError(`${value} does not fit into ${8 * size} bits`);
  }
  return Array.from({ length: size }, (_, i) => Math.floor(value / 2 ** (8 * i)) % 256);
}

/** AsciiCharList (20.2.3). */
function ascii(text: string): Aml {
  return Array.from(text, (character) => {
    const code = character.codePointAt(0) ?? 0;
    if (code === 0 || code > 0x7f) throw new TypeError(`'${text}' is not ASCII text`);
    return code;
  });
}
