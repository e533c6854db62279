/**
 * One vsock connection: the state machine between a flow of packets (spec 5.10.6) and a stream of the host, whose bytes
 * are the guest's, or frames with the messages of SOCK_SEQPACKET (5.10.6.6). It asks for a turn when it has something to
 * say, and says one packet a turn; what is still to be said is a set of flags, so a guest that offers no buffers makes
 * nothing grow (VSOCK-33).
 *
 *   host calls:   requesting ── RESPONSE ──▶ open ─┬─ RST, violation, broken stream ──▶ ended (RST is said, or heard)
 *   guest calls:  open (RESPONSE is said first) ───┼─ host closes: SHUTDOWN(both) ──▶ guest's RST, or time ──▶ ended
 *                                                  └─ guest SHUTDOWN(both): what waits is passed on ──▶ RST ──▶ ended
 */
import type { DescriptorChain } from "../../src/virtio/chain.ts";
import { IovecList } from "../../src/virtio/iovec_list.ts";
import {
  VIRTIO_VSOCK_OP_CREDIT_REQUEST,
  VIRTIO_VSOCK_OP_CREDIT_UPDATE,
  VIRTIO_VSOCK_OP_REQUEST,
  VIRTIO_VSOCK_OP_RESPONSE,
  VIRTIO_VSOCK_OP_RST,
  VIRTIO_VSOCK_OP_RW,
  VIRTIO_VSOCK_OP_SHUTDOWN,
  VIRTIO_VSOCK_SHUTDOWN_RCV,
  VIRTIO_VSOCK_SHUTDOWN_SEND,
  VIRTIO_VSOCK_TYPE_SEQPACKET,
} from "./abi.ts";
import {
  BROKEN,
  type HostStream,
  type HostStreamEvents,
  NOT_NOW,
  type VsockType,
} from "./backend.ts";
import { Backlog, BUFFER_BYTES } from "./backlog.ts";
import type { ConnectionOwner, ConnectionState, Flow } from "./connection_owner.ts";
import { Credit } from "./credit.ts";
import { MessageBacklog } from "./message_backlog.ts";
import { MessageInput } from "./message_input.ts";
import { HEADER_BYTES, MAX_PAYLOAD_BYTES, type PacketHeader } from "./packet.ts";

const BOTH = VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND;

// What is still to be said.
const SAY_REQUEST = 1;
const SAY_RESPONSE = 2;
const SAY_RST = 4;
const SAY_SHUTDOWN = 8;
const SAY_CREDIT = 16;
const ASK_CREDIT = 32;

export class Connection implements HostStreamEvents {
  readonly hostPort: number;
  readonly guestPort: number;
  readonly type: VsockType;
  /** For the device: whether it stands in line to speak. */
  queued = false;
  readonly #owner: ConnectionOwner;
  readonly #stream: HostStream;
  readonly #iovecs = new IovecList();
  readonly #backlog: Backlog;
  /** These two in a connection of messages only: `#messages` is `#backlog`. */
  readonly #messages: MessageBacklog | undefined;
  readonly #messageInput: MessageInput | undefined;
  readonly #credit = new Credit();
  #state: ConnectionState;
  #say: number;
  /** Sticky (VSOCK-24). */
  #guestShutdown = 0;
  #hostShutdown = 0;
  /** `read` has not come to the end of what there is since `readable`. */
  #readable = false;
  /** The host takes no more of what the guest sends. */
  #unwanted = false;
  #askedForCredit = false;
  #streamIsOpen = true;
  /** The stream was told that the guest sends no more. */
  #outputEnded = false;

  constructor(
    owner: ConnectionOwner,
    stream: HostStream,
    { hostPort, guestPort, type }: Flow,
    caller: "host" | "guest",
  ) {
    this.#owner = owner;
    this.#stream = stream;
    this.hostPort = hostPort;
    this.guestPort = guestPort;
    this.type = type;
    if (type === VIRTIO_VSOCK_TYPE_SEQPACKET) {
      this.#messages = new MessageBacklog();
      this.#messageInput = new MessageInput();
    }
    this.#backlog = this.#messages ?? new Backlog();
    this.#state = caller === "host" ? "requesting" : "open";
    this.#say = caller === "host" ? SAY_REQUEST : SAY_RESPONSE;
    stream.attach(this);
  }

  /** Where it is. */
  get state(): ConnectionState {
    return this.#state;
  }

  /** Its first packet; once the owner knows it. `header`: the guest's REQUEST, when that is how it came to be. */
  begin(header?: PacketHeader): void {
    if (header === undefined) this.#owner.expect(this);
    else {
      this.#credit.heard(header.bufferBytes, header.forwarded);
      this.#stream.established(this.hostPort);
    }
    this.#owner.ready(this);
  }

  /** A packet of the guest for this flow, its payload in `chain`'s reader. */
  receive(header: PacketHeader, chain: DescriptorChain): void {
    if (header.op === VIRTIO_VSOCK_OP_RST) return this.#receiveRst();
    this.#credit.heard(header.bufferBytes, header.forwarded);
    if (this.#mayRead && this.#credit.free > 0) this.#owner.ready(this); // whatever it says, it may be credit
    switch (header.op) {
      case VIRTIO_VSOCK_OP_RESPONSE:
        return this.#receiveResponse();
      case VIRTIO_VSOCK_OP_RW:
        return this.#receiveData(header, chain);
      case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
        return this.#speak(SAY_CREDIT);
      case VIRTIO_VSOCK_OP_SHUTDOWN:
        return this.#receiveShutdown(header.flags & BOTH);
      default: // CREDIT_UPDATE, a second REQUEST, an op that does not exist: nothing changes (VSOCK-16)
    }
  }

  #receiveResponse(): void {
    if (this.#state !== "requesting" || (this.#say & SAY_REQUEST) !== 0) return; // an answer to nothing
    this.#state = "open";
    this.#owner.settled(this);
    this.#stream.established(this.hostPort);
    this.#owner.ready(this);
  }

  #receiveRst(): void {
    // It has said that it is done, and does not wait for our RST: what it sent is still passed on (VSOCK-26).
    if (this.#guestShutdown === BOTH && this.#backlog.length > 0) {
      this.#state = "detached";
      this.#say = 0;
      this.#owner.release(this);
    } else this.#end();
  }

  #receiveShutdown(flags: number): void {
    if (this.#state !== "open") return this.reset();
    const fresh = flags & ~this.#guestShutdown;
    this.#guestShutdown |= flags;
    if (this.#guestShutdown === BOTH) return this.#finishIfDrained();
    if ((fresh & VIRTIO_VSOCK_SHUTDOWN_RCV) !== 0) this.#stream.endInput();
    if ((fresh & VIRTIO_VSOCK_SHUTDOWN_SEND) !== 0 && this.#backlog.length === 0) {
      this.#endOutput();
    }
  }

  /** Once: a stream with room may say so again afterwards. */
  #endOutput(): void {
    if (this.#outputEnded) return;
    this.#outputEnded = true;
    this.#stream.endOutput();
  }

  #receiveData({ length, flags }: PacketHeader, chain: DescriptorChain): void {
    const maySend = this.#state === "open" && (this.#say & SAY_RESPONSE) === 0 &&
      (this.#guestShutdown & VIRTIO_VSOCK_SHUTDOWN_SEND) === 0;
    // Data before RESPONSE, after its own end, or beyond its credit: it cannot be trusted with the flow any more.
    if (!maySend || !this.#credit.received(length)) return this.reset();
    if (this.#unwanted) return this.#passedOn(length); // the guest hears, or has heard, of that
    if (this.#messages !== undefined) {
      const waits = this.#messages.length > 0; // `writable` follows
      if (!this.#messages.appendFragment(chain.reader, length, flags)) this.reset(); // VSOCK-35
      else if (!waits) this.writable();
      return;
    }
    if (length === 0) return;
    if (this.#backlog.length > 0) return this.#backlog.append(chain.reader, length);
    this.#iovecs.clear();
    chain.reader.take(this.#iovecs, length);
    const written = this.#stream.write(this.#iovecs);
    if (written === BROKEN) {
      this.#passedOn(length);
      return this.#outputBroke();
    }
    const taken = Math.max(0, written);
    if (taken < length) {
      chain.reader.rewind();
      chain.reader.skip(HEADER_BYTES + taken);
      this.#backlog.append(chain.reader, length - taken);
    }
    this.#passedOn(taken);
  }

  /** The host reads no more; what it has written, and may write yet, is still good. */
  #outputBroke(): void {
    this.#passedOn(this.#backlog.payload);
    this.#backlog.drop();
    this.#unwanted = true;
    if (this.#state === "detached") this.#end();
    else if (this.#guestShutdown === BOTH) this.reset();
    else this.#shutDown(VIRTIO_VSOCK_SHUTDOWN_RCV);
  }

  #passedOn(bytes: number): void {
    this.#credit.passedOn(bytes);
    if (this.#credit.updateDue) this.#speak(SAY_CREDIT);
  }

  #speak(what: number): void {
    if (this.#state === "ended" || this.#state === "detached") return;
    this.#say |= what;
    this.#owner.ready(this);
  }

  /** HostStreamEvents. */
  readable(): void {
    this.#readable = true;
    if (this.#mayRead) this.#owner.ready(this);
  }

  /** HostStreamEvents. */
  writable(): void {
    const drained = this.#backlog.drainInto(this.#stream);
    if (drained === BROKEN) return this.#outputBroke();
    this.#passedOn(drained);
    if (this.#backlog.length > 0) return;
    if (this.#state === "detached") this.#end();
    else if (this.#guestShutdown === BOTH) this.#finishIfDrained();
    else if ((this.#guestShutdown & VIRTIO_VSOCK_SHUTDOWN_SEND) !== 0) this.#endOutput();
  }

  /** HostStreamEvents. */
  closed(): void {
    if (this.#state === "requesting") return this.reset();
    const inputOver = (this.#guestShutdown & VIRTIO_VSOCK_SHUTDOWN_RCV) !== 0 ||
      (this.#hostShutdown & VIRTIO_VSOCK_SHUTDOWN_SEND) !== 0;
    this.#outputBroke();
    // What it wrote before it went is still to be read, unless nobody reads, or all is read.
    if (inputOver) this.#shutDown(BOTH);
    else this.readable();
  }

  /** All of what the guest sent is with the host: then it gets the RST that it waits for (VSOCK-26). */
  #finishIfDrained(): void {
    if (this.#backlog.length === 0) this.reset();
  }

  #shutDown(flags: number): void {
    this.#hostShutdown |= flags;
    this.#speak(SAY_SHUTDOWN);
  }

  /** The guest has not answered our REQUEST or SHUTDOWN in time (VSOCK-13, VSOCK-25). */
  expired(): void {
    this.reset();
  }

  /** Ends it from our side: the stream now, the flow when the guest has a buffer for the RST. */
  reset(): void {
    if (this.#state === "ended" || this.#say === SAY_RST) return;
    this.#close();
    this.#say = SAY_RST;
    this.#owner.ready(this);
  }

  /** Ends it at once, without a word: the guest knows, or is gone. */
  drop(): void {
    if (this.#state === "ended") return;
    this.#close();
    this.#say = 0;
    this.#state = "ended";
  }

  #end(): void {
    this.drop();
    this.#owner.ended(this);
  }

  #close(): void {
    this.#owner.settled(this);
    this.#backlog.drop();
    this.#readable = false;
    this.#guestShutdown = BOTH; // nothing is read or written any more
    if (this.#streamIsOpen) this.#stream.close();
    this.#streamIsOpen = false;
  }

  get #mayRead(): boolean {
    return this.#readable && this.#state === "open" &&
      (this.#guestShutdown & VIRTIO_VSOCK_SHUTDOWN_RCV) === 0 &&
      (this.#hostShutdown & VIRTIO_VSOCK_SHUTDOWN_SEND) === 0;
  }

  /**
   * Puts one packet into `chain`, whose writer has room for more than a header; false when there is nothing to say.
   * `header` is scratch space.
   */
  send(header: PacketHeader, chain: DescriptorChain, guestCid: number): boolean {
    const op = this.#nextOp(header, chain);
    if (op === 0) return false;
    header.sourcePort = this.hostPort;
    header.destinationPort = this.guestPort;
    header.type = this.type;
    header.op = op;
    header.bufferBytes = BUFFER_BYTES;
    header.forwarded = this.#credit.announce();
    this.#say &= ~SAY_CREDIT; // every packet says it
    chain.writer.rewind();
    header.write(chain.writer, guestCid);
    chain.writer.commit(header.length);
    if (op === VIRTIO_VSOCK_OP_RST) this.#end();
    return true;
  }

  /** The op of the packet to send, its payload read and `length` and `flags` set; 0: nothing. */
  #nextOp(header: PacketHeader, chain: DescriptorChain): number {
    header.length = 0;
    header.flags = 0;
    if (this.#take(SAY_RST)) return VIRTIO_VSOCK_OP_RST;
    if (this.#take(SAY_REQUEST)) return VIRTIO_VSOCK_OP_REQUEST;
    if (this.#take(SAY_RESPONSE)) return VIRTIO_VSOCK_OP_RESPONSE;
    if (this.#mayRead) {
      header.length = this.#readInto(chain);
      if (header.length > 0) {
        header.flags = this.#messageInput?.took(header.length) ?? 0;
        return VIRTIO_VSOCK_OP_RW;
      }
    }
    if (this.#take(SAY_RST)) return VIRTIO_VSOCK_OP_RST; // reading found the stream broken
    if (this.#take(SAY_SHUTDOWN)) {
      header.flags = this.#hostShutdown;
      if (this.#hostShutdown === BOTH) this.#owner.expect(this);
      return VIRTIO_VSOCK_OP_SHUTDOWN;
    }
    if (this.#take(SAY_CREDIT)) return VIRTIO_VSOCK_OP_CREDIT_UPDATE;
    return this.#take(ASK_CREDIT) ? VIRTIO_VSOCK_OP_CREDIT_REQUEST : 0;
  }

  #take(what: number): boolean {
    if ((this.#say & what) === 0) return false;
    this.#say &= ~what;
    return true;
  }

  /** Reads payload behind the place of the header; returns how many bytes. */
  #readInto({ writer }: DescriptorChain): number {
    const room = Math.min(writer.remaining - HEADER_BYTES, this.#credit.free, MAX_PAYLOAD_BYTES);
    if (room <= 0) {
      if (!this.#askedForCredit && writer.remaining > HEADER_BYTES) {
        this.#askedForCredit = true; // once, until some has come
        this.#say |= ASK_CREDIT;
      }
      return 0;
    }
    this.#askedForCredit = false;
    const wanted = Math.min(room, this.#beginFrame());
    if (wanted <= 0) return this.#readNothing(wanted);
    this.#iovecs.clear();
    writer.skip(HEADER_BYTES);
    writer.take(this.#iovecs, wanted);
    const bytes = this.#stream.read(this.#iovecs);
    if (bytes > 0) {
      // That was all: `readable` follows when more comes, but not when nobody is left to write.
      if (bytes < wanted && !this.#stream.peerClosed) this.#readable = false;
      this.#credit.sent(bytes);
      return bytes;
    }
    writer.rewind();
    return this.#readNothing(bytes === 0 && this.#messageInput !== undefined ? BROKEN : bytes);
  }

  /** Bytes that may be read: of streams any number, else those of the frame that is next; or what `read` says. */
  #beginFrame(): number {
    // One that is longer than the guest's buffer it could never take: it passes on whole messages, so no credit comes.
    return this.#messageInput?.begin(this.#stream, this.#credit.peerBuffer) ?? Infinity;
  }

  /** What comes of a `read` that gave nothing, and said why. */
  #readNothing(said: number): number {
    this.#readable = false;
    if (said === 0) this.#hostEnded();
    else if (said !== NOT_NOW) this.reset();
    return 0;
  }

  #hostEnded(): void {
    this.#shutDown(this.#stream.peerClosed ? BOTH : VIRTIO_VSOCK_SHUTDOWN_SEND);
  }

  /** Whether a turn would give a packet, as far as can be told without reading. */
  get hasMore(): boolean {
    return this.#say !== 0 || this.#mayRead && (this.#credit.free > 0 || !this.#askedForCredit);
  }
}
