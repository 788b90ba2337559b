// What the application holds: the interface of a browser's WebSocket over a `Session`.

import { type Address, checkedClose } from "./arguments.js";
import { toUtf8 } from "./codec.js";
import { DownEvent, FailureEvent, Handlers } from "./events.js";
import { blobOf, closeEvent, isBlob, messageEvent, PlatformEvent, PlatformEventTarget } from "./platform.js";
import { CLOSED, CLOSING, CONNECTING, OPEN, type ReadyState, Session, type SessionEvents, type SessionHost, type SessionOptions } from "./session.js";

/** The events of an `EndpointSocket` by name. */
export interface EndpointSocketEventMap {
  open: Event;
  message: MessageEvent;
  /** The endpoint is out of reach for now. Messages sent meanwhile are kept. May come several times before `up`. */
  down: DownEvent;
  /** The endpoint is back. */
  up: Event;
  error: FailureEvent;
  close: CloseEvent;
}

type Listener<E> = ((event: E) => any) | { handleEvent(event: E): any } | null;
type ListenerOptions = boolean | { capture?: boolean; once?: boolean; passive?: boolean; signal?: AbortSignal };

export interface EndpointSocket {
  addEventListener<K extends keyof EndpointSocketEventMap>(
    type: K,
    listener: Listener<EndpointSocketEventMap[K]>,
    options?: ListenerOptions,
  ): void;
  addEventListener(type: string, listener: Listener<Event>, options?: ListenerOptions): void;
  removeEventListener<K extends keyof EndpointSocketEventMap>(
    type: K,
    listener: Listener<EndpointSocketEventMap[K]>,
    options?: boolean | { capture?: boolean },
  ): void;
  removeEventListener(type: string, listener: Listener<Event>, options?: boolean | { capture?: boolean }): void;
}

/**
 * A logical socket to one endpoint, made by `Gateway.endpoint`. It has the interface of a browser's `WebSocket`, and
 * besides the events `down` and `up`.
 */
export class EndpointSocket extends PlatformEventTarget {
  static readonly CONNECTING = CONNECTING;
  static readonly OPEN = OPEN;
  static readonly CLOSING = CLOSING;
  static readonly CLOSED = CLOSED;
  readonly CONNECTING = CONNECTING;
  readonly OPEN = OPEN;
  readonly CLOSING = CLOSING;
  readonly CLOSED = CLOSED;

  readonly #session: Session;
  readonly #handlers = new Handlers(this);
  readonly #address: () => Address;
  #binaryType: "blob" | "arraybuffer" = "blob";

  /** @internal */
  constructor(host: SessionHost, options: SessionOptions, address: () => Address, created: (session: Session) => void) {
    super();
    this.#address = address;
    this.#session = new Session(host, this.#events(), options);
    created(this.#session);
  }

  /** The gateway's address, with the endpoint's name (and query) as its fragment. */
  get url(): string {
    const { name, query } = this.#session.options;
    return `${this.#address().url}#${encodeURIComponent(name)}${query === "" ? "" : `?${query}`}`;
  }

  get readyState(): ReadyState {
    return this.#session.readyState;
  }

  /** Payload bytes that were sent and not yet handed to the connection. */
  get bufferedAmount(): number {
    return this.#session.bufferedAmount;
  }

  /** The subprotocol that the backend chose; empty before `open`, and for none. */
  get protocol(): string {
    return this.#session.protocol;
  }

  /** Always empty: extensions belong to the connection. */
  get extensions(): string {
    return "";
  }

  get binaryType(): "blob" | "arraybuffer" {
    return this.#binaryType;
  }

  set binaryType(value: "blob" | "arraybuffer") {
    if (value === "blob" || value === "arraybuffer") this.#binaryType = value;
  }

  get onopen(): ((event: Event) => any) | null {
    return this.#handlers.get("open");
  }
  set onopen(handler: ((event: Event) => any) | null) {
    this.#handlers.set("open", handler);
  }
  get onmessage(): ((event: MessageEvent) => any) | null {
    return this.#handlers.get("message");
  }
  set onmessage(handler: ((event: MessageEvent) => any) | null) {
    this.#handlers.set("message", handler);
  }
  get ondown(): ((event: DownEvent) => any) | null {
    return this.#handlers.get("down");
  }
  set ondown(handler: ((event: DownEvent) => any) | null) {
    this.#handlers.set("down", handler);
  }
  get onup(): ((event: Event) => any) | null {
    return this.#handlers.get("up");
  }
  set onup(handler: ((event: Event) => any) | null) {
    this.#handlers.set("up", handler);
  }
  get onerror(): ((event: Event) => any) | null {
    return this.#handlers.get("error");
  }
  set onerror(handler: ((event: Event) => any) | null) {
    this.#handlers.set("error", handler);
  }
  get onclose(): ((event: CloseEvent) => any) | null {
    return this.#handlers.get("close");
  }
  set onclose(handler: ((event: CloseEvent) => any) | null) {
    this.#handlers.set("close", handler);
  }

  /**
   * Sends a message. Throws `InvalidStateError` before `open`, and `QuotaExceededError` if more than `maxBufferedBytes`
   * would wait; the message is then not taken, and the socket goes on. After `close` messages are thrown away.
   */
  send(data: string | ArrayBufferLike | ArrayBufferView | Blob): void {
    if (isBlob(data)) return this.#session.send(data, true);
    if (ArrayBuffer.isView(data)) {
      return this.#session.send(copied(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)), true);
    }
    if (isBuffer(data)) return this.#session.send(copied(new Uint8Array(data)), true);
    this.#session.send(toUtf8(String(data)), false);
  }

  /** Sends what waits, then closes. `code` is 1000 or from 3000 to 4999, `reason` has at most 123 bytes. */
  close(code?: number, reason?: string): void {
    const checked = checkedClose(code, reason);
    this.#session.close(checked.code, checked.reason);
  }

  #events(): SessionEvents {
    return {
      open: () => this.dispatchEvent(new PlatformEvent("open")),
      message: (data) => {
        const payload = typeof data === "string" ? data : this.#binaryType === "blob" ? blobOf(data) : data.buffer;
        this.dispatchEvent(messageEvent(payload, this.#address().origin));
      },
      down: (retryMs, cause, why) => this.dispatchEvent(new DownEvent(retryMs, cause, why.reason, why.status)),
      up: () => this.dispatchEvent(new PlatformEvent("up")),
      error: (status, message) => this.dispatchEvent(new FailureEvent(status, message)),
      close: (code, reason, wasClean) => this.dispatchEvent(closeEvent(code, reason, wasClean)),
    };
  }
}

/** The application may change its bytes as soon as `send` has returned. */
const copied = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => new Uint8Array(bytes);

const isBuffer = (data: unknown): data is ArrayBufferLike =>
  /^\[object (Shared)?ArrayBuffer\]$/.test(Object.prototype.toString.call(data));
