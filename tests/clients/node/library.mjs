// Starts the library's example programs: an echo server, and a client that echoes what servers send it.
//
// LIBRARY_SERVER and LIBRARY_CLIENT name the binaries of the examples `conformance_server` and `conformance_client`.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { guard } from "./server.mjs";

export const serverBinary = process.env.LIBRARY_SERVER;
export const clientBinary = process.env.LIBRARY_CLIENT;

export class EchoServer {
  #process;

  /** With `--deflate` every message is compressed, with all the context the peer lets it keep. */
  static async start(...options) {
    const server = new EchoServer();
    server.#process = spawn(serverBinary, options, { stdio: ["ignore", "pipe", "inherit"] });
    const url = new Promise((resolve, reject) => {
      createInterface({ input: server.#process.stdout }).on("line", (line) => {
        const match = /^echo (\S+)$/.exec(line);
        if (match !== null) resolve(match[1]);
      });
      server.#process.once("error", reject);
      server.#process.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
    });
    server.url = await guard(url, "the server's URL");
    return server;
  }

  stop() {
    this.#process.kill("SIGKILL");
  }
}

/** Runs the client against a server that has cases, until it ends by itself; fails if it fails. */
export async function runClient(url, ...options) {
  const child = spawn(clientBinary, [...options, url], { stdio: ["ignore", "inherit", "pipe"] });
  let errors = "";
  child.stderr.on("data", (text) => (errors += text));
  const exit = new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve(code ?? signal));
  });
  try {
    assert.equal(await guard(exit, "the end of the client"), 0, errors);
  } finally {
    child.kill("SIGKILL");
  }
}
