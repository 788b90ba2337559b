// Starts the real server for a test, on free ports and an own data directory, and takes both away afterwards.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** A guard against waiting for ever, not a time that anything should take. */
export const GUARD_MS = 30_000;

/** Rejects with `what` when `promise` is not settled in time. */
export async function guard(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${typeof what === "function" ? what() : what}`)), GUARD_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Asks again and again until `probe` answers something truthy: for state that sends no event. */
export async function until(what, probe) {
  const end = Date.now() + GUARD_MS;
  for (;;) {
    const answer = await probe();
    if (answer) return answer;
    assert.ok(Date.now() < end, `waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export class Server {
  #process;
  #exit;
  #errors = "";
  #dataDir;
  #ownsDataDir;

  /** `config` is TOML; `admin` waits for the page that it switches on; `dataDir` and `port` let a second server continue where a first one stopped. */
  static async start({ config = "", echo = false, admin = false, dataDir = null, port = 0 } = {}) {
    const server = new Server();
    await server.#start({ config, echo, admin, dataDir, port });
    return server;
  }

  async #start({ config, echo, admin, dataDir, port }) {
    const binary = process.env.SERVER_BIN;
    assert.ok(binary, "SERVER_BIN must hold the path of the tidewire binary");
    this.#ownsDataDir = dataDir === null;
    this.#dataDir = dataDir ?? (await newDataDir());
    const args = ["serve", "--listen", `127.0.0.1:${port}`, "--rest-listen", "127.0.0.1:0", "--data-dir", this.#dataDir];
    if (echo) args.push("--echo");
    if (config !== "") {
      const file = join(this.#dataDir, "test.toml");
      await writeFile(file, config);
      args.push("--config", file);
    }
    this.#process = spawn(binary, args, { stdio: ["ignore", "pipe", "pipe"] });
    this.#exit = new Promise((resolve, reject) => {
      this.#process.once("error", reject);
      this.#process.once("exit", (code, signal) => resolve({ code, signal }));
    });
    // Only the text's end can matter; a chatty log must not fill the memory.
    this.#process.stderr.on("data", (text) => (this.#errors = (this.#errors + text).slice(-20_000)));
    const wanted = ["messaging", "rest", "web chat", ...(echo ? ["echo"] : []), ...(admin ? ["admin"] : [])];
    const urls = new Map();
    const ready = new Promise((resolve) => {
      createInterface({ input: this.#process.stdout }).on("line", (line) => {
        const match = /^(messaging|rest|web chat|echo|admin)\s+(\S+)$/.exec(line.trim());
        if (match !== null) urls.set(match[1], match[2]);
        if (wanted.every((name) => urls.has(name))) resolve();
      });
    });
    const died = this.#exit.then(({ code, signal }) => {
      throw new Error(`the server ended before it was ready (${code ?? signal}):\n${this.#errors}`);
    });
    await guard(Promise.race([ready, died]), () => `the server's URLs:\n${this.#errors}`);
    died.catch(() => {});
    this.messaging = urls.get("messaging");
    this.rest = urls.get("rest");
    this.web = urls.get("web chat");
    this.echo = urls.get("echo");
    this.admin = urls.get("admin");
  }

  get running() {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Ends the server with `signal` and returns {code, signal} of its exit. */
  async end(signal = "SIGTERM") {
    if (this.running) this.#process.kill(signal);
    const exit = await guard(this.#exit, () => `the server's end after ${signal}:\n${this.#errors}`);
    return exit;
  }

  /** For `after`: ends what still runs and removes the data. */
  async remove() {
    await this.end("SIGKILL");
    if (this.#ownsDataDir) await rm(this.#dataDir, { recursive: true, force: true });
  }

  /** One REST call: {status, type, text, headers}. */
  async call(method, path, { body, headers } = {}) {
    const response = await fetch(new URL(path, this.rest), { method, body, headers, signal: AbortSignal.timeout(GUARD_MS) });
    return {
      status: response.status,
      type: response.headers.get("content-type") ?? "",
      text: await response.text(),
      headers: response.headers,
    };
  }

  /** Sends a message over REST and expects it to be accepted. */
  async post(message) {
    const body = JSON.stringify(message);
    const answer = await this.call("POST", "/send-message", { body, headers: { "content-type": "application/json" } });
    assert.equal(answer.status, 202, answer.text);
  }

  /** The statistics of a user. */
  async stat(id) {
    return JSON.parse((await this.call("GET", `/stat?id=${encodeURIComponent(id)}`)).text).data;
  }

  async isOnline(id) {
    const answer = await this.call("GET", `/check-online?id=${encodeURIComponent(id)}`);
    return JSON.parse(answer.text).data.isOnline;
  }
}

export const newDataDir = () => mkdtemp(join(tmpdir(), "tidewire-test-"));
