// Events of this package's own, and handlers as attributes (`onmessage = …`).

import { PlatformEvent } from "./platform.js";

/** The endpoint's backend, or the connection to the gateway, is lost; the socket lives on and waits. */
export class DownEvent extends PlatformEvent {
  /** Milliseconds until the next attempt. */
  readonly retryMs: number;
  /** Who makes it: the gateway towards the backend, or this client towards the gateway. */
  readonly cause: "backend" | "connection";
  /** Why, for people; empty if that is not known. */
  readonly reason: string;
  /** The HTTP status of the gateway's refusal, as far as the platform tells it; 0: there was none, or nobody knows. */
  readonly status: number;

  /** @internal */
  constructor(retryMs: number, cause: "backend" | "connection", reason = "", status = 0) {
    super("down");
    this.retryMs = retryMs;
    this.cause = cause;
    this.reason = reason;
    this.status = status;
  }
}

/** Why a socket could not be opened, or had to be given up. Always followed by `close`. */
export class FailureEvent extends PlatformEvent {
  /** The HTTP status of the gateway's refusal, as far as the platform tells it; 0: there was none, or nobody knows. */
  readonly status: number;
  readonly message: string;

  /** @internal */
  constructor(status: number, message: string) {
    super("error");
    this.status = status;
    this.message = message;
  }
}

/** Handlers set as attributes: each is called at the place in the order where its name got its first one. */
export class Handlers {
  readonly #target: EventTarget;
  readonly #handlers = new Map<string, { handler: (event: any) => unknown; listener: (event: Event) => void }>();

  constructor(target: EventTarget) {
    this.#target = target;
  }

  get(type: string): ((event: any) => any) | null {
    return this.#handlers.get(type)?.handler ?? null;
  }

  set(type: string, handler: ((event: any) => any) | null): void {
    const entry = this.#handlers.get(type);
    if (typeof handler !== "function") {
      if (entry) this.#target.removeEventListener(type, entry.listener);
      this.#handlers.delete(type);
    } else if (entry) {
      entry.handler = handler;
    } else {
      const added = { handler, listener: (event: Event) => void added.handler.call(this.#target, event) };
      this.#handlers.set(type, added);
      this.#target.addEventListener(type, added.listener);
    }
  }
}
