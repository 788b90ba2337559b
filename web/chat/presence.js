// Who is online: asks the server every few seconds while the page is visible. Emits "change".

const INTERVAL_MS = 3_000;

import { idFromWire, parse } from "./wire.js";

export class Presence extends EventTarget {
  #online = null;
  #timer = 0;
  #abort = new AbortController();

  constructor() {
    super();
    document.addEventListener("visibilitychange", this.#poll, { signal: this.#abort.signal });
    this.#poll();
  }

  /** Ids of the people online, sorted; empty while unknown. */
  get people() {
    return [...(this.#online ?? [])];
  }

  /** true or false, or null while the server's answer is missing: unknown is not offline. */
  isOnline(id) {
    return this.#online === null ? null : this.#online.has(id);
  }

  /** Asks now, for moments when the answer has probably changed. */
  refresh() {
    this.#poll();
  }

  close() {
    clearTimeout(this.#timer);
    this.#abort.abort();
  }

  #poll = async () => {
    clearTimeout(this.#timer);
    if (document.visibilityState !== "visible" || this.#abort.signal.aborted) return;
    const online = await this.#fetch();
    if (this.#abort.signal.aborted) return;
    const before = this.#online === null ? null : [...this.#online].join("\n");
    const after = online === null ? null : [...online].join("\n");
    this.#online = online;
    if (before !== after) this.dispatchEvent(new Event("change"));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#poll, INTERVAL_MS);
  };

  async #fetch() {
    try {
      const signal = AbortSignal.any?.([this.#abort.signal, AbortSignal.timeout(INTERVAL_MS * 2)]) ?? this.#abort.signal;
      const response = await fetch("webchat/online", { cache: "no-store", signal });
      const body = parse(await response.text());
      if (!response.ok || !Array.isArray(body.data)) return null;
      return new Set(body.data.map(idFromWire).filter((id) => id !== null).sort(compareIds));
    } catch {
      return null;
    }
  }
}

/** Numbers by value before names by alphabet. */
export function compareIds(a, b) {
  return a.localeCompare(b, undefined, { numeric: true });
}
