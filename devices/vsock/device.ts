/**
 * virtio-vsock (spec 5.10): packets between the guest's sockets and streams of the host. Transmit is read as long as
 * what it may make us say is bounded (VSOCK-32, VSOCK-33); receive buffers go round among connections, a packet each.
 * Owned by the I/O thread.
 */
import { VIRTIO_ID_VSOCK } from "../../src/abi/virtio.ts";
import type { DescriptorChain } from "../../src/virtio/chain.ts";
import { ConfigBytes } from "../../src/virtio/config_bytes.ts";
import { Deadlines } from "../../src/virtio/deadlines.ts";
import type { ActivationContext, VirtioDevice, Virtqueue } from "../../src/virtio/device.ts";
import {
  virtio_vsock_config as CONFIG,
  virtio_vsock_event as EVENT,
  VIRTIO_VSOCK_EVENT_TRANSPORT_RESET,
  VIRTIO_VSOCK_F_NO_IMPLIED_STREAM,
  VIRTIO_VSOCK_F_SEQPACKET,
  VIRTIO_VSOCK_F_STREAM,
  VIRTIO_VSOCK_OP_REQUEST,
  VIRTIO_VSOCK_OP_RST,
  VIRTIO_VSOCK_TYPE_SEQPACKET,
  VIRTIO_VSOCK_TYPE_STREAM,
  VMADDR_CID_HOST,
} from "./abi.ts";
import type { HostStream, VsockBackend, VsockHost, VsockType } from "./backend.ts";
import { Connection } from "./connection.ts";
import type { ConnectionOwner } from "./connection_owner.ts";
import { ConnectionTable } from "./connection_table.ts";
import { HEADER_BYTES, MAX_PAYLOAD_BYTES, PacketHeader } from "./packet.ts";
import { ResetReplies } from "./reset_replies.ts";

export const RECEIVE_QUEUE = 0;
export const TRANSMIT_QUEUE = 1;
export const EVENT_QUEUE = 2;
const QUEUE_SIZE = 256;
/** How long the guest may take to answer REQUEST and SHUTDOWN: as Firecracker. */
const ANSWER_MS = 2000;
/** Payload moved in one direction before others have their turn: a fraction of a millisecond (HD-05). */
const TURN_BYTES = 16 * MAX_PAYLOAD_BYTES;

export class VsockDevice implements VirtioDevice, VsockHost, ConnectionOwner {
  readonly type = VIRTIO_ID_VSOCK;
  readonly queueSizes: readonly number[] = [QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE];
  readonly features: bigint = VIRTIO_VSOCK_F_STREAM | VIRTIO_VSOCK_F_SEQPACKET |
    VIRTIO_VSOCK_F_NO_IMPLIED_STREAM;
  readonly config = new ConfigBytes(CONFIG.size);
  readonly #guestCid: number;
  readonly #backends: readonly VsockBackend[];
  readonly #table = new ConnectionTable();
  readonly #replies = new ResetReplies();
  readonly #deadlines = new Deadlines<Connection>(ANSWER_MS, (connection) => connection.expired());
  readonly #incoming = new PacketHeader();
  readonly #outgoing = new PacketHeader();
  /** Connections that have something to say, in the order of their turns. */
  #line: Connection[] = [];
  #context: ActivationContext | undefined;
  // What the driver has taken.
  #streams = false;
  #seqpackets = false;
  /** Transmit stands still until replies have gone out. */
  #isPaused = false;
  #pumpIsDue = false;
  #resetEventIsDue = false;

  /** Who listens on a port is looked for in `backends`, in this order. */
  constructor(guestCid: number, backends: readonly VsockBackend[]) {
    this.#guestCid = guestCid;
    this.#backends = backends;
    this.config.update((view) => view.setBigUint64(CONFIG.at.guest_cid, BigInt(guestCid), true));
    for (const backend of backends) backend.attach(this);
  }

  /** Connections that hold anything, those included that the guest has forgotten. */
  get connections(): number {
    return this.#table.size;
  }

  acceptFeatures(): boolean {
    return true; // whatever it takes, the rest of what it asks for is refused by RST
  }

  activate(context: ActivationContext): void {
    this.#context = context;
    const { features } = context;
    this.#streams = (features & VIRTIO_VSOCK_F_NO_IMPLIED_STREAM) === 0n ||
      (features & VIRTIO_VSOCK_F_STREAM) !== 0n; // VSOCK-04, VSOCK-05
    this.#seqpackets = (features & VIRTIO_VSOCK_F_SEQPACKET) !== 0n;
    for (const backend of this.#backends) backend.guestPresent(true);
  }

  notify(index: number): void {
    if (index === TRANSMIT_QUEUE) this.#transmit();
    else if (index === RECEIVE_QUEUE) this.#pump();
    else if (index === EVENT_QUEUE) this.#sendEvent();
  }

  /** Reads what the driver sends. */
  #transmit(): void {
    const queue = this.#context?.queues[TRANSMIT_QUEUE];
    if (queue === undefined) return;
    let packets = queue.size;
    let bytes = TURN_BYTES;
    queue.disarm();
    do {
      while (!(this.#isPaused = this.#replies.full)) {
        const chain = queue.pop();
        if (chain === undefined) break;
        bytes -= this.#receive(chain);
        queue.complete(chain); // with length 0 (VSOCK-40)
        if (--packets === 0 || bytes <= 0) {
          queue.flush();
          this.#context?.notifyLater(TRANSMIT_QUEUE);
          return this.#pump();
        }
      }
      queue.flush();
    } while (!this.#isPaused && queue.arm());
    this.#pump();
  }

  /** One packet of the guest; returns its payload's bytes. Malformed or misaddressed ones are dropped (HD-83, HD-84). */
  #receive(chain: DescriptorChain): number {
    const header = this.#incoming;
    const { reader } = chain;
    if (!header.read(reader) || header.length > Math.min(reader.remaining, MAX_PAYLOAD_BYTES)) {
      return 0;
    }
    if (header.sourceCid !== this.#guestCid || header.destinationCid !== VMADDR_CID_HOST) return 0;
    const type = this.#knownType(header.type);
    const connection = this.#table.find(header.destinationPort, header.sourcePort);
    if (connection !== undefined && connection.type === type) connection.receive(header, chain);
    else if (header.op === VIRTIO_VSOCK_OP_REQUEST) this.#accept(header, type, connection);
    else if (header.op !== VIRTIO_VSOCK_OP_RST) this.#replies.add(header); // VSOCK-09, -10, -15, -36
    return header.length;
  }

  /** `type` if the driver has taken its feature, and undefined for whatever else it may be. */
  #knownType(type: number): VsockType | undefined {
    if (type === VIRTIO_VSOCK_TYPE_STREAM && this.#streams) return type;
    return type === VIRTIO_VSOCK_TYPE_SEQPACKET && this.#seqpackets ? type : undefined;
  }

  /** The guest wants to reach a port of the host; `taken`: whose addresses these are already (VSOCK-29). */
  #accept(header: PacketHeader, type: VsockType | undefined, taken: Connection | undefined): void {
    const { destinationPort: hostPort, sourcePort: guestPort } = header;
    const possible = type !== undefined && taken === undefined && !this.#table.full;
    const stream = possible ? this.#connect(hostPort, type) : undefined;
    if (type === undefined || stream === undefined) return this.#replies.add(header); // VSOCK-12
    const connection = new Connection(this, stream, { hostPort, guestPort, type }, "guest");
    this.#table.add(connection);
    connection.begin(header);
  }

  #connect(port: number, type: VsockType): HostStream | undefined {
    for (const backend of this.#backends) {
      const stream = backend.connect(port, type);
      if (stream !== undefined) return stream;
    }
    return undefined;
  }

  /** VsockHost: a caller on the host. */
  open(stream: HostStream, guestPort: number, type: VsockType): boolean {
    if (this.#context === undefined || this.#table.full) return false;
    if (this.#knownType(type) === undefined) return false;
    const hostPort = this.#table.freeHostPort(guestPort);
    const connection = new Connection(this, stream, { hostPort, guestPort, type }, "host");
    this.#table.add(connection);
    connection.begin();
    return true;
  }

  /** ConnectionOwner. */
  ready(connection: Connection): void {
    if (connection.queued) return;
    connection.queued = true;
    this.#line.push(connection);
    this.#pumpSoon();
  }

  #pumpSoon(): void {
    if (this.#pumpIsDue || this.#context === undefined) return;
    this.#pumpIsDue = true;
    this.#context.notifyLater(RECEIVE_QUEUE);
  }

  /** ConnectionOwner. */
  expect(connection: Connection): void {
    if (this.#context !== undefined) this.#deadlines.add(connection, this.#context.loop);
  }

  /** ConnectionOwner. */
  settled(connection: Connection): void {
    this.#deadlines.remove(connection);
  }

  /** ConnectionOwner. */
  release(connection: Connection): void {
    this.#table.release(connection);
  }

  /** ConnectionOwner. */
  ended(connection: Connection): void {
    this.#table.remove(connection);
  }

  /** Fills the driver's receive buffers: replies first, then connections in turn. */
  #pump(): void {
    this.#pumpIsDue = false;
    const queue = this.#context?.queues[RECEIVE_QUEUE];
    if (queue === undefined) return;
    let packets = queue.size;
    let bytes = TURN_BYTES;
    while (this.#replies.length > 0 || this.#line.length > 0) {
      if (packets-- === 0 || bytes <= 0) {
        this.#pumpSoon();
        break;
      }
      const chain = queue.pop() ?? (queue.arm() ? queue.pop() : undefined);
      if (chain === undefined) break; // no buffers: what is to be said waits for the next kick
      if (chain.writer.remaining < HEADER_BYTES) queue.complete(chain); // VSOCK-31
      else bytes -= this.#fill(queue, chain);
    }
    queue.flush();
    if (this.#isPaused && !this.#replies.full) this.#context?.notifyLater(TRANSMIT_QUEUE);
  }

  /** Puts a packet into `chain`, or gives it back; returns payload bytes. */
  #fill(queue: Virtqueue, chain: DescriptorChain): number {
    const header = this.#outgoing;
    if (this.#replies.take(header)) {
      header.write(chain.writer, this.#guestCid);
      queue.complete(chain);
      return 0;
    }
    const connection = this.#line.shift();
    if (connection === undefined) {
      queue.unpop(chain);
      return 0;
    }
    connection.queued = false;
    const room = chain.writer.remaining;
    const sent = connection.send(header, chain, this.#guestCid);
    const { hasMore } = connection;
    if (hasMore) this.ready(connection);
    // A buffer with room for a header alone would keep data waiting for ever (VSOCK-30).
    if (sent || hasMore && room <= HEADER_BYTES) queue.complete(chain);
    else queue.unpop(chain);
    return sent ? header.length : 0;
  }

  /**
   * Tells the driver that every connection is gone: its CID may be another one, as after a restore (spec 5.10.6.7). A
   * driver that offers no buffer for it hears of it when it does (VSOCK-38).
   */
  transportReset(): void {
    this.#dropAll();
    this.#resetEventIsDue = true;
    this.#context?.notifyLater(EVENT_QUEUE);
  }

  #sendEvent(): void {
    const queue = this.#context?.queues[EVENT_QUEUE];
    if (queue === undefined) return;
    for (let tries = queue.size; this.#resetEventIsDue && tries > 0; tries--) {
      const chain = queue.pop() ?? (queue.arm() ? queue.pop() : undefined);
      if (chain === undefined) break;
      if (chain.writer.remaining >= EVENT.size) {
        chain.writer.u32(VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
        this.#resetEventIsDue = false;
      } // a buffer too short for it is given back, and the next one tried
      queue.complete(chain);
    }
    queue.flush();
  }

  quiesce(done: () => void): void {
    done(); // nothing is in flight: packets are read and written whole, while the driver waits
  }

  /** The driver is gone, and with it all it was connected to (VSOCK-39). */
  reset(): void {
    if (this.#context !== undefined) {
      for (const backend of this.#backends) backend.guestPresent(false);
    }
    this.#context = undefined;
    this.#dropAll();
    this.#isPaused = false;
    this.#pumpIsDue = false;
    this.#resetEventIsDue = false;
  }

  #dropAll(): void {
    this.#table.clear();
    this.#line = [];
    this.#replies.clear();
    this.#deadlines.clear();
  }
}
