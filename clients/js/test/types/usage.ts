// Compiled, never run: what an application writes passes `tsc --strict`, with the types of a browser and with Node's.

import { DownEvent, EndpointSocket, Gateway, type EndpointOptions, type GatewayOptions } from "@tidewire/client/gateway";

const options: GatewayOptions = {
  reconnect: { minMs: 100, maxMs: 10_000 },
  keepAlive: { everyMs: 20_000, withinMs: 5_000 },
  maxMessageBytes: 1 << 20,
};
const gateway = new Gateway("wss://gateway.example/", options);
new Gateway(new URL("wss://gateway.example/"), { reconnect: false, keepAlive: false });
new Gateway(async () => `wss://gateway.example/?token=${await Promise.resolve("x")}`);
new Gateway("wss://gateway.example/", { WebSocket });

const endpoint: EndpointOptions = { protocols: ["chat.v2", "chat"], query: { room: "1" }, reopen: true };
const socket: EndpointSocket = gateway.endpoint("chat", endpoint);
socket.binaryType = "arraybuffer";
socket.onopen = () => socket.send("hello");
socket.onmessage = (event) => console.log(event.data);
socket.ondown = (event) => console.log(event.retryMs, event.cause === "backend");
socket.onup = null;
socket.onclose = ({ code, reason, wasClean }) => console.log(code.toFixed(), reason.trim(), wasClean === true);
socket.addEventListener("down", (event: DownEvent) => console.log(event.retryMs), { once: true });
socket.addEventListener("error", (event) => console.log(event.status, event.message));
socket.addEventListener("message", { handleEvent: (event) => console.log(event.data) });
socket.send(new Uint8Array(4));
socket.send(new ArrayBuffer(4));
socket.send(new Blob(["x"]));
if (socket.readyState === EndpointSocket.OPEN || socket.readyState === socket.CLOSING) socket.close(1000, "done");
gateway.close();

// @ts-expect-error: an endpoint has a name
gateway.endpoint();
// @ts-expect-error: no such kind
socket.binaryType = "text";
// @ts-expect-error: objects are not data
socket.send({});
// @ts-expect-error: the state is read only
socket.readyState = 3;
