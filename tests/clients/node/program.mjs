// A process that a test starts, waits for, and takes away.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { guard } from "./server.mjs";

export class Program {
  #process;
  #errors = "";
  #waiting = [];
  /** What it has printed, line by line. */
  lines = [];

  constructor(command, args, { env } = {}) {
    this.name = command;
    this.#process = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...env } });
    this.exited = new Promise((resolve, reject) => {
      this.#process.once("error", reject);
      this.#process.once("exit", (code, signal) => resolve({ code, signal }));
    });
    this.exited.catch(() => {});
    // Who writes to a program that has ended learns it by its end.
    this.#process.stdin.on("error", () => {});
    // Only the text's end can matter; a chatty log must not fill the memory.
    this.#process.stderr.on("data", (text) => (this.#errors = (this.#errors + text).slice(-20_000)));
    createInterface({ input: this.#process.stdout }).on("line", (line) => {
      this.lines.push(line);
      this.#waiting = this.#waiting.filter(({ match, resolve }) => {
        if (match(line)) return resolve(line);
        return true;
      });
    });
  }

  get pid() {
    return this.#process.pid;
  }

  /** The end of what it wrote to its standard error. */
  get errors() {
    return this.#errors;
  }

  get running() {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** A line it has printed, or prints; fails if it ends before. */
  async line(match, what) {
    const found = this.lines.find(match);
    if (found !== undefined) return found;
    const printed = new Promise((resolve) => this.#waiting.push({ match, resolve }));
    const died = this.exited.then(({ code, signal }) => {
      throw new Error(`${this.name} ended (${code ?? signal}) before ${what}:\n${this.#errors}`);
    });
    died.catch(() => {});
    return guard(Promise.race([printed, died]), () => `${what}:\n${this.#errors}`);
  }

  type(line) {
    this.#process.stdin.write(`${line}\n`);
  }

  closeInput() {
    this.#process.stdin.end();
  }

  signal(signal) {
    this.#process.kill(signal);
  }

  /** Ends it with `signal` and gives {code, signal} of its exit. */
  async end(signal = "SIGKILL") {
    if (this.running) this.#process.kill(signal);
    return guard(this.exited, () => `the end of ${this.name} after ${signal}:\n${this.#errors}`);
  }

  /** A figure of /proc/PID/status in bytes: VmRSS now, VmHWM at most so far. */
  async memory(figure = "VmRSS") {
    const status = await readFile(`/proc/${this.pid}/status`, "utf8");
    const [, kib] = new RegExp(`^${figure}:\\s+(\\d+) kB$`, "m").exec(status);
    return Number(kib) * 1024;
  }
}

/** A port that nobody listens at now: for programs that cannot pick one themselves. */
export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  assert.notEqual(port, 0);
  return port;
}
