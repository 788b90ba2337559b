// Everything of the package; `@tidewire/client/gateway` and `/messaging` are its parts.

export * from "./gateway/index.js";
