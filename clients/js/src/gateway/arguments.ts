// Checks of what the application passes, with the exceptions a browser's WebSocket throws.

import { isToken, REASON_BYTES_MAX, toUtf8 } from "./codec.js";
import { domException } from "./platform.js";

const syntaxError = (message: string): DOMException => domException(message, "SyntaxError");

/** Where a gateway is. */
export interface Address {
  url: string;
  origin: string;
}

/** A `ws:` or `wss:` URL; others are taken as browsers take them: relative, or with `http:` or `https:`. */
export function checkedAddress(url: string | URL): Address {
  const base = (globalThis as { location?: { href?: string } }).location?.href;
  let href: string;
  try {
    // React Native's URL has no setters, and a getter of `href` alone.
    href = new URL(String(url), base).href.replace(/^http/i, "ws").replace(/#$/, "");
  } catch {
    throw syntaxError(`expected a URL, got ${JSON.stringify(String(url))}`);
  }
  const [, scheme, host] = /^(wss?:\/\/)(?:[^/?#@]*@)?([^/?#]*)/i.exec(href) ?? [];
  if (scheme === undefined || host === undefined) {
    throw syntaxError(`expected a URL with ws: or wss:, got ${href.slice(0, href.indexOf(":") + 1)}`);
  }
  if (href.includes("#")) throw syntaxError("expected a URL without a fragment");
  return { url: href, origin: scheme + host };
}

export function checkedName(name: string): string {
  const text = String(name);
  const { length } = toUtf8(text);
  if (length < 1 || length > 255) throw syntaxError(`expected an endpoint's name of 1 to 255 bytes, got ${length}`);
  return text;
}

/** The query without its `?`, encoded as in a URL. */
export function checkedQuery(query: string | URLSearchParams | Readonly<Record<string, string>> = ""): string {
  const isParameters = typeof URLSearchParams === "function" && query instanceof URLSearchParams;
  const text = typeof query === "object" && !isParameters ? form(query as Record<string, string>) : String(query);
  if (text.includes("#")) throw syntaxError("expected a query without '#'");
  const encoded = text.replace(/[\t\n\r]/g, "").replace(/^\?/, "").replace(/[^\x21\x24-\x26\x28-\x3b\x3d\x3f-\x7e]/gu, escape);
  if (encoded.length > 0xffff) throw syntaxError(`expected a query of at most 65535 bytes, got ${encoded.length}`);
  return encoded;
}

/** `name=value&…`, as URLSearchParams writes it, which not every platform has whole. */
function form(fields: Readonly<Record<string, string>>): string {
  const encode = (text: string) => String(text).replace(/[^*\-._0-9A-Za-z]/gu, escape).replace(/%20/g, "+");
  return Object.keys(fields).map((name) => `${encode(name)}=${encode(fields[name] as string)}`).join("&");
}

/** A character as `%XX` of its UTF-8. */
const escape = (character: string): string =>
  Array.from(toUtf8(character), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join("");

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
    throw domException(`expected close code 1000 or one from 3000 to 4999, got ${number}`, "InvalidAccessError");
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
