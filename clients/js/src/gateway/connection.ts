// The WebSocket to the gateway with the logical sockets on it.
//
// In: the WebSocket's events. Out: frames to their streams, and `ConnectionOwner`'s events. Sends the frames of its streams
// by turns, asks for signs of life, and ends itself on the first thing the gateway does wrong. Invariants: nothing that
// comes from the WebSocket throws; after `lost` or `finished` its events are not listened to.

import { decode, encodeOpen, encodePing, encodePong, type Bytes, type OpenFields, ProtocolError, SUBPROTOCOL } from "./codec.js";
import { microtask } from "./platform.js";
import type { Why } from "./session.js";
import { Stream, type StreamLimits, type StreamOwner, type StreamPort } from "./stream.js";

/** What is needed of a WebSocket: the browser's, Node's, or npm `ws`'s. */
export interface WebSocketLike {
  binaryType: string;
  readonly bufferedAmount: number;
  readonly protocol: string;
  onopen: ((event: any) => any) | null;
  onmessage: ((event: any) => any) | null;
  onclose: ((event: any) => any) | null;
  onerror: ((event: any) => any) | null;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
}

export type WebSocketConstructor = new (url: string, protocols: string[]) => WebSocketLike;

export interface ConnectionOwner {
  opened(connection: Connection): void;
  /** No stream can be opened on it any more; those that are there go on. */
  retired(connection: Connection): void;
  /** It ended; its streams have not heard of it yet: `loseStreams`. */
  lost(connection: Connection, why: Why): void;
  /** It was retired, its last stream is gone, and it closed itself. */
  finished(connection: Connection): void;
}

export interface ConnectionLimits extends StreamLimits {
  openWithinMs: number;
  /** `undefined`: no pings. */
  keepAlive: { everyMs: number; withinMs: number } | undefined;
}

/** So much waits inside of the WebSocket at most, so that a new message soon gets its turn. */
const BUFFERED_HIGH_BYTES = 131_072;
/** A WebSocket does not tell when it has room again. */
const POLL_MS = 16;
const STREAM_MAX = 0xffff_ffff;

export class Connection implements StreamPort {
  retiring = false;
  isOpen = false;

  readonly #owner: ConnectionOwner;
  readonly #limits: ConnectionLimits;
  readonly #streams = new Map<number, Stream>();
  /** In the order of their turns. */
  readonly #ready = new Set<Stream>();
  /** By stream; the newest only. */
  readonly #pongs = new Map<number, Bytes>();
  #socket: WebSocketLike | undefined;
  #greatest = 0;
  #pumpIsDue = false;
  #heard = false;
  #lifeTimer: ReturnType<typeof setTimeout> | undefined;
  #pollTimer: ReturnType<typeof setTimeout> | undefined;

  /** What the WebSocket told of its failure. */
  #failure = "";
  #hasFailed = false;
  #wasOpen = false;
  #isPinging = false;

  /** Throws what the constructor of the WebSocket throws. */
  constructor(url: string, WebSocketClass: WebSocketConstructor, owner: ConnectionOwner, limits: ConnectionLimits) {
    this.#owner = owner;
    this.#limits = limits;
    const socket = new WebSocketClass(url, [SUBPROTOCOL]);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#opened(socket);
    socket.onmessage = (event) => this.#received(event.data);
    socket.onclose = (event) => this.#lost(`the connection to the gateway was closed: ${event.code} ${event.reason}`.trimEnd());
    // It is followed by `close`. Outside of browsers it tells why, and with which status the gateway refused.
    socket.onerror = (event) => {
      this.#failure = textOf(event);
      this.#hasFailed = true;
    };
    this.#lifeTimer = setTimeout(() => this.#lost("no connection to the gateway in time", true), limits.openWithinMs);
  }

  /** Opens a stream for `owner`; only while open and not retiring. */
  open(owner: StreamOwner, fields: OpenFields): Stream {
    this.#greatest += 1;
    const stream = new Stream(this.#greatest, this, owner, this.#limits);
    this.#streams.set(stream.id, stream);
    this.sendNow(encodeOpen(stream.id, fields));
    if (this.#greatest === STREAM_MAX) this.#retire();
    return stream;
  }

  /** Closes itself as soon as there is no stream any more. */
  retire(): void {
    this.retiring = true;
    this.#finishIfUnused();
  }

  /** The network may have changed: asks for a sign of life now. */
  checkAlive(): void {
    const { keepAlive } = this.#limits;
    if (!this.isOpen || keepAlive === undefined || this.#isPinging) return;
    clearTimeout(this.#lifeTimer);
    this.#ping(keepAlive);
  }

  /** Ends at once, as lost. */
  giveUp(reason: string): void {
    this.#lost(reason, true);
  }

  /** For the owner, after `lost`. */
  loseStreams(reason: string, retryMs: number): void {
    for (const stream of [...this.#streams.values()]) stream.lose(reason, retryMs);
  }

  // ---- for its streams -------------------------------------------------------------------------------------------------

  sendNow(frame: Bytes): void {
    try {
      this.#socket?.send(frame);
    } catch {
      // It is closing, and will say so.
    }
  }

  markReady(stream: Stream): void {
    this.#ready.add(stream);
    if (this.#pumpIsDue) return;
    this.#pumpIsDue = true;
    // After the caller's turn, so that what it sends over several sockets is mixed fairly.
    microtask(() => {
      this.#pumpIsDue = false;
      this.#pump();
    });
  }

  pong(stream: number, frame: Bytes): void {
    this.#pongs.set(stream, frame);
    this.#pump();
  }

  remove(stream: Stream): void {
    this.#streams.delete(stream.id);
    this.#ready.delete(stream);
    this.#pongs.delete(stream.id);
    this.#finishIfUnused();
  }

  // ---- sending ---------------------------------------------------------------------------------------------------------

  #pump(): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    while (this.#pongs.size > 0 || this.#ready.size > 0) {
      if (socket.bufferedAmount >= BUFFERED_HIGH_BYTES) {
        clearTimeout(this.#pollTimer);
        this.#pollTimer = setTimeout(() => this.#pump(), POLL_MS);
        return;
      }
      const frame = this.#takePong() ?? this.#takeTurn();
      if (frame !== undefined) this.sendNow(frame);
    }
  }

  #takePong(): Bytes | undefined {
    for (const [stream, frame] of this.#pongs) {
      this.#pongs.delete(stream);
      return frame;
    }
    return undefined;
  }

  #takeTurn(): Bytes | undefined {
    for (const stream of this.#ready) {
      this.#ready.delete(stream);
      const frame = stream.nextFrame();
      if (stream.isReady) this.#ready.add(stream);
      return frame;
    }
    return undefined;
  }

  #ping(every: { everyMs: number; withinMs: number }): void {
    this.#heard = false;
    this.#isPinging = true;
    this.sendNow(encodePing(0));
    this.#lifeTimer = setTimeout(() => {
      this.#isPinging = false;
      if (!this.#heard) return this.#lost("no answer to a ping", true);
      this.#lifeTimer = setTimeout(() => this.#ping(every), Math.max(0, every.everyMs - every.withinMs));
    }, every.withinMs);
  }

  // ---- receiving -------------------------------------------------------------------------------------------------------

  #opened(socket: WebSocketLike): void {
    if (socket.protocol !== SUBPROTOCOL) return this.#wrong(`expected the subprotocol ${SUBPROTOCOL}`);
    clearTimeout(this.#lifeTimer);
    const { keepAlive } = this.#limits;
    if (keepAlive) this.#lifeTimer = setTimeout(() => this.#ping(keepAlive), keepAlive.everyMs);
    this.isOpen = true;
    this.#wasOpen = true;
    this.#owner.opened(this);
  }

  #received(data: unknown): void {
    this.#heard = true;
    try {
      if (!isArrayBuffer(data)) throw new ProtocolError("expected binary messages only");
      this.#dispatch(data);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#wrong(error.message);
    }
    // Credit may have come; and a timer of a page in the background is slow.
    this.#pump();
  }

  #dispatch(data: ArrayBuffer): void {
    const frame = decode(data);
    if (frame.stream !== 0) {
      const stream = this.#streams.get(frame.stream);
      if (stream !== undefined) return stream.receive(frame);
      if (frame.stream <= this.#greatest) return;
      throw new ProtocolError(`expected a stream of at most ${this.#greatest}, got ${frame.stream}`);
    }
    if (frame.type === "ping") this.pong(0, encodePong(0, frame.payload));
    else if (frame.type === "goaway") this.#retire();
  }

  // ---- the end ---------------------------------------------------------------------------------------------------------

  #retire(): void {
    if (this.retiring) return;
    this.retiring = true;
    this.#owner.retired(this);
    this.#finishIfUnused();
  }

  #finishIfUnused(): void {
    if (!this.retiring || this.#streams.size > 0 || this.#socket === undefined) return;
    this.#release()?.close(1000);
    this.#owner.finished(this);
  }

  /** The gateway did something that the protocol does not know. */
  #wrong(reason: string): void {
    const socket = this.#release();
    if (socket === undefined) return;
    try {
      socket.close(1002, reason);
    } catch {
      // Browsers let pages close with their own codes only.
      socket.close(4002, reason);
    }
    this.#owner.lost(this, { reason: `protocol error: ${reason}`, status: 0 });
  }

  #lost(reason: string, abruptly = false): void {
    const socket = this.#release();
    if (socket === undefined) return;
    if (abruptly) endNow(socket);
    const told = this.#failure === "" && this.#hasFailed && !this.#wasOpen ? HIDDEN : this.#failure;
    const failure = told === "" || reason.includes(told) ? "" : ` (${told})`;
    const status = this.#wasOpen ? 0 : statusIn(this.#failure);
    this.#owner.lost(this, { reason: reason + failure, status });
  }

  /** Stops listening and sending. Gives the WebSocket the first time. */
  #release(): WebSocketLike | undefined {
    const socket = this.#socket;
    if (socket === undefined) return undefined;
    this.#socket = undefined;
    this.isOpen = false;
    clearTimeout(this.#lifeTimer);
    clearTimeout(this.#pollTimer);
    socket.onopen = socket.onmessage = socket.onclose = null;
    // Some report the end they are asked for as an error.
    socket.onerror = () => {};
    this.#ready.clear();
    this.#pongs.clear();
    return socket;
  }
}

/**
 * Browsers hide from pages whether a server refused, and with which status. Asking the same address over HTTP would tell no more: a
 * gateway answers pages of its `origins` only with WebSockets.
 */
const HIDDEN =
  "not reachable, or refused for this page's origin, the credentials or the path; the platform does not tell which: " +
  "see the browser's console and the gateway's log";

/** What an error event says, where it says something: npm `ws`, React Native, Node. */
function textOf(event: { message?: unknown; error?: { message?: unknown } } | undefined): string {
  const text = event?.message || event?.error?.message;
  return typeof text === "string" ? text.slice(0, 500) : "";
}

/**
 * The HTTP status in such a text: `Unexpected server response: 401`, `Received bad response code from server: 401.`,
 * `Expected HTTP 101 response but was '401 Unauthorized'`. 0: there is none.
 */
function statusIn(text: string): number {
  const [, status] = /(?:response(?: code from server)?: |response but was ')([2-5]\d\d)\b/i.exec(text) ?? [];
  return status === undefined ? 0 : Number(status);
}

/** Nothing answers any more, so no closing handshake is waited for where that can be chosen. */
function endNow(socket: WebSocketLike & { terminate?: () => void }): void {
  if (typeof socket.terminate === "function") socket.terminate();
  else socket.close();
}

/** Also one of another frame or realm. */
const isArrayBuffer = (data: unknown): data is ArrayBuffer => Object.prototype.toString.call(data) === "[object ArrayBuffer]";
