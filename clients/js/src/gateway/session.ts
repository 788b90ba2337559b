// The life of one logical socket, over as many streams and connections as it takes.
//
// In: the application's calls by way of `EndpointSocket`, events of its stream (`StreamOwner`), a connection to open a
// stream on (`attach`), failed attempts to get one. Out: `SessionEvents`. Invariants: `closed` comes last and once; what
// waits in the outbox is sent in order, each message on one stream only.

import { Backoff, type BackoffLimits } from "./backoff.js";
import type { Bytes } from "./codec.js";
import type { Connection } from "./connection.js";
import { Outbox } from "./outbox.js";
import { domException, isBlob, microtask } from "./platform.js";
import type { Stream, StreamOwner } from "./stream.js";

export const CONNECTING = 0;
export const OPEN = 1;
export const CLOSING = 2;
export const CLOSED = 3;
export type ReadyState = typeof CONNECTING | typeof OPEN | typeof CLOSING | typeof CLOSED;

export interface SessionOptions {
  name: string;
  query: string;
  subprotocols: readonly string[];
  reopen: boolean;
  maxBufferedBytes: number;
  creditBytes: number;
  backoff: BackoffLimits;
}

/** What a session needs of its gateway. */
export interface SessionHost {
  /** Calls `attach` as soon as there is a connection to open a stream on. */
  place(session: Session): void;
  /** The session is closed. */
  release(session: Session): void;
}

/** Why there is no connection, or no backend. */
export interface Why {
  reason: string;
  /** The HTTP status of a refusal; 0: there was none, or the platform does not tell it. */
  status: number;
}

export interface SessionEvents {
  open(): void;
  message(data: string | Bytes): void;
  down(retryMs: number, cause: "backend" | "connection", why: Why): void;
  up(): void;
  error(status: number, message: string): void;
  close(code: number, reason: string, wasClean: boolean): void;
}

/** Codes with which an endpoint that goes away asks to come back: going away, service restart. */
const RETURN_CODES: readonly (number | undefined)[] = [1001, 1012];

export class Session implements StreamOwner {
  readonly options: SessionOptions;
  readonly outbox: Outbox;
  readyState: ReadyState = CONNECTING;
  protocol = "";

  readonly #host: SessionHost;
  readonly #events: SessionEvents;
  readonly #backoff: Backoff;
  #stream: Stream | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isDown = false;
  /** It was open, and the stream that carries on is not accepted yet. */
  #isReopening = false;
  #hasEnded = false;
  /** Bytes that were sent too late, or never went out: the interface counts them. */
  #discardedBytes = 0;

  constructor(host: SessionHost, events: SessionEvents, options: SessionOptions) {
    this.options = options;
    this.#host = host;
    this.#events = events;
    this.#backoff = new Backoff(options.backoff);
    this.outbox = new Outbox(options.maxBufferedBytes);
    this.outbox.onready = () => this.#stream?.wake();
    this.outbox.onfail = () => this.#abort(1006, "a Blob could not be read");
  }

  get bufferedAmount(): number {
    return this.outbox.payloadBytes + this.#discardedBytes;
  }

  /** Waits for a connection; neither opened, nor closed, nor waiting for a time. */
  get isWaiting(): boolean {
    return this.#stream === undefined && this.#timer === undefined && this.readyState <= OPEN;
  }

  // ---- the application -------------------------------------------------------------------------------------------------

  send(data: Bytes | Blob, binary: boolean): void {
    if (this.readyState === CONNECTING) throw domException("expected the socket to be open already", "InvalidStateError");
    const size = isBlob(data) ? data.size : data.length;
    if (this.readyState !== OPEN) {
      this.#discardedBytes += size;
      return;
    }
    if (!this.outbox.hasRoom(size)) {
      const bound = this.options.maxBufferedBytes;
      throw domException(`expected at most ${bound} bytes to wait for being sent`, "QuotaExceededError");
    }
    if (isBlob(data)) this.outbox.pushBlob(data);
    else this.outbox.push(binary, data);
    this.#stream?.wake();
  }

  close(code: number | undefined, reason: string): void {
    if (this.readyState > OPEN) return;
    const wasOpen = this.readyState === OPEN;
    this.readyState = CLOSING;
    if (wasOpen && this.#stream !== undefined && !this.#isReopening) return this.#stream.close(code, reason);
    // Nothing is there that could take a leave. The events come after the call, as in a browser.
    this.#detach();
    microtask(() => {
      this.readyState = CLOSED;
      if (!wasOpen) this.#events.error(0, "closed before it was open");
      this.#closed(1006, "", false);
    });
  }

  // ---- the gateway's connections ---------------------------------------------------------------------------------------

  attach(connection: Connection): void {
    if (!this.isWaiting) return;
    const { name, query, subprotocols, creditBytes: credit } = this.options;
    this.#stream = connection.open(this, { credit, name, query, subprotocols });
  }

  /** No connection was to be had. */
  attemptFailed(why: Why, retryMs: number): void {
    if (!this.isWaiting) return;
    if (!this.options.reopen) return this.#abort(1006, why.reason, why.status);
    if (this.readyState === OPEN) this.#goDown(retryMs, "connection", why);
  }

  // ---- its stream ------------------------------------------------------------------------------------------------------

  accepted(subprotocol: string): void {
    if (subprotocol !== "" && !this.options.subprotocols.includes(subprotocol)) {
      return this.#abort(1006, `expected a subprotocol that was offered, got ${subprotocol}`);
    }
    this.protocol = subprotocol;
    this.#isReopening = false;
    this.#backoff.opened();
    if (this.readyState === OPEN) return this.up();
    this.readyState = OPEN;
    this.#events.open();
  }

  rejected(status: number, reason: string, retiring: boolean): void {
    this.#stream = undefined;
    if (retiring && status === 503) return this.#host.place(this);
    const again = status === 429 || status >= 500;
    if (this.readyState === OPEN && again) return this.#comeBack("backend", { reason, status });
    this.#abort(1006, reason === "" ? `rejected with ${status}` : `rejected with ${status}: ${reason}`, status);
  }

  message(data: string | Bytes): void {
    this.#events.message(data);
  }

  down(retryMs: number): void {
    this.#goDown(retryMs, "backend", { reason: "", status: 0 });
  }

  up(): void {
    if (!this.#isDown) return;
    this.#isDown = false;
    this.#events.up();
    this.#stream?.wake();
  }

  closed(code: number | undefined, reason: string, byGateway: boolean): void {
    this.#stream = undefined;
    if (byGateway && this.options.reopen && this.readyState === OPEN && RETURN_CODES.includes(code)) {
      return this.#comeBack("backend", { reason, status: 0 });
    }
    this.#closed(code ?? 1005, reason, true);
  }

  failed(code: number, reason: string): void {
    this.#abort(code, reason);
  }

  lost(reason: string, retryMs: number): void {
    this.#stream = undefined;
    if (!this.options.reopen || this.readyState > OPEN) {
      if (this.readyState === CONNECTING) return this.#abort(1006, reason);
      return this.#closed(1006, reason, false);
    }
    this.#startAgain();
    if (this.readyState === OPEN) this.#goDown(retryMs, "connection", { reason, status: 0 });
    this.#host.place(this);
  }

  // ---- private ---------------------------------------------------------------------------------------------------------

  #startAgain(): void {
    this.outbox.rewind();
    this.#isReopening = this.readyState === OPEN;
  }

  /** Opens a new stream after a while. */
  #comeBack(cause: "backend" | "connection", why: Why): void {
    this.#startAgain();
    const retryMs = this.#backoff.nextMs();
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#host.place(this);
    }, retryMs);
    this.#goDown(retryMs, cause, why);
  }

  #goDown(retryMs: number, cause: "backend" | "connection", why: Why): void {
    this.#isDown = true;
    this.#events.down(retryMs, cause, why);
  }

  /** Leaves the stream to end by itself. */
  #detach(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#stream?.abandon();
    this.#stream = undefined;
    this.#discardedBytes += this.outbox.payloadBytes;
    this.outbox.clear();
  }

  #abort(code: number, reason: string, status = 0): void {
    if (this.readyState === CLOSED) return;
    this.#detach();
    this.readyState = CLOSED;
    this.#events.error(status, reason);
    this.#closed(code, reason, false);
  }

  #closed(code: number, reason: string, wasClean: boolean): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#detach();
    this.readyState = CLOSED;
    this.#host.release(this);
    this.#events.close(code, reason, wasClean);
  }
}
