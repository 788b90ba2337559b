// node builtin.mjs ws://127.0.0.1:9000/ [ENDPOINT]: from Node 22 on, with its own WebSocket; messages by `await`.

import { Gateway } from "@tidewire/client";

const [url, name = "echo"] = process.argv.slice(2);
const gateway = new Gateway(url);
const socket = gateway.endpoint(name);
const next = (type) =>
  new Promise((resolve, reject) => {
    socket.addEventListener(type, resolve, { once: true });
    socket.addEventListener("error", (event) => reject(new Error(event.message)), { once: true });
  });

await next("open");
socket.send("hello from Node itself");
console.log((await next("message")).data);
gateway.close();
