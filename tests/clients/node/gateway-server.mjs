// Starts the real gateway for a test, on free ports, with backends of `ws` behind it, and takes all away afterwards.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { WebSocketServer } from "ws";
import { guard } from "./server.mjs";

/** A server that sends every message back. */
export async function echoBackend() {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  server.on("connection", (socket) => {
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
    socket.on("error", () => {});
  });
  await new Promise((resolve) => server.once("listening", resolve));
  return {
    url: `ws://127.0.0.1:${server.address().port}/`,
    async end() {
      for (const socket of server.clients) socket.terminate();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export class Gateway {
  #process;
  #exit;
  #errors = "";
  #directory;

  /** `config` is TOML besides the listeners. */
  static async start(config) {
    const gateway = new Gateway();
    const binary = process.env.SERVER_BIN;
    assert.ok(binary, "SERVER_BIN must hold the path of the tidewire binary");
    gateway.#directory = await mkdtemp(join(tmpdir(), "tidewire-gateway-"));
    const file = join(gateway.#directory, "gateway.toml");
    await writeFile(file, config);
    gateway.#process = spawn(binary, ["gateway", "--config", file, "--listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "pipe"] });
    gateway.#exit = new Promise((resolve, reject) => {
      gateway.#process.once("error", reject);
      gateway.#process.once("exit", (code, signal) => resolve({ code, signal }));
    });
    // Only the text's end can matter; a chatty log must not fill the memory.
    gateway.#process.stderr.on("data", (text) => (gateway.#errors = (gateway.#errors + text).slice(-20_000)));
    const urls = new Map();
    const ready = new Promise((resolve) => {
      createInterface({ input: gateway.#process.stdout }).on("line", (line) => {
        const [name, url] = line.trim().split(/\s+/);
        urls.set(name, url);
        if (urls.has("gateway") && urls.has("admin")) resolve();
      });
    });
    const died = gateway.#exit.then(({ code, signal }) => {
      throw new Error(`the gateway ended before it was ready (${code ?? signal}):\n${gateway.#errors}`);
    });
    await guard(Promise.race([ready, died]), () => `the gateway's URLs:\n${gateway.#errors}`);
    died.catch(() => {});
    gateway.url = urls.get("gateway");
    gateway.admin = urls.get("admin");
    return gateway;
  }

  /** For `after`: ends what still runs and removes its files. */
  async remove() {
    if (this.#process.exitCode === null && this.#process.signalCode === null) this.#process.kill("SIGKILL");
    await guard(this.#exit, "the gateway's end");
    await rm(this.#directory, { recursive: true, force: true });
  }
}
