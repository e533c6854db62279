/**
 * The platform page: registers of our own, on every architecture. One byte each. What serves them is
 * devices/legacy/platform_page.ts; the ACPI tables name their addresses.
 */

/** Ends the run with the status written (contract.md, "Test guests"). */
export const PLATFORM_EXIT = 0x00;
/** ACPI's sleep control register (ACPI 6.5, table 4.19). */
export const PLATFORM_SLEEP_CONTROL = 0x10;
/** ACPI's sleep status register (table 4.20). */
export const PLATFORM_SLEEP_STATUS = 0x14;
/** ACPI's reset register (4.8.3.6). */
export const PLATFORM_RESET = 0x18;

/** What the reset register waits for: not what a stray fill with zeroes or ones would write. */
export const PLATFORM_RESET_VALUE = 0x5a;
/** SLP_TYP of soft-off, the first element of \_S5. */
export const PLATFORM_SLEEP_TYPE_S5 = 5;
