// A WebSocket without a network: the test plays the gateway, step by step.

import { afterEach, beforeEach, mock } from "node:test";
import { Gateway } from "../dist/index.js";
import { decode, encode } from "./wire.mjs";

export const SUBPROTOCOL = "tidewire.mux.v1";

/** Lets everything happen that needs no timer. */
export const settle = () => new Promise((resolve) => setImmediate(resolve));

/** For a whole file: timers run when the test says so, and what a test leaves running ends with it. */
export function virtualTime() {
  beforeEach(() => mock.timers.enable({ apis: ["setTimeout", "Date"] }));
  afterEach(() => mock.timers.reset());
}

/** Lets time pass; in small steps, since a mocked timer that starts another one starts it at the end of the step. */
export function pass(ms) {
  for (let n = 0; n < ms; n += 1) mock.timers.tick(1);
}

/** A class to connect with, and the list of what was made of it. `like: "browser"`: only 1000 and 3000 to 4999 close it. */
export function pretend({ like = "ws" } = {}) {
  const made = [];
  class PretendSocket {
    binaryType = "blob";
    bufferedAmount = 0;
    protocol = "";
    onopen = null;
    onmessage = null;
    onclose = null;
    onerror = null;
    /** Frames that were not looked at yet. */
    sent = [];
    /** {code, reason} once the client has closed it. */
    closedWith = null;

    constructor(url, protocols) {
      this.url = url;
      this.protocols = protocols;
      made.push(this);
    }
    send(message) {
      if (this.closedWith) throw new Error("sent after close");
      this.sent.push(message.slice());
    }
    close(code, reason) {
      if (like === "browser" && code !== undefined && code !== 1000 && !(code >= 3000 && code <= 4999)) {
        throw new DOMException("the code may not be used", "InvalidAccessError");
      }
      this.closedWith = { code, reason };
    }

    // The gateway's side.
    open(protocol = SUBPROTOCOL) {
      this.protocol = protocol;
      this.onopen?.({});
    }
    receive(data) {
      this.onmessage?.({ data });
    }
    receiveBytes(bytes) {
      this.receive(Uint8Array.from(bytes).buffer);
    }
    frame(type, stream, fields = {}) {
      this.receiveBytes(encode({ type, stream, ...fields }));
    }
    drop(code = 1006, reason = "") {
      this.onerror?.({});
      this.onclose?.({ code, reason });
    }
    /** The frames since the last call. */
    take() {
      return this.sent.splice(0).map(decode);
    }
    takeTypes() {
      return this.take().map((frame) => frame.type);
    }
  }
  return { made, WebSocket: PretendSocket, last: () => made.at(-1) };
}

/** What a socket tells, in order, as short texts. */
export function listen(socket) {
  const log = [];
  socket.binaryType = "arraybuffer";
  socket.addEventListener("open", () => log.push(`open ${socket.protocol}`.trim()));
  socket.addEventListener("message", ({ data }) => {
    if (data instanceof Blob) log.push("blob");
    else log.push(typeof data === "string" ? `text ${data}` : `binary ${Buffer.from(data).toString("hex")}`);
  });
  socket.addEventListener("down", (event) => log.push(`down ${event.cause} ${event.retryMs}`));
  socket.addEventListener("up", () => log.push("up"));
  socket.addEventListener("error", (event) => log.push(`error ${event.status} ${event.message}`));
  socket.addEventListener("close", ({ code, reason, wasClean }) => {
    log.push(`close ${code} ${reason} ${wasClean ? "clean" : "unclean"}`.replace("  ", " "));
  });
  return log;
}

/** A gateway with an open connection and one open socket on stream 1, with the rest of what a test needs. */
export async function opened({ gateway: gatewayOptions, endpoint: endpointOptions, accept, like } = {}) {
  const network = pretend({ like });
  const gateway = new Gateway("ws://gateway.test/mux", { WebSocket: network.WebSocket, keepAlive: false, ...gatewayOptions });
  const socket = gateway.endpoint("echo", endpointOptions);
  const log = listen(socket);
  const connection = network.last();
  connection.open();
  connection.frame("accept", 1, accept);
  connection.take();
  log.splice(0);
  await settle();
  return { network, gateway, socket, log, connection };
}
