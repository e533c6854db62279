/**
 * What one run of the tiny guest fires: cases of the fuzzer, by one processor or by several at once, at all devices of a
 * machine. A seed gives the same again. Used by `under_fire.ts`.
 */
import { VIRTIO_MMIO_QUEUE_NOTIFY } from "../../src/abi/virtio.ts";
import { DESC_BYTES } from "../support/driver_queue.ts";
import { littleEndian } from "../support/guest_ram.ts";
import { fireImage, FireProgram, type Flip } from "./fire_program.ts";
import { type FireDevice, type FireRange, FireRecorder, isGuestsOwn } from "./fire_recorder.ts";
import { makeCase } from "./generator.ts";
import { Random } from "./random.ts";
import type { FuzzCase } from "./steps.ts";

/** What a volley is made for, and of. */
export interface VolleySettings extends FireRange {
  readonly seed: number;
  readonly processors: number;
  readonly devices: readonly FireDevice[];
  /** Times that all processors fire a case each. */
  readonly scenes: number;
  /** This one of them only: to see what a failure needs. */
  readonly scene?: number | undefined;
  /** Of each case. */
  readonly steps: number;
}

/** Changes of rings and buffers while somebody else's case is at work. */
const REWRITES = 300;
const MOST_FLIPS = 4000;

/** The initrd for `test=fire`. */
export function makeVolley(settings: VolleySettings): Uint8Array<ArrayBuffer> {
  const seeds = new Random(settings.seed);
  const programs = Array.from({ length: settings.processors }, () => new FireProgram());
  for (let scene = 0; scene < settings.scenes; scene++) {
    const random = new Random(seeds.u32());
    if (settings.scene !== undefined && settings.scene !== scene) continue;
    programs.forEach((program, cpu) => program.case(scene * programs.length + cpu));
    const kind = random.of(SCENES);
    kind({ random, programs, settings });
    programs.forEach((program) => program.barrier());
  }
  return fireImage(programs);
}

interface Stage {
  readonly random: Random;
  readonly programs: readonly FireProgram[];
  readonly settings: VolleySettings;
}

const SCENES = [apart, together, rewritten] as const;

/** Each processor has a device and RAM of its own. */
function apart({ random, programs, settings }: Stage): void {
  const devices = [...settings.devices];
  for (const [cpu, program] of programs.entries()) {
    const [device] = devices.splice(random.below(devices.length), 1);
    if (device === undefined) continue;
    const found = makeCase(random, device.row, settings.steps);
    const place = { device, arena: cpu, strict: found.strict };
    const recorder = new FireRecorder(program, settings, place, random);
    for (const step of found.steps) recorder.step(step);
    recorder.finish();
  }
}

/** All processors drive one device, with rings at the same places. */
function together({ random, programs, settings }: Stage): void {
  const place = { device: oneOf(random, settings.devices), arena: 0, strict: false };
  const recorders = programs.map((program) => new FireRecorder(program, settings, place, random));
  programs.forEach((program) => program.barrier());
  for (const recorder of recorders) {
    const { steps } = looseCase(random, place.device.row, settings.steps);
    for (const step of steps) recorder.step(step);
  }
  programs.forEach((program) => program.barrier());
  recorders[0]?.finish();
}

/** One processor drives a device; the others rewrite what it has put into RAM, and kick. */
function rewritten({ random, programs, settings }: Stage): void {
  const [first, ...others] = programs;
  if (first === undefined) return;
  const place = { device: oneOf(random, settings.devices), arena: 0, strict: false };
  const recorder = new FireRecorder(first, settings, place, random);
  const { steps } = looseCase(random, place.device.row, settings.steps);
  for (const step of steps) recorder.step(step);
  for (const program of others) {
    program.device(place.device.index);
    for (let i = 0; i < REWRITES; i++) {
      const poke = oneOf(random, recorder.ram.pokes);
      program.flip(flipOf(random, poke.at, poke.bytes));
      if (random.once(4)) program.write(VIRTIO_MMIO_QUEUE_NOTIFY, random.below(6), 4);
    }
  }
  programs.forEach((program) => program.barrier());
  recorder.finish();
}

function oneOf<T>(random: Random, items: readonly T[]): T {
  const item = items[random.below(items.length)];
  if (item === undefined) throw new RangeError("There is nothing to choose from");
  return item;
}

function looseCase(random: Random, row: string, steps: number): FuzzCase {
  for (;;) {
    const found = makeCase(random, row, steps);
    if (!found.strict) return found;
  }
}

/** Some of `bytes` at `at`, and something else in their place. */
function flipOf(random: Random, at: number, bytes: Uint8Array): Flip {
  const sizes = ([1, 2, 4, 8] as const).filter((size) => size <= bytes.length);
  const size = sizes[random.below(sizes.length)] ?? 1;
  const offset = random.below(Math.floor(bytes.length / size)) * size;
  const one = bytes.slice(offset, offset + size);
  const times = 1 + random.below(MOST_FLIPS);
  for (;;) {
    const other = one.slice();
    if (random.once(3)) {
      const bit = random.below(8 * size);
      other[bit >> 3] = (other[bit >> 3] ?? 0) ^ 1 << (bit & 7);
    } else {other.set(
        littleEndian(random.odd(), Math.min(4, size)),
        size === 8 && random.once(4) ? 4 : 0,
      );}
    const whole = bytes.slice();
    whole.set(other, offset);
    if (whole.length === DESC_BYTES && isGuestsOwn(numberOf(whole.subarray(0, 8)))) continue;
    return { at: at + offset, size, one: numberOf(one), other: numberOf(other), times };
  }
}

function numberOf(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => value << 8n | BigInt(byte), 0n);
}
