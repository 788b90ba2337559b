// A gateway on a real socket (npm `ws`) that is told what to do, or echoes like an honest one.

import { once } from "node:events";
import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import { SUBPROTOCOL } from "./pretend.mjs";
import { decode, encode } from "./wire.mjs";

const FULL = 16_384;

export class FakeGateway {
  #http;
  #server;
  #arrived = [];
  #waiting = [];

  /** `files` maps paths to {type, body}, so that a page can be served from the same origin. */
  static async start({ port = 0, files = {} } = {}) {
    const fake = new FakeGateway();
    fake.#http = createServer((request, response) => {
      const file = files[request.url.split("?")[0]];
      response.writeHead(file ? 200 : 404, { "content-type": file?.type ?? "text/plain" });
      response.end(file?.body ?? "");
    });
    const handleProtocols = (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false);
    fake.#server = new WebSocketServer({ server: fake.#http, handleProtocols });
    fake.#server.on("connection", (ws) => {
      const link = new Link(ws);
      const waiting = fake.#waiting.shift();
      if (waiting) waiting(link);
      else fake.#arrived.push(link);
    });
    fake.#http.listen(port, "127.0.0.1");
    await once(fake.#http, "listening");
    fake.port = fake.#http.address().port;
    fake.url = `ws://127.0.0.1:${fake.port}/`;
    fake.page = `http://127.0.0.1:${fake.port}/`;
    return fake;
  }

  /** The next connection of a client. */
  accept() {
    const link = this.#arrived.shift();
    return link ? Promise.resolve(link) : new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Serves all connections as an echo; see `Link.echo`. */
  async echo(options) {
    for (;;) (await this.accept()).echo(options);
  }

  async stop() {
    for (const ws of this.#server.clients) ws.terminate();
    this.#http.closeAllConnections();
    await new Promise((resolve) => this.#http.close(resolve));
  }
}

/** A client's connection, seen by the gateway. */
class Link {
  #ws;
  #frames = [];
  #waiting = [];
  /** Resolves to {code, reason}. */
  closed;

  constructor(ws) {
    this.#ws = ws;
    this.closed = new Promise((resolve) => ws.once("close", (code, reason) => resolve({ code, reason: String(reason) })));
    ws.on("message", (bytes) => this.handle(decode(bytes)));
  }

  handle(frame) {
    const waiting = this.#waiting.shift();
    if (waiting) waiting(frame);
    else this.#frames.push(frame);
  }

  /** The next frame of the client; of this type, if one is named. */
  async next(type) {
    const frame = this.#frames.shift() ?? (await new Promise((resolve) => this.#waiting.push(resolve)));
    if (type !== undefined && frame.type !== type) throw new Error(`expected ${type}, got ${JSON.stringify(frame)}`);
    return frame;
  }

  send(type, stream, fields = {}) {
    this.#ws.send(encode({ type, stream, ...fields }));
  }

  raw(data) {
    this.#ws.send(data);
  }

  /** Ends the connection without a word. */
  terminate() {
    this.#ws.terminate();
  }

  /**
   * Plays an honest gateway from now on: keeps to its credit, gives back what it has read, answers pings and closes.
   * "nothing" is not found, "kick" is closed with 4001, "drop" loses the connection at its first message, "flap" goes
   * down and up; all others echo.
   */
  echo({ credit = 65_536 } = {}) {
    const streams = new Map();
    this.handle = (frame) => {
      const stream = streams.get(frame.stream);
      if (frame.type === "ping") return this.send("pong", frame.stream, { payload: frame.payload });
      if (frame.type === "open") return this.#accept(streams, frame, credit);
      if (frame.type === "close" && streams.delete(frame.stream)) return this.send("close", frame.stream, { code: frame.code });
      if (stream === undefined) return;
      if (frame.type === "credit") stream.credit += frame.credit;
      if (frame.type === "data") {
        stream.received += 6 + frame.payload.length;
        if (stream.received > credit) return this.#ws.close(1002, "credit");
        if (stream.name === "drop") return this.terminate();
        stream.queue.push(frame);
      }
      this.#write(frame.stream, stream);
    };
    this.#frames.splice(0).forEach((frame) => this.handle(frame));
  }

  #accept(streams, { stream, name, subprotocols, query, credit: given }, credit) {
    if (name === "nothing") return this.send("reject", stream, { status: 404, reason: "no such endpoint" });
    this.send("accept", stream, { credit, subprotocol: subprotocols.at(-1) });
    if (name === "kick") return this.send("close", stream, { code: 4001, reason: "kicked" });
    const added = { name, credit: given, received: 0, queue: [] };
    streams.set(stream, added);
    if (query !== "") added.queue.push({ last: true, binary: false, payload: Buffer.from(query) });
    if (name === "flap") {
      this.send("down", stream, { retry_ms: 10 });
      this.send("up", stream);
    }
    this.#write(stream, added);
  }

  /** Echoes what waits, as far as the credit goes; what was written is given back. */
  #write(id, stream) {
    let read = 0;
    while (stream.queue.length > 0) {
      const [{ last, binary, payload }] = stream.queue;
      const length = Math.min(payload.length, FULL, stream.credit - 6);
      if (length < 0 || (length === 0 && payload.length > 0)) break;
      const isWhole = length === payload.length;
      this.send("data", id, { last: last && isWhole, binary, payload: payload.subarray(0, length) });
      stream.credit -= 6 + length;
      read += length + (isWhole ? 6 : 0);
      if (isWhole) stream.queue.shift();
      else stream.queue[0] = { last, binary, payload: payload.subarray(length) };
    }
    read = Math.min(read, stream.received);
    if (read === 0) return;
    stream.received -= read;
    this.send("credit", id, { credit: read });
  }
}
