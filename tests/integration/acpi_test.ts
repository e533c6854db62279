/**
 * The ACPI tables as the reference implementation reads them: Debian's iasl disassembles and recompiles each, acpiexec
 * loads them and evaluates what Linux does. Both are installed first where we may. Needs no KVM.
 */
import { type AcpiTables, architecture } from "../../src/arch/mod.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../../src/std/assert.ts";
import { missingProgram } from "../support/debian_program.ts";
import { DiskDirectory } from "../support/disk_image.ts";

const missing = await missingProgram("iasl", "-v", "acpica-tools");
const COMPLAINT = /\b(?:error|warning|remark|exception|fail(?:ed|ure)?)\b/i;
/** acpiexec tries to set what it has read; lines cannot be moved here. */
const NO_SRS = "AcpiSetCurrentResources failed: AE_NOT_FOUND";
const HEADER_SIZE = 36;
const CHECKSUM = 9;
/** Creator id and revision: a compiler puts its own there. */
const CREATOR = 28;

const x86 = architecture("x86_64");

function tablesOf(vcpus: number, devices: number): AcpiTables {
  const virtio = Array.from({ length: devices }, (_, i) => x86.virtioSlot(i, `block${i}`));
  return x86.acpiTables({ vcpus, devices: [...x86.fixedSlots, ...virtio] });
}

/** The tables with a header, by signature: they stand one after the other at multiples of 16. */
function split({ bytes }: AcpiTables): Map<string, Uint8Array> {
  const view = new DataView(bytes.buffer);
  const tables = new Map<string, Uint8Array>();
  for (let at = 48; at < bytes.length;) {
    const length = view.getUint32(at + 4, true);
    const table = bytes.subarray(at, at + length);
    tables.set(new TextDecoder().decode(table.subarray(0, 4)), table);
    at = Math.ceil((at + length) / 16) * 16;
  }
  return tables;
}

interface Answer {
  readonly code: number;
  /** Both outputs, runs of white space made one space. */
  readonly text: string;
}

async function run(program: string, args: readonly string[], directory: string): Promise<Answer> {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args: [...args],
    cwd: directory,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(30_000),
  }).output();
  const text = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("\n");
  return { code, text: text.replace(/\s+/g, " ") };
}

/** The source iasl makes of `table`, after it has found nothing wrong with it. */
async function disassemble(table: Uint8Array, name: string, directory: string): Promise<string> {
  Deno.writeFileSync(`${directory}/${name}.dat`, table);
  const { code, text } = await run("iasl", ["-d", `${name}.dat`], directory);
  assertEquals(code, 0, text);
  assertEquals(text.match(COMPLAINT)?.[0], undefined, text);
  return Deno.readTextFileSync(`${directory}/${name}.dsl`);
}

/** What iasl compiles that source to. `-on`: names stay as they are written. */
async function recompile(name: string, directory: string): Promise<Uint8Array> {
  const { code, text } = await run(
    "iasl",
    ["-on", "-p", `${name}-again`, `${name}.dsl`],
    directory,
  );
  assertEquals(code, 0, text);
  assertStringIncludes(text, "0 Errors, 0 Warnings, 0 Remarks");
  return Deno.readFileSync(`${directory}/${name}-again.aml`);
}

/** Without what every compiler fills in for itself. */
function comparable(table: Uint8Array): number[] {
  const bytes = [...table];
  bytes[CHECKSUM] = 0;
  bytes.fill(0, CREATOR, HEADER_SIZE);
  return bytes;
}

for (const [vcpus, devices] of [[1, 0], [2, 11], [32, 32]] as const) {
  Deno.test({
    name:
      `iasl reads the tables of ${vcpus} vCPUs and ${devices} devices, and writes the same again`,
    ignore: missing !== undefined,
    fn: async () => {
      using directory = new DiskDirectory();
      const tables = split(tablesOf(vcpus, devices));
      assertEquals([...tables.keys()].sort(), ["APIC", "DSDT", "FACP", "XSDT"]);
      for (const [signature, table] of tables) {
        const source = await disassemble(table, signature, directory.path);
        assertEquals(source.match(/Invalid|Incorrect|Unknown|\*{4}/)?.[0], undefined, source);
        assertEquals(comparable(await recompile(signature, directory.path)), comparable(table));
      }
    },
  });
}

Deno.test({
  name: "the disassembly has every device with its address and line",
  ignore: missing !== undefined,
  fn: async () => {
    using directory = new DiskDirectory();
    const tables = split(tablesOf(2, 10));
    const dsdt = tables.get("DSDT");
    assert(dsdt !== undefined);
    const source = (await disassemble(dsdt, "DSDT", directory.path))
      .replace(/\/\/[^\n]*|\/\*[^*]*\*\//g, "").replace(/\s+/g, " ");
    const interrupt = (line: string, sharing: string) =>
      `Interrupt (ResourceConsumer, Edge, ActiveHigh, ${sharing}, ,, ) { 0x000000${line}, }`;
    const virtio = (page: string, line: string, sharing: string) =>
      `Name (_CRS, ResourceTemplate () { Memory32Fixed (ReadWrite, 0xD000${page}, 0x00001000, ) ` +
      `${interrupt(line, sharing)} }) }`;
    const parts = [
      'Device (C001) { Name (_HID, "ACPI0007" ) Name (_UID, One) }',
      'Device (COM1) { Name (_HID, EisaId ("PNP0501") ) Name (_UID, Zero) Name (_CRS, ' +
      `ResourceTemplate () { IO (Decode16, 0x03F8, 0x03F8, 0x01, 0x08, ) ` +
      `${interrupt("04", "Exclusive")} }) }`,
      'Device (RTC) { Name (_HID, EisaId ("PNP0B00") ) Name (_CRS, ' +
      "ResourceTemplate () { IO (Decode16, 0x0070, 0x0070, 0x01, 0x02, ) }) }",
      `Device (V000) { Name (_HID, "LNRO0005") Name (_UID, Zero) ${virtio("1000", "05", "Shared")}`,
      `Name (_UID, One) ${virtio("2000", "06", "Exclusive")}`,
      `Name (_UID, 0x09) ${virtio("A000", "05", "Shared")}`,
      'Device (PWRB) { Name (_HID, EisaId ("PNP0C0C") ) }',
      `Device (GED) { Name (_HID, "ACPI0013" ) Name (_CRS, ResourceTemplate () { ` +
      `${interrupt("09", "Exclusive")} }) Method (_EVT, 1, Serialized) { ` +
      "If ((Arg0 == 0x09)) { Notify (\\_SB.PWRB, 0x80) } } }",
      "Name (\\_S5, Package (0x04) { 0x05, Zero, Zero, Zero })",
    ];
    for (const part of parts) assertStringIncludes(source, part);
    assertEquals(source.match(/LNRO0005/g)?.length, 10);
  },
});

Deno.test({
  name:
    "acpiexec loads the tables as a hardware-reduced machine's; the button's event and \\_S5 work",
  ignore: missing !== undefined,
  fn: async () => {
    using directory = new DiskDirectory();
    const tables = split(tablesOf(2, 11));
    const files = ["DSDT", "FACP", "APIC"].map((signature) => {
      const file = `${signature}.dat`;
      Deno.writeFileSync(`${directory.path}/${file}`, tables.get(signature) ?? new Uint8Array());
      return file;
    });
    const execute = async (command: string) => {
      const { code, text } = await run("acpiexec", ["-b", command, ...files], directory.path);
      assertEquals(code, 0, text);
      assertEquals(text.replace(NO_SRS, "").match(COMPLAINT)?.[0], undefined, text);
      return text;
    };

    const pressed = await execute("evaluate \\_SB.GED._EVT 9");
    assertMatch(pressed, /Device Notify on \[PWRB\] \S+ Value 0x80/);
    assert(!pressed.includes("General Purpose Events"), "reduced hardware has none");
    assert(
      !(await execute("evaluate \\_SB.GED._EVT 8")).includes("Notify"),
      "another line's event",
    );
    assertMatch(await execute("evaluate \\_S5"), /Contains 4 Elements: \[Integer\] = 0{15}5 /);
    assertMatch(await execute("resources \\_SB.V00A"), /Address : D000B000 .*Dword00 : 00000006/);
  },
});
