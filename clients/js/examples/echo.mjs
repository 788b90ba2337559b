// node echo.mjs ws://127.0.0.1:9000/ [ENDPOINT]: sends a greeting to an endpoint and prints what comes back.

import { Gateway } from "@tidewire/client/gateway";
import WebSocket from "ws"; // not needed from Node 22 on, which has one of its own

const [url, name = "echo"] = process.argv.slice(2);
const gateway = new Gateway(url, { WebSocket });
gateway.addEventListener("down", (event) => console.error(`not connected: ${event.reason}`));

const socket = gateway.endpoint(name);
socket.onopen = () => socket.send("hello from a module");
socket.onmessage = (event) => {
  console.log(event.data);
  socket.close();
};
socket.onerror = (event) => {
  console.error(event.message);
  process.exitCode = 1;
};
socket.onclose = () => gateway.close();
