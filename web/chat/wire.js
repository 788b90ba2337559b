// The classic dialect: user ids and envelopes as they travel. No DOM, no sockets.
//
// In: frames, up to the server's limit of some megabytes. Out: envelopes, and which of them are the server's own word.
// Invariant: every step takes time in proportion to the frame and a constant stack, whatever is in it.
//
// A user id is text everywhere in this page, in Unicode normalization form C (docs/ids.md), and on this page's connection the
// server writes every id as a string. Elsewhere canonical 64-bit numbers are JSON numbers, which JSON.parse would round
// above 2^53: `parse` keeps their digits.

const ID_BYTES_MAX = 128;
/** Characters of a message's data that are shown and kept. */
const DATA_MAX = 2_000;
/** Messages between users always get an id; what the server itself says has this one. */
const NIL_ID = "00000000-00000000-0000-00000000";

/** The one spelling of an id that somebody has typed. */
export const normalId = (text) => text.trim().normalize("NFC");

/** Returns the problem with `id` as a sentence for people, or null when it may be used. */
export function idProblem(id) {
  if (id === "") return "Enter a number or a name.";
  // Control characters are invisible and would make two different ids look the same.
  if (/\p{Cc}/u.test(id) || !isWellFormed(id)) return "An id cannot contain control characters.";
  if (new TextEncoder().encode(id).length > ID_BYTES_MAX) return `An id can have at most ${ID_BYTES_MAX} bytes.`;
  return null;
}

/** Whether no half of a surrogate pair stands alone: such a text cannot be encoded. */
const isWellFormed = (text) => !/\p{Surrogate}/u.test(text);

/** Text of an id found in a parsed envelope, or null when it is neither a number nor a string. */
export function idFromWire(value) {
  if (typeof value === "string") return value.length <= ID_BYTES_MAX && isWellFormed(value) ? value : null;
  return Number.isSafeInteger(value) && value >= 0 ? String(value) : null;
}

/** Parses JSON, keeping integers beyond 2^53 as strings of their digits. */
export function parse(text) {
  return JSON.parse(quoteLargeIntegers(text));
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const isDigit = (code) => code >= 0x30 && code <= 0x39;
const isPartOfNumber = (code) => isDigit(code) || code === 0x2e || code === 0x65 || code === 0x45 || code === 0x2b || code === 0x2d;

// One pass without regular expressions: over a text of megabytes those overflow their stack.
function quoteLargeIntegers(text) {
  const parts = [];
  let copied = 0;
  let at = 0;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = endOfString(text, at);
    } else if (isDigit(code) || code === 0x2d) {
      const { end, isInteger } = numberAt(text, at);
      if (isInteger && end - at >= 16 && !Number.isSafeInteger(Number(text.slice(at, Math.min(end, at + 20))))) {
        parts.push(text.slice(copied, at), '"', text.slice(at, end), '"');
        copied = end;
      }
      at = end;
    } else {
      at += 1;
    }
  }
  return copied === 0 ? text : parts.join("") + text.slice(copied);
}

/** Behind the string that begins at `start`; the end of the text when it never ends. */
function endOfString(text, start) {
  for (let from = start + 1; ; ) {
    const quote = text.indexOf('"', from);
    if (quote < 0) return text.length;
    let before = quote;
    while (before > from && text.charCodeAt(before - 1) === BACKSLASH) before -= 1;
    if ((quote - before) % 2 === 0) return quote + 1;
    from = quote + 1;
  }
}

/** Where the number at `start` ends, and whether it is digits alone. */
function numberAt(text, start) {
  let end = start;
  let isInteger = true;
  while (end < text.length) {
    const code = text.charCodeAt(end);
    if (!isPartOfNumber(code)) break;
    isInteger &&= isDigit(code);
    end += 1;
  }
  return { end, isInteger };
}

/** Encodes one text message. `ref` comes back in `data` of the send-back copy and names the message there. */
export function encodeText({ sender, recipient, text, ref }) {
  return JSON.stringify({ type: "text", sender, recipients: [recipient], text, data: { ref } });
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
    shownData: shownData(raw.data),
  };
}

/** What a person may want to see of a message's data, as indented JSON; "" when there is nothing but a reference. */
function shownData(data) {
  if (data === null || data === undefined) return "";
  const names = typeof data === "object" && !Array.isArray(data) ? Object.keys(data) : null;
  if (names !== null && names.every((name) => name === "ref")) return "";
  const text = JSON.stringify(data, null, 2);
  return text.length <= DATA_MAX ? text : `${text.slice(0, DATA_MAX)}…`;
}

/**
 * What the server says about messages of mine, or null when the envelope is something else. Anybody may write a message
 * of these types, and where senders are not checked with any `sender`; the nil id is given to nobody's message.
 */
export function noticeIn({ type, id, sender, text, ref, data }) {
  const kind = /^notification_(accepted|received|refused)$/.exec(type)?.[1];
  if (kind === undefined || sender !== "0" || id !== NIL_ID) return null;
  const refused = Array.isArray(data.refused) ? data.refused : null;
  return {
    kind,
    id: typeof data.id === "string" ? data.id : "",
    ref,
    recipient: idFromWire(data.recipient),
    code: typeof data.code === "string" ? data.code : "",
    text,
    // Some recipients only: whose mailboxes took nothing, and why.
    refused: refused
      ?.map((one) => ({ recipient: idFromWire(one?.recipient), code: typeof one?.code === "string" ? one.code : "" }))
      .filter(({ recipient }) => recipient !== null) ?? null,
  };
}

/** Whether a message says nothing to people: signs that somebody types or has read, and receipts nobody may give. */
export const isSignal = ({ type, text }) => text === "" && /^notification_|(^|_)(typing|has_read)$/.test(type);

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
