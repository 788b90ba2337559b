// Compiled, never run: an endpoint's socket may stand wherever a browser's WebSocket is asked for.

import { Gateway } from "@tidewire/client";

const socket: WebSocket = new Gateway("/mux", { WebSocket: window.WebSocket }).endpoint("chat");
socket.onmessage = function (event) {
  console.log(this.url, event.data);
};
