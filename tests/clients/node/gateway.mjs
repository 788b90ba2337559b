// Starts `tidewire gateway` for a test, with a configuration in a directory of its own, and clients for it.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import WebSocket from "ws";
import { Program } from "./program.mjs";
import { guard, newDataDir } from "./server.mjs";

export const LISTENER = '[[listeners]]\naddress = "127.0.0.1:0"\n';

export class Gateway {
  /** `config` is TOML without listeners, unless `listeners` says otherwise. */
  static async start(config, { listeners = LISTENER } = {}) {
    const gateway = new Gateway();
    gateway.folder = await newDataDir();
    gateway.accessLog = join(gateway.folder, "access.log");
    const file = join(gateway.folder, "gateway.toml");
    await writeFile(file, `access_log = "${gateway.accessLog}"\n${config}\n${listeners}`);
    await gateway.#run(["--config", file], (listeners.match(/\[\[listeners\]\]/g) ?? []).length);
    if (/^\[admin\]$/m.test(config)) await gateway.#ready(() => gateway.admin !== undefined);
    return gateway;
  }

  /** With the file of SocketMaster's README (M-06, M-22), prose included, but for the ports. */
  static async socketMaster([first, second]) {
    const gateway = new Gateway();
    gateway.folder = await newDataDir();
    const file = join(gateway.folder, "config.ini");
    const example = `[Endpoint1]\nName = endpoint1\nPort = ${first}\n\n[Endpoint2]\nName = endpoint2\nPort = ${second}\n`;
    await writeFile(file, `${example}\nUsage\n\nStart SocketMaster with the specified configuration file:\n`);
    const log = join(gateway.folder, "server.log");
    await gateway.#run(["--config", file, "--log", log, "--verbose", "--listen", "127.0.0.1:0"], 1);
    return gateway;
  }

  async #run(args, listenersCount) {
    const binary = process.env.SERVER_BIN;
    assert.ok(binary, "SERVER_BIN must hold the path of the tidewire binary");
    this.program = new Program(binary, ["gateway", ...args]);
    await this.#ready(() => this.urls.length >= listenersCount);
    this.url = this.urls[0];
  }

  /** Waits until it has printed that. */
  async #ready(printed) {
    try {
      await this.program.line(printed, "the gateway's URLs");
    } catch (error) {
      await this.remove();
      throw error;
    }
  }

  get urls() {
    return this.#told("gateway");
  }

  /** Of the admin listener, where there is one. */
  get admin() {
    return this.#told("admin")[0];
  }

  #told(name) {
    const words = this.program.lines.map((line) => line.split(/\s+/));
    return words.filter(([first]) => first === name).map(([, url]) => url);
  }

  get port() {
    return Number(new URL(this.url).port);
  }

  /** One object per ended connection. */
  async records() {
    const lines = (await readFile(this.accessLog, "utf8")).split("\n");
    return lines.filter((line) => line !== "").map((line) => JSON.parse(line));
  }

  async remove() {
    await this.program.end("SIGKILL");
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** A plain client: its messages in order, its close, its refusal. */
export class Client {
  #messages = [];
  #waiting = [];

  /** Resolves once it is open; rejects with `status` and `body` when the upgrade is refused. */
  static async open(url, { protocols = [], ...options } = {}) {
    const client = new Client(url, protocols, options);
    await guard(client.opened, `the upgrade of ${url}`);
    return client;
  }

  constructor(url, protocols, options) {
    this.ws = new WebSocket(url, protocols, { perMessageDeflate: false, maxPayload: 1 << 30, ...options });
    this.opened = new Promise((resolve, reject) => {
      this.ws.once("open", resolve);
      this.ws.once("error", reject);
      this.ws.once("unexpected-response", async (_request, response) => {
        let body = "";
        for await (const piece of response) body += piece;
        reject(Object.assign(new Error(`refused with ${response.statusCode} ${body}`), { status: response.statusCode, body }));
      });
    });
    this.opened.catch(() => {});
    this.ws.on("error", (error) => (this.error = error));
    this.ws.once("upgrade", (response) => (this.headers = response.headers));
    this.closed = once(this.ws, "close").then(([code, reason]) => ({ code, reason: reason.toString() }));
    this.closed.catch(() => {});
    this.ws.on("message", (data, isBinary) => {
      const message = isBinary ? data : data.toString();
      const next = this.#waiting.shift();
      if (next) next(message);
      else this.#messages.push(message);
    });
  }

  get isOpen() {
    return this.ws.readyState === WebSocket.OPEN;
  }

  send(message) {
    this.ws.send(message);
  }

  async next(what = "a message") {
    if (this.#messages.length > 0) return this.#messages.shift();
    const message = new Promise((resolve) => this.#waiting.push(resolve));
    const ended = this.closed.then(({ code, reason }) => {
      throw new Error(`closed with ${code} ${reason} while waiting for ${what}`);
    });
    ended.catch(() => {});
    return guard(Promise.race([message, ended]), what);
  }

  /** Sends and gives the answer. */
  async ask(message) {
    this.send(message);
    return this.next(`the answer to ${String(message).slice(0, 40)}`);
  }

  /** What the backend knows about its side of the connection. */
  async info() {
    return JSON.parse(await this.ask("info"));
  }

  /** Code and reason, whoever closes. */
  async end() {
    return guard(this.closed, "the close of a client");
  }

  async close(code, reason) {
    this.ws.close(code, reason);
    return this.end();
  }

  terminate() {
    this.ws.terminate();
  }
}
