// The classic dialect: user ids and envelopes as they travel. No DOM, no sockets.
//
// A user id is text everywhere in this page. On the wire a canonical u64 is a JSON number and anything else a string, so
// ids above 2^53 would lose digits in JSON.parse and JSON.stringify: this file reads and writes them digit by digit.

const U64_MAX = (1n << 64n) - 1n;
const ID_BYTES_MAX = 128;

/** Whether `id` is written on the wire as a number: decimal, no leading zero, below 2^64. */
export function isNumericId(id) {
  return /^(0|[1-9]\d{0,19})$/.test(id) && BigInt(id) <= U64_MAX;
}

/** Returns the problem with `id` as a sentence for people, or null when it may be used. */
export function idProblem(id) {
  if (id === "") return "Enter a number or a name.";
  // Control characters are invisible and would make two different ids look the same.
  if (/[\u0000-\u001f\u007f]/.test(id)) return "An id cannot contain control characters.";
  if (new TextEncoder().encode(id).length > ID_BYTES_MAX) return `An id can have at most ${ID_BYTES_MAX} bytes.`;
  return null;
}

/** Text of an id found in a parsed envelope, or null when it is neither a number nor a string. */
export function idFromWire(value) {
  if (typeof value === "string") return value;
  return Number.isSafeInteger(value) && value >= 0 ? String(value) : null;
}

const idToWire = (id) => (isNumericId(id) ? id : JSON.stringify(id));

/** Parses JSON, keeping integers beyond 2^53 as strings of their digits. */
export function parse(text) {
  const exact = text.replace(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]{15,}/g, (token) =>
    /^\d+$/.test(token) && !Number.isSafeInteger(Number(token)) ? `"${token}"` : token,
  );
  return JSON.parse(exact);
}

/** Encodes one text message. `ref` comes back in `data` of the send-back copy and names the message there. */
export function encodeText({ sender, recipient, text, ref }) {
  const data = JSON.stringify({ ref });
  return `{"type":"text","sender":${idToWire(sender)},"recipients":[${idToWire(recipient)}],"text":${JSON.stringify(text)},"data":${data}}`;
}

/** Decodes a frame into an envelope with text ids, or returns null when it is not one. */
export function decode(frame) {
  let raw;
  try {
    raw = parse(frame);
  } catch {
    return null;
  }
  if (raw === null || typeof raw !== "object" || typeof raw.type !== "string") return null;
  const sender = idFromWire(raw.sender);
  if (sender === null || !Array.isArray(raw.recipients)) return null;
  const data = raw.data !== null && typeof raw.data === "object" ? raw.data : {};
  return {
    type: raw.type,
    id: typeof raw.id === "string" ? raw.id : "",
    sender,
    recipients: raw.recipients.map(idFromWire).filter((id) => id !== null),
    text: typeof raw.text === "string" ? raw.text : "",
    time: parseTimestamp(raw.timestamp),
    // A reference is only a key; an absurdly long one is not ours.
    ref: typeof data.ref === "string" && data.ref.length <= 64 ? data.ref : null,
    data,
  };
}

/** Milliseconds of `2018-11-27 22:53:30.123456+00:00`, or null when the sender's own format cannot be read. */
export function parseTimestamp(text) {
  const parts = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)?$/.exec(String(text));
  if (parts === null) return null;
  const [, day, clock, fraction = ".000", zone = ""] = parts;
  const time = Date.parse(`${day}T${clock}${fraction.slice(0, 4).padEnd(4, "0")}${zone}`);
  return Number.isNaN(time) ? null : time;
}

/** A new reference: 96 random bits. Not crypto.randomUUID, which plain http pages do not have. */
export function newRef() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
