// Messages of one socket that wait to be sent, and the frames made of them. Outlives the connection: what has not been
// handed over wholly is kept for the next one.

import { DATA_HEADER_BYTES, PAYLOAD_BYTES_MAX } from "./codec.js";

/** What a waiting message counts against the bound besides its payload: even empty ones take memory. */
export const MESSAGE_OVERHEAD_BYTES = 64;

interface Waiting {
  binary: boolean;
  /** Payload bytes; known for a blob before they are read. */
  size: number;
  /** `undefined` while a blob is read. */
  bytes: Uint8Array | undefined;
}

export interface Piece {
  binary: boolean;
  last: boolean;
  payload: Uint8Array;
}

export class Outbox {
  /** Called when a blob has been read. */
  onready: () => void = () => {};
  /** Called when a blob cannot be read. */
  onfail: () => void = () => {};

  readonly #boundBytes: number;
  #waiting: Waiting[] = [];
  #first = 0;
  #offset = 0;
  #payloadBytes = 0;

  constructor(boundBytes: number) {
    this.#boundBytes = boundBytes;
  }

  get isEmpty(): boolean {
    return this.#first === this.#waiting.length;
  }

  /** Payload bytes that have not been handed over. */
  get payloadBytes(): number {
    return this.#payloadBytes;
  }

  /** Whether a message of this size is within the bound. */
  hasRoom(size: number): boolean {
    const messages = this.#waiting.length - this.#first + 1;
    return this.#payloadBytes + size + messages * MESSAGE_OVERHEAD_BYTES <= this.#boundBytes;
  }

  push(binary: boolean, bytes: Uint8Array): void {
    this.#waiting.push({ binary, size: bytes.length, bytes });
    this.#payloadBytes += bytes.length;
  }

  /** The place in the order is that of this call, not of the end of reading. */
  pushBlob(blob: Blob): void {
    const waiting: Waiting = { binary: true, size: blob.size, bytes: undefined };
    this.#waiting.push(waiting);
    this.#payloadBytes += blob.size;
    blob.arrayBuffer().then(
      (buffer) => {
        waiting.bytes = new Uint8Array(buffer);
        this.onready();
      },
      () => this.onfail(),
    );
  }

  /** Whether `next` would give a piece. */
  isReady(credit: number): boolean {
    const head = this.#waiting[this.#first];
    if (head?.bytes === undefined) return false;
    return credit > DATA_HEADER_BYTES || (head.size === 0 && credit === DATA_HEADER_BYTES);
  }

  /** The next frame's content; a full one or as much as the credit allows. */
  next(credit: number): Piece | undefined {
    const head = this.#waiting[this.#first];
    if (head?.bytes === undefined || !this.isReady(credit)) return undefined;
    const room = Math.min(PAYLOAD_BYTES_MAX, credit - DATA_HEADER_BYTES);
    const payload = head.bytes.subarray(this.#offset, this.#offset + room);
    this.#offset += payload.length;
    this.#payloadBytes -= payload.length;
    const last = this.#offset === head.size;
    if (last) this.#removeFirst();
    return { binary: head.binary, last, payload };
  }

  /** The connection is lost: a message that was not handed over wholly starts again, since nobody got its end. */
  rewind(): void {
    this.#payloadBytes += this.#offset;
    this.#offset = 0;
  }

  clear(): void {
    this.#waiting = [];
    this.#first = 0;
    this.#offset = 0;
    this.#payloadBytes = 0;
  }

  #removeFirst(): void {
    this.#offset = 0;
    this.#waiting[this.#first] = { binary: true, size: 0, bytes: undefined };
    this.#first += 1;
    // Moving the rest now and then keeps both sides cheap.
    if (this.#first >= 64 && this.#first * 2 >= this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#first);
      this.#first = 0;
    }
  }
}
