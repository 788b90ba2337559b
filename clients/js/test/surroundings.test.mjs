// The network comes back, or a page is shown again, while a client waits. Time is virtual.
//
// Other inputs of this kind, each below: `online` in pages and workers, pages from the cache (`pageshow`), platforms that have
// none of these events, many events in a row, events while a connection is open (it may be dead), while an attempt is
// under way (it was begun without a network), after `close`, and with `reconnect: false`.

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { Gateway } from "../dist/index.js";
import { opened, pretend, settle, virtualTime } from "./pretend.mjs";

virtualTime();

/** What browsers have: a scope with events, and a document. */
let scope;
let document;
beforeEach(() => {
  mock.method(Math, "random", () => 1);
  scope = new EventTarget();
  document = Object.assign(new EventTarget(), { visibilityState: "visible" });
  for (const name of ["addEventListener", "removeEventListener"]) {
    Object.defineProperty(globalThis, name, { value: scope[name].bind(scope), configurable: true });
  }
  globalThis.document = document;
});
afterEach(() => {
  mock.restoreAll();
  delete globalThis.addEventListener;
  delete globalThis.removeEventListener;
  delete globalThis.document;
});

const tell = (target, type) => target.dispatchEvent(new Event(type));

/** A client that waits 30 s, as after a long time without a network. */
async function waiting(options) {
  const its = await opened({ endpoint: { reopen: true }, ...options });
  mock.timers.tick(5_000);
  its.connection.drop();
  for (let n = 0; n < 7; n += 1) {
    mock.timers.tick(30_000);
    its.network.last().drop();
  }
  mock.timers.tick(2_000);
  its.attempts = its.network.made.length;
  return its;
}

for (const [what, where, type] of [
  ["the network comes back", () => scope, "online"],
  ["the page is shown again", () => document, "visibilitychange"],
  ["the page comes back from the cache", () => scope, "pageshow"],
]) {
  test(`a client that waits connects at once when ${what}`, async () => {
    const { gateway, network, attempts, log } = await waiting();
    tell(where(), type);
    assert.equal(network.made.length, attempts + 1);
    network.last().open();
    network.last().frame("accept", 1);
    assert.equal(log.at(-1), "up");
    mock.timers.tick(60_000);
    assert.equal(network.made.length, attempts + 1, "the wait is over");
    gateway.close();
  });
}

test("a page that is hidden does not hurry", async () => {
  const { network, attempts } = await waiting();
  document.visibilityState = "hidden";
  tell(document, "visibilitychange");
  assert.equal(network.made.length, attempts);
});

test("events in a row do not make attempts in a row", async () => {
  const { network, attempts } = await waiting();
  for (let n = 0; n < 100; n += 1) {
    tell(scope, "online");
    network.last().drop();
  }
  assert.equal(network.made.length, attempts + 1);
  mock.timers.tick(1_000);
  tell(scope, "online");
  assert.equal(network.made.length, attempts + 2);
});

test("an attempt that was begun without a network is begun anew", async () => {
  const { network, attempts } = await waiting();
  tell(scope, "online");
  mock.timers.tick(5_000);
  tell(scope, "online");
  assert.equal(network.made.length, attempts + 2);
  assert.ok(network.made.at(-2).closedWith, "the old attempt is given up");
});

test("an open connection is asked for a sign of life, and one that is dead is replaced", async () => {
  const { gateway, network, connection } = await opened({
    endpoint: { reopen: true },
    gateway: { keepAlive: { everyMs: 25_000, withinMs: 10_000 } },
  });
  tell(scope, "online");
  tell(document, "visibilitychange");
  assert.deepEqual(connection.takeTypes(), ["ping"], "one question is enough");
  connection.frame("pong", 0);
  mock.timers.tick(10_000);
  assert.equal(network.made.length, 1);
  tell(scope, "online");
  mock.timers.tick(10_000);
  assert.ok(connection.closedWith, "no answer");
  mock.timers.tick(500);
  assert.equal(network.made.length, 2);
  gateway.close();
});

test("`reconnectNow` does the same on platforms without such events", async () => {
  for (const name of ["addEventListener", "removeEventListener", "document"]) delete globalThis[name];
  const { gateway, network, attempts } = await waiting();
  gateway.reconnectNow();
  assert.equal(network.made.length, attempts + 1);
  gateway.reconnectNow();
  assert.equal(network.made.length, attempts + 1, "an attempt is under way");
  network.last().open();
  gateway.reconnectNow();
  assert.equal(network.made.length, attempts + 1, "it is connected");
});

test("nothing is listened to before the first endpoint and after `close`, and nothing revives a closed gateway", async () => {
  const listeners = new Map();
  for (const [name, step] of [["addEventListener", 1], ["removeEventListener", -1]]) {
    const count = (type) => listeners.set(type, (listeners.get(type) ?? 0) + step);
    Object.defineProperty(globalThis, name, { value: count, configurable: true });
    document[name] = count;
  }
  const network = pretend();
  const gateway = new Gateway("ws://gateway.test/", { WebSocket: network.WebSocket });
  assert.equal(listeners.size, 0);
  gateway.endpoint("echo");
  network.last().drop();
  await settle();
  assert.deepEqual([...listeners.values()], [1, 1, 1]);
  gateway.close();
  gateway.reconnectNow();
  assert.deepEqual([...listeners.values()], [0, 0, 0]);
  assert.equal(network.made.length, 1);
});

test("without `reconnect` nothing connects by itself", async () => {
  const { network, connection } = await opened({ gateway: { reconnect: false } });
  connection.drop();
  mock.timers.tick(5_000);
  tell(scope, "online");
  assert.equal(network.made.length, 1);
});
