// A messaging client made of the npm package `ws`, with an inbox to wait on.

import WebSocket from "ws";
import { guard } from "./server.mjs";

const open = new Set();

export class Peer {
  #inbox = [];
  #waiting = [];

  /** Resolves once the server has answered the upgrade. `id` null leaves the query out. */
  static async connect(server, id, options = {}) {
    const query = id === null ? "" : `?id=${encodeURIComponent(id)}`;
    return Peer.connectTo(`${server.messaging}${query}`, id, options);
  }

  static async connectTo(url, id, options = {}) {
    const peer = new Peer(url, id, options);
    await guard(peer.opened, `the upgrade of ${url}`);
    return peer;
  }

  /** Ends every connection a test has left open. */
  static endAll() {
    for (const peer of open) peer.ws.terminate();
    open.clear();
  }

  constructor(url, id, options) {
    this.id = id;
    this.ws = new WebSocket(url, { perMessageDeflate: false, ...options });
    open.add(this);
    this.opened = new Promise((resolve, reject) => {
      this.ws.once("open", resolve);
      this.ws.once("error", reject);
    });
    // Later errors (a reset while writing) show as the close code, which tests look at.
    this.ws.on("error", (error) => (this.error = error));
    this.closed = new Promise((resolve) =>
      this.ws.once("close", (code, reason) => {
        open.delete(this);
        resolve({ code, reason: reason.toString() });
      }),
    );
    this.ws.on("message", (data, isBinary) => this.#take({ text: data.toString(), isBinary }));
  }

  #take({ text, isBinary }) {
    const message = { ...JSON.parse(text), raw: text, isBinary };
    const index = this.#waiting.findIndex(({ match }) => match(message));
    if (index < 0) this.#inbox.push(message);
    else this.#waiting.splice(index, 1)[0].resolve(message);
  }

  /** The oldest message not yet taken for which `match` holds; waits for it. */
  next(match = () => true) {
    return guard(this.arrival(match), () => `a message for ${this.id}; its inbox: ${JSON.stringify(this.#inbox)}`);
  }

  /** Like `next`, but without a time limit: for a race whose loser must not keep the test waiting. */
  async arrival(match) {
    const index = this.#inbox.findIndex(match);
    if (index >= 0) return this.#inbox.splice(index, 1)[0];
    return new Promise((resolve) => this.#waiting.push({ match, resolve }));
  }

  /** The next message of type "text". */
  text() {
    return this.next((message) => message.type === "text");
  }

  /** Texts of the next `count` messages of type "text". */
  async texts(count) {
    const texts = [];
    while (texts.length < count) texts.push((await this.text()).text);
    return texts;
  }

  get inbox() {
    return this.#inbox;
  }

  /** Sends one text to the given ids, as this peer. */
  say(text, ...recipients) {
    this.send({ type: "text", sender: this.id, recipients, text });
  }

  send(message, options = {}) {
    this.ws.send(typeof message === "string" || Buffer.isBuffer(message) ? message : JSON.stringify(message), options);
  }

  /** Close code and reason, whoever closes. */
  async end() {
    return guard(this.closed, `the close of ${this.id}`);
  }

  async close() {
    this.ws.close(1000);
    return this.end();
  }
}
