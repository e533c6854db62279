/** Everything that can be wrong with a configuration, found before KVM is touched and listed at once. */
import { kindOf } from "../../devices/mod.ts";
import { architecture, BootError } from "../arch/mod.ts";
import type { Claim, Problem } from "../virtio/device_kind.ts";
import { LIMITS, type MachineConfig } from "./config.ts";
import { FileImage, KERNEL_DIRECTORY_HINT } from "./image_source.ts";
import { devicesOf } from "./plan.ts";

type Report = (problem: Problem) => void;

/** Every problem of `config`; none when it can be planned. Reads file headers, changes nothing. */
export function checkConfig(config: MachineConfig): Problem[] {
  const problems: Problem[] = [];
  const report: Report = (problem) => problems.push(problem);
  checkSizes(config, report);
  checkImages(config, report);
  checkConsole(config, report);
  checkDevices(config, report);
  return problems;
}

function checkSizes(config: MachineConfig, report: Report): void {
  const { memoryMib, vcpus } = config;
  if (!Number.isInteger(vcpus) || vcpus < LIMITS.vcpus.min || vcpus > LIMITS.vcpus.max) {
    report({
      field: "--cpus",
      code: "CPUS_RANGE",
      message: `Cannot make a machine with ${vcpus} vCPUs`,
      hint: `ask for ${LIMITS.vcpus.min} to ${LIMITS.vcpus.max} with --cpus`,
    });
  }
  const { min, max } = LIMITS.memoryMib;
  if (!Number.isInteger(memoryMib) || memoryMib < min || memoryMib > max) {
    report({
      field: "--mem",
      code: "MEMORY_RANGE",
      message: `Cannot make a machine with ${memoryMib} MiB of memory: ` +
        (memoryMib < min ? `${min} MiB is the least` : `whole MiB up to ${max} are possible`),
      hint: "ask for more with --mem: a Linux guest wants 64M or more, the default is 128M",
    });
  } else {
    checkHostMemory(memoryMib, report);
  }
}

/** More RAM than the host has boots, and then takes the host down with it, or never gets through its own tables. */
function checkHostMemory(memoryMib: number, report: Report): void {
  const hostMib = hostMemoryMib();
  if (hostMib === undefined || memoryMib <= hostMib) return;
  report({
    field: "--mem",
    code: "MEMORY_HOST",
    message: `Cannot make a machine with ${memoryMib} MiB of memory: this host has ${hostMib} MiB`,
    hint: `ask for less with --mem, at most ${hostMib}M`,
  });
}

/** Undefined where we may not know: without --allow-sys. */
function hostMemoryMib(): number | undefined {
  try {
    return Math.floor(Deno.systemMemoryInfo().total / 2 ** 20);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return undefined;
    throw error;
  }
}

function checkImages(config: MachineConfig, report: Report): void {
  const { image, initrd } = config.kernel;
  const kernel = openImage("--kernel", "kernel", "KERNEL", image, report);
  if (kernel !== undefined) {
    try {
      const info = architecture().inspectKernel(kernel);
      const bytes = config.memoryMib * 2 ** 20;
      // Below LIMITS the size itself has been complained about.
      if (bytes < info.minimumRam && config.memoryMib >= LIMITS.memoryMib.min) {
        const need = Math.ceil(info.minimumRam / 2 ** 20);
        report({
          field: "--mem",
          code: "KERNEL_TOO_BIG",
          message:
            `Cannot load kernel "${image}" into ${config.memoryMib} MiB: it needs ${need} MiB`,
          hint: `give the machine more memory with --mem ${Math.max(64, 2 * need)}M`,
        });
      }
    } catch (error) {
      reportBootError("--kernel", error, report);
    } finally {
      kernel[Symbol.dispose]();
    }
  }
  if (initrd === undefined) return;
  const file = openImage("--initrd", "initrd", "INITRD", initrd, report);
  if (file === undefined) return;
  if (file.size >= config.memoryMib * 2 ** 20) {
    report({
      field: "--initrd",
      code: "INITRD_TOO_BIG",
      message: `Cannot load initrd "${initrd}" of ${Math.ceil(file.size / 2 ** 20)} MiB ` +
        `into ${config.memoryMib} MiB of memory`,
      hint: `give the machine more memory with --mem ${Math.ceil(file.size / 2 ** 19) + 64}M`,
    });
  }
  file[Symbol.dispose]();
}

function openImage(
  field: string,
  what: "kernel" | "initrd",
  code: string,
  path: string,
  report: Report,
): FileImage | undefined {
  try {
    if (Deno.statSync(path).isDirectory) {
      report({
        field,
        code: `${code}_IS_DIRECTORY`,
        message: `Cannot load ${what} "${path}": it is a directory`,
        hint: what === "kernel"
          ? KERNEL_DIRECTORY_HINT
          : `name an archive in it, or boot what it holds with --rootfs "${path}"`,
      });
      return undefined;
    }
    return new FileImage(path);
  } catch (error) {
    const missing = error instanceof Deno.errors.NotFound;
    const denied = error instanceof Deno.errors.PermissionDenied;
    report({
      field,
      code: missing ? `${code}_NOT_FOUND` : `${code}_ACCESS`,
      message: missing
        ? `Cannot find ${what} "${path}"`
        : `Cannot open ${what} "${path}": ${denied ? "permission denied" : String(error)}`,
      hint: missing && what === "kernel"
        ? "leave --kernel out for the default kernel, or name an ELF vmlinux or a bzImage"
        : `check the path given with ${field}`,
    });
    return undefined;
  }
}

function reportBootError(field: string, error: unknown, report: Report): void {
  if (!(error instanceof BootError)) throw error;
  report({
    field,
    code: error.code,
    message: error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  });
}

function checkConsole(config: MachineConfig, report: Report): void {
  if (config.console.mode !== "file") return;
  const { path } = config.console;
  const slash = path.lastIndexOf("/");
  const directory = slash < 0 ? "." : slash === 0 ? "/" : path.slice(0, slash);
  try {
    if (path !== "" && Deno.statSync(directory).isDirectory) return;
  } catch {
    // said below
  }
  report({
    field: "--console",
    code: "CONSOLE_FILE",
    message: `Cannot write console output to "${path}": there is no directory "${directory}"`,
    hint: "create the directory first",
  });
}

function checkDevices(config: MachineConfig, report: Report): void {
  const devices = devicesOf(config);
  const { maxVirtioSlots } = architecture();
  if (devices.length > maxVirtioSlots) {
    report({
      field: "--disk",
      code: "TOO_MANY_DEVICES",
      message:
        `Cannot place ${devices.length} devices: a machine has room for ${maxVirtioSlots}, ` +
        "the console among them",
      hint: `attach fewer disks: ${
        maxVirtioSlots - (devices.length - config.devices.length)
      } at most`,
    });
  }
  for (const device of devices) kindOf(device).check(device, report);
  checkClaims(devices.flatMap((device) => [...kindOf(device).claims(device)]), report);
}

function checkClaims(claims: readonly Claim[], report: Report): void {
  const seen = new Map<string, Claim>();
  for (const claim of claims) {
    const other = seen.get(claim.resource);
    if (other !== undefined && (other.alone || claim.alone)) {
      report({
        field: claim.field ?? "--disk",
        code: claim.code ?? "DISK_TWICE",
        message: other.description === claim.description
          ? `Cannot attach ${claim.description} twice` +
            (claim.field === undefined ? ": two writers would destroy it" : "")
          : `Cannot attach both ${other.description} and ${claim.description}: they are the same file`,
        hint: claim.hint ?? "attach it once, or every time with ,ro or ,overlay",
      });
    }
    seen.set(claim.resource, claim);
  }
}
