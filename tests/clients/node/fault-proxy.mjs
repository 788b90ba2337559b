// A TCP proxy that does to the connections through it what networks do: delays, slices, cuts, holes, resets.

import { once } from "node:events";
import { connect, createServer } from "node:net";

/** What happens to connections, those that are open and those to come. */
const NOTHING = { latencyMs: 0, slice: Infinity, cutAfter: Infinity, blackhole: false };

export class FaultProxy {
  #script = NOTHING;
  #pairs = new Set();
  #changed = [];
  /** How many connections were cut by the script. */
  cuts = 0;

  /** In front of a port of this host. */
  static async start(port) {
    const proxy = new FaultProxy();
    proxy.server = createServer((client) => proxy.#serve(client, port));
    proxy.server.listen(0, "127.0.0.1");
    await once(proxy.server, "listening");
    proxy.port = proxy.server.address().port;
    proxy.url = `ws://127.0.0.1:${proxy.port}/`;
    return proxy;
  }

  /**
   * `latencyMs` before each piece, pieces of at most `slice` bytes, `cutAfter` so many bytes towards the server,
   * or `blackhole`: everything stays open and nothing passes. What is left out is as without a proxy.
   */
  set(script) {
    this.#script = { ...NOTHING, ...script };
    for (const wake of this.#changed.splice(0)) wake();
  }

  /** Resets all open connections (RST). */
  reset() {
    for (const pair of this.#pairs) for (const socket of pair) socket.resetAndDestroy();
  }

  get open() {
    return this.#pairs.size;
  }

  #serve(client, port) {
    const server = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    const pair = [client, server];
    this.#pairs.add(pair);
    const end = () => {
      this.#pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    for (const socket of pair) {
      socket.setNoDelay(true);
      socket.on("error", end);
      socket.on("close", end);
    }
    // Ends in which the bytes of either direction end, too, but for a black hole.
    this.#pump(client, server, true).catch(end);
    this.#pump(server, client, false).catch(end);
  }

  async #pump(from, to, isForth) {
    let passed = 0;
    for await (const chunk of from.iterator({ destroyOnReturn: false })) {
      let rest = chunk;
      while (rest.length > 0) {
        while (this.#script.blackhole) await new Promise((resolve) => this.#changed.push(resolve));
        const { latencyMs, slice, cutAfter } = this.#script;
        if (latencyMs > 0) await new Promise((resolve) => setTimeout(resolve, latencyMs));
        const left = isForth ? cutAfter - passed : Infinity;
        const piece = rest.subarray(0, Math.min(slice, left));
        passed += piece.length;
        rest = rest.subarray(piece.length);
        if (piece.length > 0 && !to.write(piece)) await once(to, "drain");
        if (isForth && passed >= cutAfter) {
          this.cuts += 1;
          throw new Error("cut");
        }
        // A piece is a segment of its own.
        if (Number.isFinite(slice)) await new Promise((resolve) => setImmediate(resolve));
      }
    }
    while (this.#script.blackhole) await new Promise((resolve) => this.#changed.push(resolve));
    to.end();
  }

  remove() {
    this.set({});
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
    this.server.close();
  }
}
