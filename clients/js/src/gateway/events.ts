// Events that not every platform has, and handlers as attributes (`onmessage = …`).

/** The endpoint's backend, or the connection to the gateway, is lost; the socket lives on and waits. */
export class DownEvent extends Event {
  /** Milliseconds until the next attempt. */
  readonly retryMs: number;
  /** Who makes it: the gateway towards the backend, or this client towards the gateway. */
  readonly cause: "backend" | "connection";

  /** @internal */
  constructor(retryMs: number, cause: "backend" | "connection") {
    super("down");
    this.retryMs = retryMs;
    this.cause = cause;
  }
}

/** Why a socket could not be opened, or had to be given up. Always followed by `close`. */
export class FailureEvent extends Event {
  /** The HTTP status of the gateway's refusal; 0: there was none. */
  readonly status: number;
  readonly message: string;

  /** @internal */
  constructor(status: number, message: string) {
    super("error");
    this.status = status;
    this.message = message;
  }
}

/** The platform's `CloseEvent`, or one that is made alike. */
export function closeEvent(code: number, reason: string, wasClean: boolean): CloseEvent {
  const init = { code, reason, wasClean };
  if (typeof CloseEvent === "function") return new CloseEvent("close", init);
  const properties = Object.entries(init).map(([name, value]) => [name, { value, enumerable: true }]);
  return Object.defineProperties(new Event("close"), Object.fromEntries(properties)) as CloseEvent;
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
