// The gateway's side of tidewire.mux.v1, written apart from the client's: encodes what a gateway sends, decodes what a
// client sends. Fields have the names of conformance/mux/vectors.json; payloads are Buffers.

const TYPES = ["", "open", "accept", "reject", "data", "credit", "close", "ping", "pong", "down", "up", "goaway"];

const u8 = (n) => Buffer.from([n]);
const u16 = (n) => Buffer.from([n >> 8, n & 255]);
const u32 = (n) => Buffer.from([n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255]);

const FIELDS = {
  open: ({ credit, name, query = "", subprotocols = [] }) => [
    u32(credit),
    u8(Buffer.byteLength(name)),
    Buffer.from(name),
    u16(query.length),
    Buffer.from(query),
    u8(subprotocols.length),
    ...subprotocols.flatMap((token) => [u8(token.length), Buffer.from(token)]),
  ],
  accept: ({ credit = 65_536, subprotocol }) => [u32(credit), u8(subprotocol?.length ?? 0), Buffer.from(subprotocol ?? "")],
  reject: ({ status, reason = "" }) => [u16(status), Buffer.from(reason)],
  data: ({ last = true, binary = false, payload = "" }) => [u8((last ? 1 : 0) + (binary ? 2 : 0)), Buffer.from(payload)],
  credit: ({ credit }) => [u32(credit)],
  close: ({ code = null, reason = "" }) => (code === null ? [] : [u16(code), Buffer.from(reason ?? "")]),
  ping: ({ payload = "" }) => [Buffer.from(payload)],
  pong: ({ payload = "" }) => [Buffer.from(payload)],
  down: ({ retry_ms }) => [u32(retry_ms)],
  up: () => [],
  goaway: ({ within_ms }) => [u32(within_ms)],
};

export function encode(frame) {
  return Buffer.concat([u8(TYPES.indexOf(frame.type)), u32(frame.stream ?? 0), ...FIELDS[frame.type](frame)]);
}

/** Of a frame that a client may send. */
export function decode(message) {
  const bytes = Buffer.from(message);
  const frame = { type: TYPES[bytes[0]], stream: bytes.readUInt32BE(1) };
  const rest = bytes.subarray(5);
  switch (frame.type) {
    case "open": {
      let at = 4;
      const take = (length) => rest.subarray(at, (at += length));
      const name = take(take(1)[0]).toString();
      const query = take(take(2).readUInt16BE()).toString();
      const subprotocols = Array.from({ length: take(1)[0] }, () => take(take(1)[0]).toString());
      if (at !== rest.length) throw new Error("OPEN has another length than its fields");
      return { ...frame, credit: rest.readUInt32BE(), name, query, subprotocols };
    }
    case "data":
      return { ...frame, last: (rest[0] & 1) === 1, binary: (rest[0] & 2) === 2, payload: rest.subarray(1) };
    case "credit":
      return { ...frame, credit: rest.readUInt32BE() };
    case "close":
      if (rest.length === 0) return { ...frame, code: null, reason: null };
      return { ...frame, code: rest.readUInt16BE(), reason: rest.subarray(2).toString() };
    case "ping":
    case "pong":
      return { ...frame, payload: rest };
    default:
      throw new Error(`a client does not send ${frame.type}`);
  }
}
