// What browsers and Node have and others lack (React Native, embedded engines): events, exceptions, UTF-8.
//
// The platform's own classes are used where they are; else ones that do what this package and its users need.

type Listener = ((event: any) => unknown) | { handleEvent(event: any): unknown } | null;

class BasicEvent {
  readonly type: string;
  readonly bubbles = false;
  readonly cancelable = false;
  readonly defaultPrevented = false;
  readonly timeStamp = Date.now();
  target: unknown = null;
  currentTarget: unknown = null;

  constructor(type: string) {
    this.type = type;
  }

  preventDefault(): void {}
  stopPropagation(): void {}
  stopImmediatePropagation(): void {}
}

interface Entry {
  listener: Exclude<Listener, null>;
  once: boolean;
}

class BasicEventTarget {
  readonly #entries = new Map<string, Entry[]>();

  addEventListener(
    type: string,
    listener: Listener,
    options: boolean | { once?: boolean; signal?: AbortSignal } = {},
  ): void {
    if (listener === null || listener === undefined) return;
    const { once = false, signal } = typeof options === "object" ? options : {};
    if (signal?.aborted) return;
    const entries = this.#entries.get(type) ?? [];
    if (entries.some((entry) => entry.listener === listener)) return;
    this.#entries.set(type, [...entries, { listener, once }]);
    signal?.addEventListener("abort", () => this.removeEventListener(type, listener));
  }

  removeEventListener(type: string, listener: Listener): void {
    const entries = this.#entries.get(type) ?? [];
    this.#entries.set(type, entries.filter((entry) => entry.listener !== listener));
  }

  dispatchEvent(event: BasicEvent): boolean {
    event.target = event.currentTarget = this;
    for (const entry of this.#entries.get(event.type) ?? []) {
      // A listener may have removed one that comes after it.
      if (!this.#entries.get(event.type)?.includes(entry)) continue;
      if (entry.once) this.removeEventListener(event.type, entry.listener);
      try {
        if (typeof entry.listener === "function") entry.listener.call(this, event);
        else entry.listener.handleEvent(event);
      } catch (error) {
        // As in a browser, the other listeners hear of the event all the same.
        setTimeout(() => {
          throw error;
        });
      }
    }
    event.currentTarget = null;
    return true;
  }
}

const has = (name: string): boolean => typeof (globalThis as Record<string, unknown>)[name] === "function";

// A target takes events of its own kind only, so both come from one place.
const hasEvents = has("Event") && has("EventTarget");

/** The platform's `Event`, or one that is made alike. */
export const PlatformEvent: typeof Event = hasEvents ? Event : (BasicEvent as unknown as typeof Event);

/** The platform's `EventTarget`, or one that is made alike. */
export const PlatformEventTarget: typeof EventTarget = hasEvents
  ? EventTarget
  : (BasicEventTarget as unknown as typeof EventTarget);

/** The platform's event of this name, or an event with these properties. */
function eventWith<E extends Event>(type: string, name: string, init: Record<string, unknown>): E {
  const own = (globalThis as Record<string, unknown>)[name] as (new (type: string, init: unknown) => E) | undefined;
  if (hasEvents && typeof own === "function") return new own(type, init);
  const properties = Object.keys(init).map((key) => [key, { value: init[key], enumerable: true }]);
  return Object.defineProperties(new PlatformEvent(type), Object.fromEntries(properties)) as E;
}

export function closeEvent(code: number, reason: string, wasClean: boolean): CloseEvent {
  return eventWith("close", "CloseEvent", { code, reason, wasClean });
}

export function messageEvent(data: unknown, origin: string): MessageEvent {
  return eventWith("message", "MessageEvent", { data, origin });
}

/** The platform's `DOMException`, or an error of the same name. */
export function domException(message: string, name: string): DOMException {
  if (has("DOMException")) return new DOMException(message, name);
  return Object.assign(new Error(message), { name }) as unknown as DOMException;
}

export function isBlob(data: unknown): data is Blob {
  return has("Blob") && data instanceof Blob;
}

/** A `Blob` of these bytes, or their buffer where blobs cannot be made of bytes. */
export function blobOf(bytes: Uint8Array<ArrayBuffer>): Blob | ArrayBuffer {
  try {
    return new Blob([bytes]);
  } catch {
    return bytes.buffer;
  }
}

export const microtask: (callback: () => void) => void = has("queueMicrotask")
  ? (callback) => queueMicrotask(callback)
  : (callback) => void Promise.resolve().then(callback);

// ---- UTF-8 -------------------------------------------------------------------------------------------------------------

export type Encode = (text: string) => Uint8Array<ArrayBuffer>;
/** Gives `undefined` for bytes that are not UTF-8. */
export type Decode = (bytes: Uint8Array) => string | undefined;

/** Without `TextEncoder`. What is no character becomes U+FFFD. */
export const basicEncode: Encode = (text) => {
  const bytes: number[] = [];
  for (const character of text) {
    let code = character.codePointAt(0) as number;
    if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd;
    if (code < 0x80) bytes.push(code);
    else if (code < 0x800) bytes.push(0xc0 | (code >> 6), 0x80 | (code & 63));
    else if (code < 0x10000) bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    else bytes.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
  }
  return new Uint8Array(bytes);
};

/** Without `TextDecoder`, which some engines have only without `fatal`. */
export const basicDecode: Decode = (bytes) => {
  const parts: string[] = [];
  let units: number[] = [];
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at] as number;
    const length = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
    if (length === 0 || at + length > bytes.length) return undefined;
    let code = length === 1 ? first : first & (0xff >> (length + 1));
    for (let index = 1; index < length; index += 1) {
      const next = bytes[at + index] as number;
      if ((next & 0xc0) !== 0x80) return undefined;
      code = (code << 6) | (next & 63);
    }
    const least = [0, 0, 0x80, 0x800, 0x10000][length] as number;
    if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return undefined;
    if (code < 0x10000) units.push(code);
    else units.push(0xd800 + ((code - 0x10000) >> 10), 0xdc00 + ((code - 0x10000) & 0x3ff));
    // An engine takes so many arguments at once.
    if (units.length >= 4096) {
      parts.push(String.fromCharCode(...units));
      units = [];
    }
    at += length;
  }
  parts.push(String.fromCharCode(...units));
  return parts.join("");
};

function platformDecode(): Decode {
  try {
    // A byte order mark is a character like any other here.
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    if (!decoder.fatal) return basicDecode;
    return (bytes) => {
      try {
        return decoder.decode(bytes);
      } catch {
        return undefined;
      }
    };
  } catch {
    return basicDecode;
  }
}

function platformEncode(): Encode {
  if (!has("TextEncoder")) return basicEncode;
  const encoder = new TextEncoder();
  return (text) => encoder.encode(text) as Uint8Array<ArrayBuffer>;
}

export const toUtf8 = platformEncode();

/** The text, or `undefined` if the bytes are not UTF-8. */
export const fromUtf8 = platformDecode();
