// Frames of tidewire.mux.v1 as bytes: what a client sends, and what it is sent.
//
// In: the binary messages of the WebSocket. Out: checked frames whose payloads are views of them. Every rule about single
// frames is kept here (specification: sections 1 and 2); which frame may come when is known by `Stream`. Anything else
// than a frame of the gateway ends in `ProtocolError`, whose text is the reason of the close that follows.

import { fromUtf8, toUtf8 } from "./platform.js";

export const SUBPROTOCOL = "tidewire.mux.v1";
/** Bytes of a DATA frame before its payload; they cost credit too. */
export const DATA_HEADER_BYTES = 6;
/** Most payload bytes of a DATA frame that this end sends, so that sockets share the connection fairly. */
export const PAYLOAD_BYTES_MAX = 16_384;
/** Least credit of OPEN and ACCEPT: one full DATA frame. */
export const FIRST_CREDIT_MIN = DATA_HEADER_BYTES + PAYLOAD_BYTES_MAX;
/** Most credit in sum. */
export const CREDIT_MAX = 0x7fff_ffff;
/** Most bytes of a reason. */
export const REASON_BYTES_MAX = 123;
const PING_BYTES_MAX = 125;

export type Bytes = Uint8Array<ArrayBuffer>;

/** The gateway broke a rule of the protocol. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

export interface DataFrame {
  type: "data";
  stream: number;
  last: boolean;
  binary: boolean;
  payload: Bytes;
}

/** What a gateway sends. */
export type Frame =
  | { type: "accept"; stream: number; credit: number; subprotocol: string }
  | { type: "reject"; stream: number; status: number; reason: string }
  | DataFrame
  | { type: "credit"; stream: number; credit: number }
  | { type: "close"; stream: number; code: number | undefined; reason: string }
  | { type: "ping"; stream: number; payload: Bytes }
  | { type: "pong"; stream: number; payload: Bytes }
  | { type: "down"; stream: number; retryMs: number }
  | { type: "up"; stream: number }
  | { type: "goaway"; stream: number; withinMs: number };

export interface OpenFields {
  credit: number;
  name: string;
  query: string;
  subprotocols: readonly string[];
}

const NAMES = ["", "OPEN", "ACCEPT", "REJECT", "DATA", "CREDIT", "CLOSE", "PING", "PONG", "DOWN", "UP", "GOAWAY"];
const [OPEN, ACCEPT, REJECT, DATA, CREDIT, CLOSE, PING, PONG, DOWN, UP, GOAWAY] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] as const;

export { fromUtf8, toUtf8 };

export const isToken = (text: string): boolean => /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,255}$/.test(text);

/** Whether the code may stand in a close frame (RFC 6455 section 7.4). */
const isCloseCode = (code: number): boolean =>
  (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);

// ---- what a client sends -----------------------------------------------------------------------------------------------

function frame(type: number, stream: number, fieldBytes: number): { bytes: Bytes; view: DataView } {
  const bytes = new Uint8Array(5 + fieldBytes);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, type);
  view.setUint32(1, stream);
  return { bytes, view };
}

/** The fields are within their bounds: `arguments.ts` has seen to it. */
export function encodeOpen(stream: number, fields: OpenFields): Bytes {
  const name = toUtf8(fields.name);
  const query = toUtf8(fields.query);
  const subprotocols = fields.subprotocols.map(toUtf8);
  const listBytes = subprotocols.reduce((sum, token) => sum + 1 + token.length, 0);
  const { bytes, view } = frame(OPEN, stream, 4 + 1 + name.length + 2 + query.length + 1 + listBytes);
  view.setUint32(5, fields.credit);
  view.setUint8(9, name.length);
  bytes.set(name, 10);
  let at = 10 + name.length;
  view.setUint16(at, query.length);
  bytes.set(query, at + 2);
  at += 2 + query.length;
  view.setUint8(at++, subprotocols.length);
  for (const token of subprotocols) {
    view.setUint8(at, token.length);
    bytes.set(token, at + 1);
    at += 1 + token.length;
  }
  return bytes;
}

export function encodeData(stream: number, last: boolean, binary: boolean, payload: Uint8Array): Bytes {
  const { bytes, view } = frame(DATA, stream, 1 + payload.length);
  view.setUint8(5, (last ? 1 : 0) | (binary ? 2 : 0));
  bytes.set(payload, DATA_HEADER_BYTES);
  return bytes;
}

export function encodeCredit(stream: number, credit: number): Bytes {
  const { bytes, view } = frame(CREDIT, stream, 4);
  view.setUint32(5, credit);
  return bytes;
}

export function encodeClose(stream: number, code?: number, reason = ""): Bytes {
  if (code === undefined) return frame(CLOSE, stream, 0).bytes;
  const text = toUtf8(reason);
  const { bytes, view } = frame(CLOSE, stream, 2 + text.length);
  view.setUint16(5, code);
  bytes.set(text, 7);
  return bytes;
}

export function encodePing(stream: number, payload: Uint8Array = new Uint8Array(0)): Bytes {
  const { bytes } = frame(PING, stream, payload.length);
  bytes.set(payload, 5);
  return bytes;
}

export function encodePong(stream: number, payload: Uint8Array): Bytes {
  const { bytes } = frame(PONG, stream, payload.length);
  bytes.set(payload, 5);
  return bytes;
}

// ---- what it is sent ---------------------------------------------------------------------------------------------------

/** Reads one binary message of the gateway. Throws nothing but `ProtocolError`. */
export function decode(data: ArrayBuffer): Frame {
  if (data.byteLength < 5) throw new ProtocolError("expected at least 5 bytes in a frame");
  const view = new DataView(data);
  const type = view.getUint8(0);
  const name = NAMES[type];
  if (!name) throw new ProtocolError(`expected a frame type from 1 to 11, got ${type}`);
  if (type === OPEN) throw new ProtocolError("expected OPEN from the client only");
  const stream = view.getUint32(1);
  if (stream !== 0 && type === GOAWAY) throw new ProtocolError("expected stream 0 in GOAWAY");
  if (stream === 0 && type !== GOAWAY && type !== PING && type !== PONG) {
    throw new ProtocolError(`expected a stream other than 0 in ${name}`);
  }
  const fields = new Fields(view, name);
  const decoded = decodeFields(type, stream, fields);
  fields.end();
  return decoded;
}

function decodeFields(type: number, stream: number, fields: Fields): Frame {
  switch (type) {
    case ACCEPT: {
      const credit = fields.u32("credit");
      const subprotocol = fields.text(fields.take(fields.u8("subprotocol"), "subprotocol"), "subprotocol");
      fields.check(credit >= FIRST_CREDIT_MIN && credit <= CREDIT_MAX, `a credit from ${FIRST_CREDIT_MIN} to ${CREDIT_MAX}`);
      fields.check(subprotocol === "" || isToken(subprotocol), "a subprotocol that is a token of 1 to 255 bytes");
      return { type: "accept", stream, credit, subprotocol };
    }
    case REJECT: {
      const status = fields.u16("status");
      const reason = fields.reason();
      fields.check(status >= 400 && status <= 599, "a status from 400 to 599");
      return { type: "reject", stream, status, reason };
    }
    case DATA: {
      const flags = fields.u8("flags");
      fields.check(flags <= 3, "reserved flags to be 0");
      return { type: "data", stream, last: (flags & 1) !== 0, binary: (flags & 2) !== 0, payload: fields.rest() };
    }
    case CREDIT: {
      const credit = fields.u32("credit");
      fields.check(credit >= 1 && credit <= CREDIT_MAX, `a credit from 1 to ${CREDIT_MAX}`);
      return { type: "credit", stream, credit };
    }
    case CLOSE: {
      if (fields.left === 0) return { type: "close", stream, code: undefined, reason: "" };
      const code = fields.u16("code");
      const reason = fields.reason();
      fields.check(isCloseCode(code), "a code from 1000-1003, 1007-1014 or 3000-4999");
      return { type: "close", stream, code, reason };
    }
    case PING:
      return { type: "ping", stream, payload: fields.pingPayload() };
    case PONG:
      return { type: "pong", stream, payload: fields.pingPayload() };
    case DOWN:
      return { type: "down", stream, retryMs: fields.u32("retry") };
    case UP:
      return { type: "up", stream };
    default:
      return { type: "goaway", stream, withinMs: fields.u32("within") };
  }
}

/** The fields that have not been read. */
class Fields {
  readonly #view: DataView<ArrayBuffer>;
  readonly #name: string;
  #at = 5;

  constructor(view: DataView<ArrayBuffer>, name: string) {
    this.#view = view;
    this.#name = name;
  }

  get left(): number {
    return this.#view.byteLength - this.#at;
  }

  check(holds: boolean, expected: string): void {
    if (!holds) throw new ProtocolError(`expected ${expected} in ${this.#name}`);
  }

  take(length: number, field: string): Bytes {
    return new Uint8Array(this.#view.buffer, this.#skip(length, field), length);
  }

  rest(): Bytes {
    return this.take(this.left, "");
  }

  u8(field: string): number {
    return this.#view.getUint8(this.#skip(1, field));
  }

  u16(field: string): number {
    return this.#view.getUint16(this.#skip(2, field));
  }

  u32(field: string): number {
    return this.#view.getUint32(this.#skip(4, field));
  }

  text(bytes: Uint8Array, field: string): string {
    const text = fromUtf8(bytes);
    if (text === undefined) throw new ProtocolError(`expected UTF-8 as ${field} of ${this.#name}`);
    return text;
  }

  reason(): string {
    const bytes = this.rest();
    this.check(bytes.length <= REASON_BYTES_MAX, `a reason of at most ${REASON_BYTES_MAX} bytes`);
    return this.text(bytes, "reason");
  }

  pingPayload(): Bytes {
    const payload = this.rest();
    this.check(payload.length <= PING_BYTES_MAX, `a payload of at most ${PING_BYTES_MAX} bytes`);
    return payload;
  }

  end(): void {
    if (this.left > 0) throw new ProtocolError(`expected nothing after the last field of ${this.#name}`);
  }

  /** Where the next field starts, after seeing to it that it is there. */
  #skip(length: number, field: string): number {
    if (length > this.left) throw new ProtocolError(`expected ${field} in ${this.#name}, which is too short`);
    const start = this.#at;
    this.#at += length;
    return start;
  }
}
