// A backend made of the npm package `ws`: in the test's own process, or as a program of its own that can be killed.
//
// It echoes every message but these texts: `info` asks what it knows about its side of the connection, `close CODE REASON` makes
// it close, `terminate` makes it vanish without a word.

import { once } from "node:events";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { WebSocketServer } from "ws";
import { Program } from "./program.mjs";

/** Serves until it is closed; `deflate` are the settings of the package, `protocol` chooses one of what is offered. */
export class Backend {
  /** Close codes and reasons as they came, one per connection that has ended. */
  closes = [];
  connections = 0;

  static async start({ name = "backend", port = 0, deflate = false, protocol, echo = true } = {}) {
    const backend = new Backend();
    backend.name = name;
    backend.http = createServer((_request, response) => response.writeHead(404).end());
    backend.server = new WebSocketServer({
      server: backend.http,
      perMessageDeflate: deflate,
      maxPayload: 1 << 30,
      ...(protocol && { handleProtocols: protocol }),
    });
    backend.server.on("connection", (socket, request) => backend.#serve(socket, request, echo));
    backend.http.listen(port, "127.0.0.1");
    await once(backend.http, "listening");
    backend.port = backend.http.address().port;
    backend.url = `ws://127.0.0.1:${backend.port}/`;
    return backend;
  }

  #serve(socket, request, echo) {
    this.connections += 1;
    socket.on("error", () => {});
    socket.on("close", (code, reason) => this.closes.push({ code, reason: reason.toString() }));
    socket.on("message", (data, isBinary) => {
      const text = isBinary || data.length > 1000 ? "" : data.toString();
      const close = /^close (\d+) ?(.*)$/.exec(text);
      if (text === "info") socket.send(JSON.stringify(this.#info(socket, request)));
      else if (text === "terminate") socket.terminate();
      else if (close !== null) socket.close(Number(close[1]), close[2]);
      else if (echo) socket.send(data, { binary: isBinary });
    });
  }

  #info(socket, request) {
    const { url, headers } = request;
    const { remoteAddress, remotePort } = request.socket;
    const { extensions, protocol } = socket;
    return { name: this.name, pid: process.pid, url, headers, extensions, protocol, remoteAddress, remotePort };
  }

  async remove() {
    for (const socket of this.server.clients) socket.terminate();
    this.server.close();
    this.http.close();
    this.http.closeAllConnections();
  }
}

/** The same as a process. */
export class BackendProcess {
  static async start({ name = "backend", port = 0 } = {}) {
    const backend = new BackendProcess();
    backend.program = new Program(process.execPath, [fileURLToPath(import.meta.url), name, String(port)]);
    const line = await backend.program.line((text) => text.startsWith("backend "), "the backend's URL");
    backend.name = name;
    backend.url = line.slice("backend ".length);
    backend.port = Number(new URL(backend.url).port);
    return backend;
  }

  async kill() {
    await this.program.end("SIGKILL");
  }

  signal(signal) {
    this.program.signal(signal);
  }

  async remove() {
    // A stopped process is killed, too.
    await this.program.end("SIGKILL");
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [name, port] = process.argv.slice(2);
  const backend = await Backend.start({ name, port: Number(port) });
  console.log(`backend ${backend.url}`);
  // Gone with the test, however that ends.
  process.stdin.resume().on("end", () => process.exit());
}
