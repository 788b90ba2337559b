// How long to wait before the next attempt: exponential, with full jitter, so that the clients of a gateway that was
// restarted do not return all at once.

export interface BackoffLimits {
  minMs: number;
  maxMs: number;
  /** What lasted this long was healthy, and the waits start small again. */
  stableMs: number;
}

export class Backoff {
  readonly #limits: BackoffLimits;
  #attempt = 0;
  #openedAt: number | undefined;

  constructor(limits: BackoffLimits) {
    this.#limits = limits;
  }

  opened(): void {
    this.#openedAt = Date.now();
  }

  /** Whether what was opened has lasted long enough. A clock that is set wrong costs a short wait or a long one. */
  get isStable(): boolean {
    return this.#openedAt !== undefined && Date.now() - this.#openedAt >= this.#limits.stableMs;
  }

  /** It ended, or could not be opened: how long to wait. */
  nextMs(): number {
    if (this.isStable) this.#attempt = 0;
    this.#openedAt = undefined;
    const cap = Math.min(this.#limits.maxMs, this.#limits.minMs * 2 ** Math.min(this.#attempt, 30));
    this.#attempt += 1;
    return Math.round(Math.random() * cap);
  }
}
