// One WebSocket that comes back by itself. Emits "state" (see `Connection.state`) and "frame" (detail: text).
//
// Retries wait a random time between 0 and a cap that doubles from 0.5 s to 30 s ("full jitter"), so that the clients of a
// restarted server do not return all at once. Close codes that a retry cannot cure stop it until `retry()` is called.

const CAP_FIRST_MS = 500;
const CAP_LAST_MS = 30_000;
// A connection this old proves the server healthy; a younger one keeps the back-off growing.
const STABLE_MS = 5_000;
// A network that swallows packets gives no error for minutes; better to start over.
const CONNECT_TIMEOUT_MS = 15_000;

/** 4000 invalid id, 4001 invalid payload, 4050 unauthorized: the same attempt would fail the same way. */
const FINAL_CODES = new Set([4000, 4001, 4050]);

/** Waiting time before retry number `attempt` (0, 1, …). */
export function backoff(attempt, random = Math.random) {
  return random() * Math.min(CAP_LAST_MS, CAP_FIRST_MS * 2 ** Math.min(attempt, 16));
}

export class Connection extends EventTarget {
  #dial;
  /** The attempt under way or the open connection: {socket}, with a socket once it is known where to. */
  #current = null;
  #timer = 0;
  #attempt = 0;
  #openedAt = 0;

  /**
   * What is going on: {name: "connecting" | "open" | "waiting" | "stopped"}, with `retryAt` (ms) while waiting, and the
   * `code` and `reason` of the last close while waiting or stopped.
   */
  state = { name: "connecting" };

  /** `dial` resolves to {url, subprotocols}, or rejects with the `code` of a close. */
  constructor(dial) {
    super();
    this.#dial = dial;
    window.addEventListener("online", this.#hurry);
    document.addEventListener("visibilitychange", this.#hurry);
    this.#connect();
  }

  get isOpen() {
    return this.state.name === "open";
  }

  /** Writes a frame; false when there is no open connection to write to. */
  send(frame) {
    const socket = this.#current?.socket;
    if (socket?.readyState !== WebSocket.OPEN) return false;
    socket.send(frame);
    return true;
  }

  /** Connects now: the person asked, so neither the back-off nor a final close code counts. */
  retry() {
    if (this.#current !== null) return;
    this.#connect();
  }

  /** Ends for good. */
  close() {
    window.removeEventListener("online", this.#hurry);
    document.removeEventListener("visibilitychange", this.#hurry);
    clearTimeout(this.#timer);
    const socket = this.#current?.socket;
    this.#current = null;
    socket?.close(1000);
  }

  // A person looking at the page again, or a network that came back, is a better sign than any timer.
  #hurry = () => {
    if (this.state.name === "waiting" && document.visibilityState === "visible") this.#connect();
  };

  #connect() {
    clearTimeout(this.#timer);
    const current = { socket: null };
    this.#current = current;
    this.#timer = setTimeout(() => this.#lost(current, { code: 1006, reason: "" }), CONNECT_TIMEOUT_MS);
    this.#dial().then(
      (target) => this.#open(current, target),
      (error) => this.#lost(current, { code: error.code ?? 1006, reason: error.message }),
    );
    this.#set({ name: "connecting", attempt: this.#attempt });
  }

  #open(current, { url, subprotocols }) {
    if (current !== this.#current) return;
    const socket = new WebSocket(url, subprotocols);
    current.socket = socket;
    socket.addEventListener("open", () => {
      if (current !== this.#current) return;
      clearTimeout(this.#timer);
      this.#openedAt = Date.now();
      this.#set({ name: "open" });
    });
    socket.addEventListener("message", (event) => {
      if (current === this.#current && typeof event.data === "string") {
        this.dispatchEvent(new CustomEvent("frame", { detail: event.data }));
      }
    });
    socket.addEventListener("close", (event) => this.#lost(current, event));
  }

  #lost(current, { code, reason }) {
    if (current !== this.#current) return;
    clearTimeout(this.#timer);
    this.#current = null;
    current.socket?.close();
    if (FINAL_CODES.has(code)) {
      this.#set({ name: "stopped", code, reason });
      return;
    }
    if (this.isOpen && Date.now() - this.#openedAt >= STABLE_MS) this.#attempt = 0;
    const delay = backoff(this.#attempt);
    this.#attempt += 1;
    this.#timer = setTimeout(() => this.#connect(), delay);
    this.#set({ name: "waiting", retryAt: Date.now() + delay, code, reason });
  }

  #set(state) {
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}
