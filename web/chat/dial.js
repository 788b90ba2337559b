// Where the page connects, and with what: asked before every connection, because a server may come back with other settings.
//
// In: the id of the person. Out: address and subprotocols of a WebSocket, and what the server takes. Invariants: everything
// is found below the folder that this page lies in, so it works under any path that a proxy puts it; a ticket stands in
// for the credentials that this page was loaded with, because Safari sends none with a WebSocket.

const PATIENCE_MS = 10_000;

/** Names the dialect; offered because a ticket needs company: see docs/messaging.md. */
const SUBPROTOCOL = "tidewire.classic";
const UNAUTHORIZED = 4050;

/** The folder of this page. */
export const base = () => new URL(".", document.baseURI);

/** No connection for now; `code` is that of a WebSocket that ended so. */
export class DialError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** Returns { url, subprotocols, messageBytesMax }; the last is null when the server does not say. */
export async function dial(me, signal) {
  const both = AbortSignal.any?.([signal, AbortSignal.timeout(PATIENCE_MS)]) ?? signal;
  const [limits, ticket] = await Promise.all([ask("webchat/limits", "GET", both), ask("webchat/ticket", "POST", both)]);
  const subprotocols = typeof ticket?.ticket === "string" ? [SUBPROTOCOL, `tidewire.ticket.${ticket.ticket}`] : [SUBPROTOCOL];
  const bytes = limits?.messageBytesMax;
  return {
    url: addressOf(me, limits?.endpoint, base()),
    subprotocols,
    messageBytesMax: Number.isSafeInteger(bytes) && bytes > 0 ? bytes : null,
  };
}

/** The address of the messaging endpoint for a page in the folder `folder`. */
export function addressOf(me, endpoint, folder) {
  const path = typeof endpoint === "string" && endpoint.startsWith("/") ? endpoint : "/chat";
  // Not resolved against the folder as it is: "//" at the beginning would name another host.
  const url = new URL(`.${path}`, folder);
  url.protocol = folder.protocol === "https:" ? "wss:" : "ws:";
  url.search = new URLSearchParams({ id: me, receipts: "1", ids: "strings" });
  url.hash = "";
  return url.href;
}

/** A JSON answer; null where there is none (older servers). */
async function ask(path, method, signal) {
  let response;
  try {
    response = await fetch(path, { method, cache: "no-store", signal });
  } catch {
    throw new DialError(1006, "");
  }
  if (response.status === 401) throw new DialError(UNAUTHORIZED, "the credentials are no longer valid, load the page again");
  if (response.status >= 500) throw new DialError(1006, "");
  try {
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}
