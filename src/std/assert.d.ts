/** Types for `@std/assert`, which comes from npm as plain JavaScript. Only what tests here use. */

/** What a failing assertion throws. */
export class AssertionError extends Error {}

/** Whatever it is made from: we only ever compare against it. */
type ErrorClass<E extends Error> = abstract new (...args: never[]) => E;

/** Fails unless `condition` is truthy; the compiler learns from it. */
export function assert(condition: unknown, message?: string): asserts condition;
/** Fails unless `condition` is falsy. */
export function assertFalse(condition: unknown, message?: string): void;
/** Fails unless both are deeply equal. */
export function assertEquals<T>(actual: T, expected: T, message?: string): void;
/** Fails when both are deeply equal. */
export function assertNotEquals<T>(actual: T, expected: T, message?: string): void;
/** Fails unless both are the same value. */
export function assertStrictEquals<T>(
  actual: unknown,
  expected: T,
  message?: string,
): asserts actual is T;
/** Fails when `actual` is null or undefined; the compiler learns from it. */
export function assertExists<T>(actual: T, message?: string): asserts actual is NonNullable<T>;
/** Fails unless `actual` > `expected`. */
export function assertGreater<T>(actual: T, expected: T, message?: string): void;
/** Fails unless `actual` <= `expected`. */
export function assertLessOrEqual<T>(actual: T, expected: T, message?: string): void;
/** Fails unless `actual` matches `expected`. */
export function assertMatch(actual: string, expected: RegExp, message?: string): void;
/** Fails unless `actual` contains `expected`. */
export function assertStringIncludes(actual: string, expected: string, message?: string): void;
/** Fails unless `actual` contains every element of `expected`. */
export function assertArrayIncludes<T>(
  actual: readonly T[],
  expected: readonly T[],
  message?: string,
): void;
/** Fails unless `actual` was made by `expected`; the compiler learns from it. */
export function assertInstanceOf<T>(
  actual: unknown,
  expected: abstract new (...args: never[]) => T,
  message?: string,
): asserts actual is T;
/** Fails unless `work` throws an `expected` whose message contains `part`; returns what it threw. */
export function assertThrows<E extends Error = Error>(
  work: () => unknown,
  expected?: ErrorClass<E>,
  part?: string,
  message?: string,
): E;
/** Fails unless the promise of `work` rejects with an `expected` whose message contains `part`. */
export function assertRejects<E extends Error = Error>(
  work: () => PromiseLike<unknown>,
  expected?: ErrorClass<E>,
  part?: string,
  message?: string,
): Promise<E>;
/** Fails. */
export function fail(message?: string): never;
