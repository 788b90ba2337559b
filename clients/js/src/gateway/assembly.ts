// Puts messages together again from DATA frames, up to a limit.

import { type Bytes, type DataFrame, ProtocolError } from "./codec.js";

export interface Message {
  binary: boolean;
  /** Starts at the beginning of its buffer, and the buffer belongs to it. */
  bytes: Bytes;
}

export class Assembly {
  readonly #maxBytes: number;
  #binary: boolean | undefined;
  // One buffer that grows, since a list of pieces would let tiny frames cost many times their size.
  #buffer: Bytes = new Uint8Array(0);
  #length = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Gives the message that the frame completes, `undefined` while it is unfinished, "too big" above the limit. */
  add({ stream, last, binary, payload }: DataFrame): Message | "too big" | undefined {
    if (this.#binary !== undefined && this.#binary !== binary) {
      throw new ProtocolError(`expected all frames of a message to be of one kind on stream ${stream}`);
    }
    if (this.#length + payload.length > this.#maxBytes) return "too big";
    if (last && this.#length === 0) {
      this.#binary = undefined;
      return { binary, bytes: payload.slice() };
    }
    this.#binary = binary;
    this.#append(payload);
    if (!last) return undefined;
    const bytes = this.#buffer.slice(0, this.#length);
    this.#binary = undefined;
    this.#buffer = new Uint8Array(0);
    this.#length = 0;
    return { binary, bytes };
  }

  #append(payload: Bytes): void {
    const needed = this.#length + payload.length;
    if (needed > this.#buffer.length) {
      const grown = new Uint8Array(Math.min(this.#maxBytes, Math.max(needed, 2 * this.#buffer.length)));
      grown.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = grown;
    }
    this.#buffer.set(payload, this.#length);
    this.#length = needed;
  }
}
