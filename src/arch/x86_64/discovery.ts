/**
 * How an x86 guest is told about its virtio-mmio devices: which ways a kernel understands, and which one is taken when
 * nobody chose. One way at a time, or devices appear twice. Called through `mod.ts`.
 */
import type {
  DiscoveryChoice,
  DiscoverySupport,
  KernelContents,
  KernelFeature,
} from "../kernel_contents.ts";

type Answer = Omit<DiscoverySupport, "method">;
type Features = ReadonlySet<KernelFeature>;

const NO_DRIVER: Answer = {
  works: "no",
  why: "it has no virtio_mmio and loads no modules (CONFIG_VIRTIO_MMIO)",
};

/**
 * What works with `contents` and the command line `cmdline`, best first: ACPI names processors and interrupts too and
 * brings an orderly power-off; a device tree displaces whatever else the kernel would look at, so it is the last.
 */
export function discoverySupport(
  contents: KernelContents,
  cmdline: string,
): readonly DiscoverySupport[] {
  if (contents.kind !== "linux") {
    const why = contents.kind === "closed" ? contents.why : "it is not Linux";
    const answer: Answer = { works: "unknown", why };
    return [{ method: "cmdline", ...answer }, { method: "acpi", ...answer }, {
      method: "fdt",
      ...answer,
    }];
  }
  const features = new Set(contents.features);
  return [
    { method: "acpi", ...acpi(features, cmdline) },
    { method: "cmdline", ...words(features) },
    { method: "fdt", ...deviceTree(features) },
  ];
}

/** The way that `auto` takes. */
export function chooseDiscovery(contents: KernelContents, cmdline: string): DiscoveryChoice {
  // Whatever it is, words on its command line do no harm; a test kernel may well read them.
  if (contents.kind === "other") return { method: "cmdline", reason: "it is not Linux" };
  if (contents.kind === "closed") {
    return {
      method: "cmdline",
      reason: contents.why,
      warning: {
        message: `cannot tell how this kernel finds its devices: ${contents.why}`,
        hint: contents.hint ?? "choose with --discovery acpi, cmdline or fdt",
      },
    };
  }
  const support = discoverySupport(contents, cmdline);
  const best = support.find(({ works }) => works === "yes");
  if (best !== undefined) return { method: best.method, reason: best.why };
  const reasons = support.map(({ method, why }) => `${method}: ${why}`);
  return {
    method: "cmdline",
    reason: "no other way works either",
    warning: {
      message: `this kernel will not find its devices (${reasons.join("; ")})`,
      hint: discoverySupport(contents, "").some(({ works }) => works === "yes")
        ? "leave acpi=off out of the command line"
        : "use a kernel with CONFIG_VIRTIO_MMIO and CONFIG_ACPI",
    },
  };
}

function acpi(features: Features, cmdline: string): Answer {
  if (!features.has("acpi")) return { works: "no", why: "it is built without ACPI" };
  if (acpiIsOff(cmdline)) return { works: "no", why: "acpi=off is on the command line" };
  if (features.has("virtio_mmio-acpi")) {
    return { works: "yes", why: "virtio_mmio is built in and has an ACPI id" };
  }
  if (features.has("virtio_mmio")) {
    return { works: "no", why: "its virtio_mmio has no ACPI id" };
  }
  return features.has("modules")
    ? { works: "yes", why: "it has ACPI, and can load virtio_mmio as a module" }
    : NO_DRIVER;
}

function words(features: Features): Answer {
  if (features.has("virtio_mmio-cmdline")) {
    return { works: "yes", why: "virtio_mmio is built in and takes virtio_mmio.device=" };
  }
  if (features.has("virtio_mmio")) {
    const why = "its virtio_mmio takes no devices (CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES)";
    return { works: "no", why };
  }
  // kernel/params.c: words for a module that is not built in wait in /proc/cmdline for a modprobe that reads them.
  return features.has("modules")
    ? { works: "unknown", why: "virtio_mmio can only be a module, which may or may not take them" }
    : NO_DRIVER;
}

function deviceTree(features: Features): Answer {
  if (!features.has("fdt")) {
    return { works: "no", why: "it takes no device tree (CONFIG_OF_EARLY_FLATTREE)" };
  }
  if (features.has("virtio_mmio")) {
    return { works: "yes", why: "virtio_mmio is built in, and it takes a device tree" };
  }
  return features.has("modules")
    ? { works: "yes", why: "it takes a device tree, and can load virtio_mmio as a module" }
    : NO_DRIVER;
}

/** arch/x86/kernel/acpi/boot.c, parse_acpi(): the last of the two words counts; words behind `--` are init's. */
function acpiIsOff(cmdline: string): boolean {
  const all = cmdline.split(/\s+/);
  const end = all.indexOf("--");
  const last = (end === -1 ? all : all.slice(0, end))
    .findLast((word) => word === "acpi=off" || word === "acpi=force");
  return last === "acpi=off";
}
