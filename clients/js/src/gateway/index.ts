// Client of a Tidewire gateway: any number of named WebSockets over one (`tidewire.mux.v1`).

export { Gateway, type EndpointOptions, type GatewayOptions, type GatewayUrl } from "./gateway.js";
export { EndpointSocket, type EndpointSocketEventMap } from "./socket.js";
export { DownEvent, FailureEvent } from "./events.js";
export type { WebSocketConstructor, WebSocketLike } from "./connection.js";
