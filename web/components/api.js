// Calls to the admin API, with the token if one was asked for. Paths are relative to the page, so that it works under
// whichever path a proxy serves it.

const TOKEN_KEY = `tidewire.admin/token${globalThis.location?.pathname ?? ""}`;
/** A server that does not answer within this is told as not reachable. */
const ANSWER_MS = 10_000;

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export function setToken(token) {
  try {
    sessionStorage.setItem(TOKEN_KEY, token);
  } catch {
    // Storage may be blocked; the token then lasts until the page is loaded again.
  }
  kept = token;
}

let kept = "";
try {
  kept = sessionStorage.getItem(TOKEN_KEY) ?? "";
} catch {
  // As above.
}

async function call(method, path, body) {
  const headers = { accept: "application/json" };
  if (kept !== "") headers.authorization = `Bearer ${kept}`;
  if (method !== "GET") headers["content-type"] = "application/json";
  const signal = AbortSignal.timeout(ANSWER_MS);
  const response = await fetch(path, { method, headers, body, signal, cache: "no-store" });
  const text = await response.text();
  let answer = {};
  try {
    answer = JSON.parse(text);
  } catch {
    // A proxy between may answer otherwise.
  }
  if (!response.ok) throw new ApiError(response.status, answer.error ?? answer.message ?? `HTTP status ${response.status}`);
  return answer;
}

export const get = (path) => call("GET", path);
export const post = (path, body = {}) => call("POST", path, JSON.stringify(body));
export const remove = (path) => call("DELETE", path);
