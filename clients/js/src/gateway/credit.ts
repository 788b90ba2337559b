// Flow control of one stream: what this end may send, and what the gateway may (specification: section 4).

import { CREDIT_MAX, DATA_HEADER_BYTES, FIRST_CREDIT_MIN, ProtocolError } from "./codec.js";

/** What this end may still send, headers included. */
export class SendCredit {
  #available = 0;

  get available(): number {
    return this.#available;
  }

  add(credit: number, stream: number): void {
    if (this.#available + credit > CREDIT_MAX) {
      throw new ProtocolError(`expected the credit of stream ${stream} to stay below 2^31`);
    }
    this.#available += credit;
  }

  spend(payloadBytes: number): void {
    this.#available -= DATA_HEADER_BYTES + payloadBytes;
  }
}

/** What the gateway may still send, and when it is told that it may send more. */
export class ReceiveCredit {
  readonly #threshold: number;
  #available: number;
  #owed = 0;

  constructor(first: number) {
    this.#available = first;
    // Half of it at a time, but never so late that the gateway waits with less than a full frame.
    this.#threshold = Math.min(first / 2, first - FIRST_CREDIT_MIN + 1);
  }

  /** A DATA frame was received. */
  charge(payloadBytes: number, stream: number): void {
    const cost = DATA_HEADER_BYTES + payloadBytes;
    if (cost > this.#available) {
      throw new ProtocolError(`expected at most ${this.#available} bytes of DATA on stream ${stream}, got ${cost}`);
    }
    this.#available -= cost;
  }

  /** The frame was passed on. Gives the credit to send now, or 0. */
  giveBack(payloadBytes: number): number {
    this.#owed += DATA_HEADER_BYTES + payloadBytes;
    if (this.#owed < this.#threshold) return 0;
    const credit = this.#owed;
    this.#owed = 0;
    this.#available += credit;
    return credit;
  }
}
