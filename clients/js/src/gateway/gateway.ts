// `Gateway`: gives sockets to endpoints, and keeps a connection for them.
//
//   idle ──endpoint()──▶ connecting ──▶ open ──GOAWAY──▶ connecting again, while the old connection serves its sockets
//                           ▲  │ failed   │ lost
//                           └──┴─ waiting ┘   (exponential back-off, full jitter)

import { type Address, checkedAddress, checkedName, checkedNumber, checkedProtocols, checkedQuery } from "./arguments.js";
import { Backoff, type BackoffLimits } from "./backoff.js";
import { CREDIT_MAX, FIRST_CREDIT_MIN } from "./codec.js";
import { Connection, type ConnectionLimits, type ConnectionOwner, type WebSocketConstructor } from "./connection.js";
import { DownEvent } from "./events.js";
import { domException, microtask, PlatformEvent, PlatformEventTarget } from "./platform.js";
import type { Session, SessionHost, Why } from "./session.js";
import { EndpointSocket } from "./socket.js";
import { watchSurroundings } from "./surroundings.js";

/** An address, or a function that gives the one for the next attempt, for instance with a fresh token. */
export type GatewayUrl = string | URL | (() => string | URL | Promise<string | URL>);

export interface GatewayOptions {
  /** The class to connect with; needed where there is no global `WebSocket` (Node before 22). */
  WebSocket?: WebSocketConstructor;
  /**
   * Whether and how a lost connection is made again: waits of 0 to `minMs` (500) at first, doubled up to `maxMs` (30 000);
   * a connection that lasted `stableMs` (5 000) starts the waits anew. Default `true`.
   */
  reconnect?: boolean | { minMs?: number; maxMs?: number; stableMs?: number };
  /** A ping `everyMs` (25 000); if nothing comes `withinMs` (10 000) after it, the connection counts as lost. */
  keepAlive?: boolean | { everyMs?: number; withinMs?: number };
  /** An attempt to connect is given up after this time. Default 15 000. */
  openWithinMs?: number;
  /** So long the gateway may take to answer a socket's close. Default 10 000. */
  closeWithinMs?: number;
  /** Largest message that is received; larger ones close their socket with 1009. Default 16 MiB. */
  maxMessageBytes?: number;
  /** What the gateway may send on each socket before this end has passed it on. Default 65 536, least 16 390. */
  creditBytes?: number;
}

export interface EndpointOptions {
  /** Offered to the backend, best first. */
  protocols?: string | readonly string[];
  /** Stands behind `?` of the backend's address. */
  query?: string | URLSearchParams | Readonly<Record<string, string>>;
  /**
   * The socket survives the loss of the connection, and codes 1001 and 1012: it gets `down`, is opened anew, and gets `up`.
   * Default `false`: it is closed with 1006.
   */
  reopen?: boolean;
  /**
   * Most bytes that wait to be sent, 64 for each message included; `send` throws rather than keep more. Default 16 MiB.
   */
  maxBufferedBytes?: number;
}

const WEEK_MS = 604_800_000;
/** Least time between attempts that the surroundings ask for. */
const ATTEMPT_SPACING_MS = 1000;

/**
 * A Tidewire gateway. Connects with the first endpoint and keeps the connection until `close`. Events: `up` when there is
 * a connection, `down` (`DownEvent`) when there is none and when the next attempt is made.
 */
export class Gateway extends PlatformEventTarget {
  readonly #url: GatewayUrl;
  readonly #class: WebSocketConstructor;
  readonly #limits: ConnectionLimits;
  readonly #backoffLimits: BackoffLimits;
  readonly #backoff: Backoff;
  readonly #reconnect: boolean;
  readonly #sessions = new Set<Session>();
  readonly #host: SessionHost;
  readonly #owner: ConnectionOwner;
  /** The connection that new sockets get. */
  #current: Connection | undefined;
  #isAskingForUrl = false;
  #address: Address = { url: "", origin: "" };
  #timer: ReturnType<typeof setTimeout> | undefined;
  #attemptedAt = 0;
  #unwatch: (() => void) | undefined;
  #isClosed = false;

  /** Does not connect yet. Throws `SyntaxError` (a `DOMException`) for an address that is none. */
  constructor(url: GatewayUrl, options: GatewayOptions = {}) {
    super();
    this.#url = url;
    if (typeof url !== "function") this.#address = checkedAddress(url);
    const found = options.WebSocket ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
    if (typeof found !== "function") throw new TypeError("expected option WebSocket, since there is no global one");
    this.#class = found;
    this.#limits = connectionLimits(options);
    this.#reconnect = options.reconnect !== false;
    this.#backoffLimits = backoffLimits(options.reconnect);
    this.#backoff = new Backoff(this.#backoffLimits);
    this.#host = {
      place: (session) => this.#place(session),
      release: (session) => this.#sessions.delete(session),
    };
    this.#owner = {
      opened: (connection) => this.#opened(connection),
      retired: (connection) => this.#retired(connection),
      lost: (connection, why) => this.#lost(connection, why),
      finished: () => {},
    };
  }

  /** Whether new sockets can be opened at once. */
  get isConnected(): boolean {
    return this.#current?.isOpen === true;
  }

  /** A socket to the endpoint of this name. Throws what the constructor of a WebSocket throws for arguments that are wrong. */
  endpoint(name: string, options: EndpointOptions = {}): EndpointSocket {
    const reopen = options.reopen === true;
    const sessionOptions = {
      name: checkedName(name),
      query: checkedQuery(options.query),
      subprotocols: checkedProtocols(options.protocols),
      reopen,
      maxBufferedBytes: checkedNumber("maxBufferedBytes", options.maxBufferedBytes, 16 << 20, 0, Infinity),
      creditBytes: this.#limits.creditBytes,
      backoff: this.#backoffLimits,
    };
    if (reopen && !this.#reconnect) throw new TypeError("expected no option reopen, since reconnect is off");
    if (this.#isClosed) throw domException("expected a gateway that is not closed", "InvalidStateError");
    return new EndpointSocket(this.#host, sessionOptions, () => this.#address, (session) => {
      this.#sessions.add(session);
      this.#place(session);
    });
  }

  /**
   * Makes the next attempt now instead of waiting for it: when a user asks, or when the platform tells that there is a
   * network again. In browsers and workers that happens by itself (`online`; a page that is shown again).
   */
  reconnectNow(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#connect();
  }

  /** Closes all sockets with 1000, then the connection. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#unwatch?.();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const connection = this.#current;
    this.#current = undefined;
    for (const session of [...this.#sessions]) session.close(1000, "");
    connection?.retire();
  }

  // ---- private ---------------------------------------------------------------------------------------------------------

  #place(session: Session): void {
    if (this.#current === undefined) this.#connect();
    else if (this.#current.isOpen) session.attach(this.#current);
  }

  #connect(): void {
    if (this.#isClosed || this.#current !== undefined || this.#timer !== undefined || this.#isAskingForUrl) return;
    this.#attemptedAt = Date.now();
    this.#unwatch ??= watchSurroundings(() => this.#surroundingsChanged());
    if (typeof this.#url !== "function") return this.#connectTo(this.#url);
    this.#isAskingForUrl = true;
    // Also what the function throws becomes a failed attempt.
    new Promise<string | URL>((resolve) => resolve((this.#url as () => string | URL | Promise<string | URL>)())).then(
      (url) => {
        this.#isAskingForUrl = false;
        this.#connectTo(url);
      },
      (error) => {
        this.#isAskingForUrl = false;
        this.#failed({ reason: `no address of the gateway: ${error}`, status: 0 });
      },
    );
  }

  #connectTo(url: string | URL): void {
    if (this.#isClosed) return;
    try {
      const address = checkedAddress(url);
      this.#current = new Connection(address.url, this.#class, this.#owner, this.#limits);
      this.#address = address;
    } catch (error) {
      // Not while the caller of `endpoint` has no socket yet to listen at.
      microtask(() => this.#failed({ reason: String(error), status: 0 }));
    }
  }

  #opened(connection: Connection): void {
    this.#backoff.opened();
    for (const session of [...this.#sessions]) {
      if (this.#current === connection && connection.isOpen) session.attach(connection);
    }
    this.dispatchEvent(new PlatformEvent("up"));
  }

  /** The network is back, or the page is shown: a lost connection may be found out, and a new one made, at once. */
  #surroundingsChanged(): void {
    const connection = this.#current;
    if (connection?.isOpen) return connection.checkAlive();
    // Whatever the platform says, and however often: no attempts without any wait.
    if (Math.abs(Date.now() - this.#attemptedAt) < ATTEMPT_SPACING_MS || !this.#reconnect) return;
    // What was begun without a network waits for answers that never come.
    connection?.giveUp("the network has changed");
    this.reconnectNow();
  }

  /** GOAWAY: the sockets that are there go on, new ones get a new connection. */
  #retired(connection: Connection): void {
    if (connection !== this.#current) return;
    this.#current = undefined;
    if (!this.#reconnect || this.#isClosed) return;
    // A gateway that sends everyone away at once must not make its clients spin.
    if (this.#backoff.isStable) this.#connect();
    else this.#connectAfter(this.#backoff.nextMs());
  }

  #lost(connection: Connection, why: Why): void {
    let retryMs = 0;
    if (connection === this.#current) {
      this.#current = undefined;
      retryMs = this.#failed(why);
    }
    connection.loseStreams(why.reason, retryMs);
  }

  /** There is no connection, or an attempt to get one failed. Gives the time until the next. */
  #failed(why: Why): number {
    if (this.#isClosed) return 0;
    const retryMs = this.#reconnect ? this.#backoff.nextMs() : 0;
    if (this.#reconnect) this.#connectAfter(retryMs);
    const sessions = [...this.#sessions];
    this.dispatchEvent(new DownEvent(retryMs, "connection", why.reason, why.status));
    for (const session of sessions) session.attemptFailed(why, retryMs);
    return retryMs;
  }

  #connectAfter(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#connect();
    }, ms);
  }
}

function connectionLimits(options: GatewayOptions): ConnectionLimits {
  const { keepAlive = true } = options;
  const given = typeof keepAlive === "object" ? keepAlive : {};
  const everyMs = checkedNumber("keepAlive.everyMs", given.everyMs, 25_000, 1, WEEK_MS);
  const withinMs = checkedNumber("keepAlive.withinMs", given.withinMs, 10_000, 1, WEEK_MS);
  return {
    keepAlive: keepAlive === false ? undefined : { everyMs, withinMs },
    openWithinMs: checkedNumber("openWithinMs", options.openWithinMs, 15_000, 1, WEEK_MS),
    closeWithinMs: checkedNumber("closeWithinMs", options.closeWithinMs, 10_000, 1, WEEK_MS),
    maxMessageBytes: checkedNumber("maxMessageBytes", options.maxMessageBytes, 16 << 20, 0, CREDIT_MAX),
    creditBytes: Math.floor(checkedNumber("creditBytes", options.creditBytes, 65_536, FIRST_CREDIT_MIN, CREDIT_MAX)),
  };
}

function backoffLimits(reconnect: GatewayOptions["reconnect"]): BackoffLimits {
  const given = typeof reconnect === "object" ? reconnect : {};
  return {
    minMs: checkedNumber("reconnect.minMs", given.minMs, 500, 1, WEEK_MS),
    maxMs: checkedNumber("reconnect.maxMs", given.maxMs, 30_000, 1, WEEK_MS),
    stableMs: checkedNumber("reconnect.stableMs", given.stableMs, 5_000, 0, WEEK_MS),
  };
}
