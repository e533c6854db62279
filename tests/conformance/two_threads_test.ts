/** Device and driver on two threads that sleep whenever they have nothing to do: no wake-up is lost (VQ-SPLIT-21). */
import { VIRTIO_F_VERSION_1, VIRTIO_RING_F_EVENT_IDX } from "../../src/abi/virtio.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import { gpa, GuestMemory } from "../../src/memory/guest_memory.ts";
import { QueueConfig } from "../../src/virtio/queue_config.ts";
import type { SplitQueue } from "../../src/virtio/split_queue.ts";
import {
  DONE,
  INTERRUPTS,
  KICKS,
  type RingPlaces,
  SLEEP_MS,
  startDriver,
} from "../support/ring_driver.ts";

const ROUNDS = 250_000;
/** A small ring is empty, or full, again and again. */
const SIZE = 4;
const [DESC, AVAIL, USED, BUFFER] = [0x1000, 0x2000, 0x3000, 0x4000] as const;

/** Who looks for requests when none is there: nobody, or the I/O thread for a while (src/loop/poll_set.ts). */
type Looking = "not" | "for a while";

class Device {
  readonly queue: SplitQueue;
  readonly places: RingPlaces;
  readonly #bells = new Int32Array(new SharedArrayBuffer(12));
  readonly #looking: Looking;
  interrupts = 0;
  sleeps = 0;
  served = 0;

  constructor(eventIdx: boolean, looking: Looking) {
    const buffer = new SharedArrayBuffer(0x1_0000);
    const memory = new GuestMemory([{ base: 0, hostBase: 0, buffer }]);
    for (let head = 0; head < SIZE; head++) {
      memory.setU64(gpa(DESC + 16 * head), BUFFER);
      memory.setU32(gpa(DESC + 16 * head + 8), 16);
    }
    const config = new QueueConfig(0, SIZE);
    config.setAddress("desc", "low", DESC);
    config.setAddress("avail", "low", AVAIL);
    config.setAddress("used", "low", USED);
    const features = VIRTIO_F_VERSION_1 | (eventIdx ? VIRTIO_RING_F_EVENT_IDX : 0n);
    this.queue = config.activate(memory, {
      queue: () => {
        this.interrupts++;
        this.#ring(INTERRUPTS);
      },
      config() {},
    }, features);
    this.#looking = looking;
    if (looking === "for a while") this.queue.setPolled();
    this.places = {
      memory: buffer,
      size: SIZE,
      availFlags: AVAIL / 2,
      usedFlags: USED / 2,
      eventIdx,
      rounds: ROUNDS,
      bells: this.#bells.buffer,
    };
  }

  #ring(bell: number): void {
    Atomics.add(this.#bells, bell, 1);
    Atomics.notify(this.#bells, bell);
  }

  /** Serves until the driver says that it is done; false when it slept for too long. */
  run(): boolean {
    for (;;) {
      const heard = Atomics.load(this.#bells, KICKS);
      if (Atomics.load(this.#bells, DONE) === 1) return true;
      if (this.#serve()) continue;
      this.sleeps++;
      if (Atomics.wait(this.#bells, KICKS, heard, SLEEP_MS) === "timed-out") return false;
    }
  }

  /** As devices do; true when there is more to do. */
  #serve(): boolean {
    const { queue } = this;
    queue.disarm();
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      queue.complete(chain);
      this.served++;
      if (this.served % 3 === 0) queue.flush();
    }
    // A disk would take its time here: the driver goes to sleep just now, or has not yet, or did long ago.
    for (let i = Math.imul(this.served, 2654435761) >>> 23; i > 0; i--) {
      Atomics.load(this.#bells, KICKS);
    }
    queue.flush();
    if (queue.arm()) return true;
    if (this.#looking === "not") return false;
    for (let looks = this.served % 300; looks > 0; looks--) if (queue.hasNews) return true;
    return queue.armNow();
  }
}

for (const eventIdx of [true, false]) {
  for (const looking of ["not", "for a while"] as const) {
    const how = `${
      eventIdx ? "EVENT_IDX" : "flags"
    }, a device that looks ${looking} before it sleeps`;
    Deno.test(`VQ-SPLIT-21 ${ROUNDS} requests lose no wake-up: ${how}`, async () => {
      const device = new Device(eventIdx, looking);
      const driver = startDriver(device.places);
      const isDone = device.run();
      const { taken, kicks, sleeps, lost } = await driver.ended;
      driver.stop();
      assertEquals({ isDone, lost, taken, served: device.served }, {
        isDone: true,
        lost: undefined,
        taken: ROUNDS,
        served: ROUNDS,
      });
      const counts = { kicks, sleeps, interrupts: device.interrupts, deviceSleeps: device.sleeps };
      assert(kicks > 100 && device.interrupts > 100, JSON.stringify(counts));
    });
  }
}
