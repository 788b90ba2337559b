// A platform that has nothing but the language, timers and a WebSocket: run as a process of its own, with the address of a
// gateway as its argument. Prints what it saw as JSON.

import WebSocket from "ws";

const names = ["Event", "EventTarget", "MessageEvent", "CloseEvent", "DOMException", "TextEncoder", "TextDecoder", "Blob", "URLSearchParams", "queueMicrotask"];
for (const name of names) {
  if (!Reflect.deleteProperty(globalThis, name)) throw new Error(`expected that ${name} can be taken away`);
}
const PlatformUrl = URL;
/** As React Native has it: it reads little, and its setters and some getters throw. */
globalThis.URL = class {
  #href;
  constructor(url, base) {
    this.#href = new PlatformUrl(url, base).href;
  }
  get href() {
    return this.#href;
  }
  get origin() {
    throw new Error("not implemented");
  }
  set protocol(_value) {
    throw new Error("not implemented");
  }
  set search(_value) {
    throw new Error("not implemented");
  }
  toString() {
    return this.#href;
  }
};

const { Gateway } = await import("@tidewire/client/gateway");
const seen = [];
const gateway = new Gateway(process.argv[2], { WebSocket });
gateway.addEventListener("up", { handleEvent: (event) => seen.push(`gateway ${event.type}`) });
const socket = gateway.endpoint("echo", { protocols: "a", query: { room: "ö & ü", other: "1 2" } });
socket.binaryType = "arraybuffer";

const attempt = (what) => {
  try {
    what();
  } catch (error) {
    seen.push(`${error instanceof Error} ${error.name}`);
  }
};
attempt(() => socket.send("too early"));
attempt(() => socket.close(1));
attempt(() => gateway.endpoint(""));
attempt(() => new Gateway("mailto:a", { WebSocket }));

/** The events in order, also those that came before they were asked for. */
const come = [];
let wake = () => {};
for (const type of ["open", "message", "close"]) {
  socket.addEventListener(type, (event) => {
    come.push(event);
    wake();
  });
}
async function next(type) {
  while (come.length === 0) await new Promise((resolve) => (wake = resolve));
  const event = come.shift();
  if (event.type !== type) throw new Error(`expected ${type}, got ${event.type}`);
  return event;
}
const show = ({ data }) => seen.push(typeof data === "string" ? data : `binary ${new Uint8Array(data)}`);
let handled = 0;
socket.onmessage = () => (handled += 1);
const removed = () => seen.push("removed");
socket.addEventListener("message", removed);
socket.removeEventListener("message", removed);
let once = 0;
socket.addEventListener("message", () => (once += 1), { once: true });
const opened = await next("open");
seen.push(`${opened.type} ${opened.target === socket} ${socket.protocol} ${socket.readyState}`);
show(await next("message"));
socket.send("grüße 👋");
const message = await next("message");
show(message);
seen.push(`${message.type} ${message.origin === new PlatformUrl(process.argv[2]).origin}`);
socket.send(new Uint8Array([1, 2, 3]));
show(await next("message"));
socket.binaryType = "blob";
socket.send(new Uint8Array([4]).buffer);
show(await next("message"));
socket.close(3000, "done");
const { code, reason, wasClean } = await next("close");
seen.push(`close ${code} ${reason} ${wasClean}`);
const missing = gateway.endpoint("nothing");
const failure = await new Promise((resolve) => (missing.onerror = resolve));
seen.push(`error ${failure.status} ${failure.message}`);
gateway.close();
seen.push(`handled ${handled}, once ${once}`);
process.stdout.write(JSON.stringify(seen));
