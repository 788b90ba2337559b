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

  /** Ends every connection a test has left open, so that nothing of it comes again in the next test. */
  static async endAll() {
    await Promise.all([...open].map((peer) => peer.confirmed()));
    for (const peer of open) peer.ws.terminate();
    open.clear();
  }

  constructor(url, id, options) {
    this.id = id;
    this.deaf = options?.autoPong === false;
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

  /**
   * Resolves once the server holds the proof (a pong) of all this peer has received: what is not proved comes again to
   * the next connection of the same id. The first answer comes behind the server's own ping, the second behind the
   * server's reading of our pong. Returns at once for a connection that is closed or answers no pings.
   */
  async confirmed() {
    for (let round = 0; round < 2; round++) {
      if (this.ws.readyState !== WebSocket.OPEN || this.ws.isPaused || this.deaf) return;
      const answered = new Promise((resolve) => this.ws.once("pong", resolve));
      this.ws.ping();
      await guard(Promise.race([answered, this.closed]), `an answer to the ping of ${this.id}`);
    }
  }

  async close() {
    await this.confirmed();
    this.ws.close(1000);
    return this.end();
  }
}
