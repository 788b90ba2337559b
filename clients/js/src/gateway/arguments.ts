// Checks of what the application passes, with the exceptions a browser's WebSocket throws.

import { isToken, REASON_BYTES_MAX, toUtf8 } from "./codec.js";

const syntaxError = (message: string): DOMException => new DOMException(message, "SyntaxError");

/** A `ws:` or `wss:` URL; others are taken as browsers take them: relative, or with `http:` or `https:`. */
export function checkedUrl(url: string | URL): URL {
  const base = (globalThis as { location?: { href?: string } }).location?.href;
  let parsed: URL;
  try {
    parsed = new URL(String(url), base);
  } catch {
    throw syntaxError(`expected a URL, got ${JSON.stringify(String(url))}`);
  }
  if (parsed.protocol === "http:") parsed.protocol = "ws:";
  if (parsed.protocol === "https:") parsed.protocol = "wss:";
  if (parsed.protocol !== "ws:" && parsed.protocol !== "wss:") {
    throw syntaxError(`expected a URL with ws: or wss:, got ${parsed.protocol}`);
  }
  if (parsed.hash !== "") throw syntaxError("expected a URL without a fragment");
  return parsed;
}

export function checkedName(name: string): string {
  const text = String(name);
  const { length } = toUtf8(text);
  if (length < 1 || length > 255) throw syntaxError(`expected an endpoint's name of 1 to 255 bytes, got ${length}`);
  return text;
}

/** The query without its `?`, encoded as in a URL. */
export function checkedQuery(query: string | URLSearchParams | Readonly<Record<string, string>> = ""): string {
  let text = String(query);
  if (typeof query === "object" && !(query instanceof URLSearchParams)) text = String(new URLSearchParams(query));
  if (text.includes("#")) throw syntaxError("expected a query without '#'");
  const url = new URL("ws://endpoint/");
  url.search = text;
  const encoded = url.search.slice(1);
  if (encoded.length > 0xffff) throw syntaxError(`expected a query of at most 65535 bytes, got ${encoded.length}`);
  return encoded;
}

export function checkedProtocols(protocols: string | readonly string[] = []): string[] {
  const list = (typeof protocols === "string" ? [protocols] : [...protocols]).map(String);
  for (const token of list) {
    if (!isToken(token)) throw syntaxError(`expected a subprotocol that is a token of 1 to 255 bytes, got ${JSON.stringify(token)}`);
  }
  if (new Set(list).size !== list.length) throw syntaxError("expected every subprotocol once");
  if (list.length > 255) throw syntaxError(`expected at most 255 subprotocols, got ${list.length}`);
  return list;
}

/** The arguments of `close`; a reason without a code gets 1000. */
export function checkedClose(code?: number, reason?: string): { code: number | undefined; reason: string } {
  // The browser's conversion: to the nearest integer within 16 bits.
  const number = code === undefined ? undefined : Math.round(Math.min(Math.max(Number(code) || 0, 0), 0xffff));
  if (number !== undefined && number !== 1000 && !(number >= 3000 && number <= 4999)) {
    throw new DOMException(`expected close code 1000 or one from 3000 to 4999, got ${number}`, "InvalidAccessError");
  }
  const text = reason === undefined ? "" : String(reason);
  const { length } = toUtf8(text);
  if (length > REASON_BYTES_MAX) throw syntaxError(`expected a reason of at most ${REASON_BYTES_MAX} bytes, got ${length}`);
  return { code: number ?? (text === "" ? undefined : 1000), reason: text };
}

/** A number option within bounds, or its default. */
export function checkedNumber(name: string, value: number | undefined, fallback: number, min: number, max: number): number {
  if (value === undefined) return fallback;
  if (typeof value === "number" && value >= min && value <= max) return value;
  throw new RangeError(`expected option ${name} to be from ${min} to ${max}, got ${value}`);
}
