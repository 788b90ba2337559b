// node echo.cjs ws://127.0.0.1:9000/ [ENDPOINT]: the same for programs that `require`.

const { Gateway } = require("@tidewire/client/gateway");
const WebSocket = require("ws");

const [url, name = "echo"] = process.argv.slice(2);
const gateway = new Gateway(url, { WebSocket });
const socket = gateway.endpoint(name);
socket.onopen = () => socket.send("hello from CommonJS");
socket.onmessage = (event) => {
  console.log(event.data);
  socket.close();
};
socket.onerror = (event) => {
  console.error(event.message);
  process.exitCode = 1;
};
socket.onclose = () => gateway.close();
