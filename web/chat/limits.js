// What the server takes: asked once per connection.

const PATIENCE_MS = 3_000;

/** The largest frame the server takes, in bytes; null when it does not say (older ones) or does not answer. */
export async function fetchMessageBytesMax(signal) {
  try {
    const both = AbortSignal.any?.([signal, AbortSignal.timeout(PATIENCE_MS)]) ?? signal;
    const response = await fetch("webchat/limits", { cache: "no-store", signal: both });
    const { messageBytesMax } = await response.json();
    return response.ok && Number.isSafeInteger(messageBytesMax) && messageBytesMax > 0 ? messageBytesMax : null;
  } catch {
    return null;
  }
}
