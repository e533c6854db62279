/** A network card made of its configuration, on the I/O thread. */
import type { HostResources, LiveDevice } from "../../src/virtio/device_maker.ts";
import type { NetBackend } from "./backend.ts";
import { CaptureBackend, PcapFile } from "./capture_backend.ts";
import { NetDevice } from "./device.ts";
import type { NetConfig } from "./kind.ts";
import { macBytes, randomMac } from "./mac_address.ts";
import { optional } from "./optional.ts";
import { ListeningSource, programSource, threadSource } from "./socket_backend.ts";
import { StreamBackend } from "./stream_backend.ts";
import { TapBackend } from "./tap_backend.ts";
import { PasstSource } from "./user_backend.ts";

/** Throws SysError when the host refuses what the card is to be connected to; nothing is open then. */
export function makeNet(config: NetConfig, host: HostResources): LiveDevice {
  const backend = openCaptured(config, host);
  const device = new NetDevice(backend, {
    counters: host.counters,
    mac: macBytes(config.mac ?? "") ?? randomMac(),
    ...optional("mtu", config.mtu),
    ...optional("sendRate", config.sendRate),
    ...optional("receiveRate", config.receiveRate),
  });
  return {
    device,
    close: () => backend.close(),
    setLink: (up) => device.setLink(up),
    announce: () => device.announce(),
  };
}

function openCaptured(config: NetConfig, host: HostResources): NetBackend {
  const file = config.capture === undefined
    ? undefined
    : new PcapFile(config.capture, host.backendFailed);
  try {
    const backend = openBackend(config, host);
    return file === undefined ? backend : new CaptureBackend(backend, file);
  } catch (error) {
    file?.close();
    throw error;
  }
}

function openBackend(
  { backend, mtu }: NetConfig,
  { loop, backendFailed }: HostResources,
): NetBackend {
  switch (backend.type) {
    case "tap": {
      const { name, queues = 1 } = backend;
      return new TapBackend({ name, queues, ...optional("mtu", mtu) }, loop, backendFailed);
    }
    case "socket": {
      const { path, listen } = backend;
      const source = listen === true
        ? new ListeningSource(path, loop, backendFailed)
        : programSource(path, loop);
      return new StreamBackend(source, loop, backendFailed);
    }
    case "user":
      return new StreamBackend(new PasstSource(backend.forwards ?? []), loop, backendFailed);
    case "switch":
      return new StreamBackend(threadSource(backend.switch, loop), loop, backendFailed);
    case "stream":
      return new StreamBackend(
        threadSource(backend.stream, loop, backend.token),
        loop,
        backendFailed,
      );
  }
}
