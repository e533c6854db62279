/** What a console port needs from the host: a byte channel, and nothing that only consoles have. */
export type {
  ByteChannel as ConsoleBackend,
  ByteChannelEvents as ConsoleEvents,
} from "../../src/virtio/byte_channel.ts";
