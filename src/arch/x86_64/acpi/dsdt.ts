/**
 * The DSDT's definition block: which devices there are and where, in AML. A device is only in it when it has something
 * to say that its fixed place does not. Called by `tables.ts`.
 */
import { PLATFORM_SLEEP_TYPE_S5 } from "../../../abi/platform.ts";
import type { DeviceSlot } from "../../types.ts";
import {
  type Aml,
  device,
  eisaId,
  ifArg0,
  integer,
  method,
  name,
  notify,
  packageOf,
  scope,
  string,
} from "./aml.ts";
import { interrupt, ioPorts, memory32Fixed, resourceTemplate } from "./resources.ts";

/** 5.6.6, table 5.161: the power button was pressed. */
const NOTIFY_PRESSED = 0x80;
const POWER_BUTTON = "\\_SB.PWRB";
/** Three digits in a name of four characters. */
export const MAX_NUMBERED = 0x1000;

/** All terms of the DSDT, for 1 to MAX_NUMBERED processors and as many virtio devices. */
export function dsdtTerms(vcpus: number, devices: readonly DeviceSlot[]): Aml {
  const processors = Array.from({ length: vcpus }, (_, id) => processor(id));
  // Linux numbers disks in the order of their devices here.
  const virtio = devices.filter(({ kind }) => kind === "virtio-mmio");
  return [
    ...scope(
      "\\_SB",
      ...processors,
      ...devices.filter(({ kind }) => kind === "serial").map(serialPort),
      ...devices.filter(({ kind }) => kind === "rtc").map(clock),
      ...virtio.map((slot, index) => virtioMmio(slot, index, virtio)),
      ...devices.filter(({ kind }) => kind === "platform").map(powerButton),
    ),
    // 7.4.2: only the first of the four counts for a machine with a sleep control register.
    ...name(
      "\\_S5",
      packageOf(integer(PLATFORM_SLEEP_TYPE_S5), integer(0), integer(0), integer(0)),
    ),
  ];
}

/** 8.4: `_UID` is what the MADT calls the processor. */
function processor(id: number): Aml {
  return device(numbered("C", id), name("_HID", string("ACPI0007")), name("_UID", integer(id)));
}

/** 8250_pnp.c: without this node Linux would look for line 4 of an 8259, which it does not use here. */
function serialPort(slot: DeviceSlot, index: number): Aml {
  return device(
    `COM${index + 1}`,
    name("_HID", eisaId("PNP0501")),
    name("_UID", integer(index)),
    name("_CRS", resourceTemplate(...windowOf(slot), ...interruptOf(slot, []))),
  );
}

/**
 * rtc-cmos.c: without this node Linux makes one of its own, with line 8, which is not to be had without an 8259; ours
 * never interrupts.
 */
function clock(slot: DeviceSlot): Aml {
  return device(
    "RTC",
    name("_HID", eisaId("PNP0B00")),
    name("_CRS", resourceTemplate(...windowOf(slot))),
  );
}

/** virtio_mmio.c's ACPI id. No `_CCA`: x86 takes devices to be coherent (6.2.17). */
function virtioMmio(slot: DeviceSlot, index: number, all: readonly DeviceSlot[]): Aml {
  return device(
    numbered("V", index),
    name("_HID", string("LNRO0005")),
    name("_UID", integer(index)),
    name("_CRS", resourceTemplate(...windowOf(slot), ...interruptOf(slot, all))),
  );
}

/** 5.6.9: a machine without general-purpose events tells of the button by an interrupt of a device made for it. */
function powerButton(slot: DeviceSlot): Aml {
  if (slot.gsi === undefined) return [];
  return [
    ...device("PWRB", name("_HID", eisaId("PNP0C0C"))),
    ...device(
      "GED",
      name("_HID", string("ACPI0013")),
      name("_CRS", resourceTemplate(interrupt(slot.gsi, "exclusive"))),
      method("_EVT", 1, ifArg0(slot.gsi, notify(POWER_BUTTON, NOTIFY_PRESSED))),
    ),
  ];
}

function windowOf({ space, base, size }: DeviceSlot): Aml[] {
  return [space === "mmio" ? memory32Fixed(base, size) : ioPorts(base, size)];
}

/** `others`: who else may have the same line. */
function interruptOf({ gsi }: DeviceSlot, others: readonly DeviceSlot[]): Aml[] {
  if (gsi === undefined) return [];
  const users = others.filter((other) => other.gsi === gsi);
  return [interrupt(gsi, users.length > 1 ? "shared" : "exclusive")];
}

function numbered(letter: string, index: number): string {
  return letter + index.toString(16).toUpperCase().padStart(3, "0");
}
