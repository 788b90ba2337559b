// The connection is lost and comes back: back-off, sockets that are opened anew, GOAWAY, pings. Time is virtual.

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { Gateway } from "../dist/index.js";
import { listen, opened, pass, pretend, settle, virtualTime } from "./pretend.mjs";

virtualTime();
// Full jitter at its longest, unless a test says otherwise.
beforeEach(() => mock.method(Math, "random", () => 1));
afterEach(() => mock.restoreAll());

const UP_TO_DATE = { endpoint: { reopen: true } };

function accept(connection, ...streams) {
  connection.open();
  for (const stream of streams) connection.frame("accept", stream);
  return connection.take();
}

test("waits double from 0.5 s to 30 s, and a connection that lasted starts them anew", async () => {
  const { network, gateway, connection } = await opened();
  const waits = [];
  gateway.addEventListener("down", (event) => waits.push(event.retryMs));
  mock.timers.tick(5_000);
  connection.drop();
  for (let attempt = 1; attempt <= 8; attempt += 1) {
    assert.equal(network.made.length, attempt);
    mock.timers.tick(waits.at(-1) - 1);
    assert.equal(network.made.length, attempt, "not too early");
    mock.timers.tick(1);
    assert.equal(network.made.length, attempt + 1);
    network.last().drop();
  }
  assert.deepEqual(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
  mock.timers.tick(30_000);
  network.last().open();
  mock.timers.tick(4_999);
  network.last().drop();
  assert.equal(waits.at(-1), 30_000, "a connection that did not last is no proof");
  mock.timers.tick(30_000);
  network.last().open();
  mock.timers.tick(5_000);
  network.last().drop();
  assert.equal(waits.at(-1), 500);
});

test("the wait is a random part of its cap", async () => {
  const { network, gateway, connection } = await opened();
  const waits = [];
  gateway.addEventListener("down", (event) => waits.push(event.retryMs));
  const parts = [0.5, 0, 0.25];
  mock.method(Math, "random", () => parts.shift());
  connection.drop();
  mock.timers.tick(250);
  network.last().drop();
  mock.timers.tick(0);
  network.last().drop();
  assert.deepEqual(waits, [250, 0, 500]);
});

test("a lost connection closes its sockets with 1006, and new ones wait for the next", async () => {
  const { network, gateway, socket, connection, log } = await opened();
  socket.addEventListener("close", () => gateway.endpoint("from the handler"));
  connection.drop(1012, "restart");
  assert.deepEqual(log, ["close 1006 the connection to the gateway was closed: 1012 restart unclean"]);
  const next = gateway.endpoint("next");
  const nextLog = listen(next);
  assert.deepEqual([next.readyState, gateway.isConnected, network.made.length], [0, false, 1]);
  mock.timers.tick(500);
  assert.equal(network.made.length, 2);
  accept(network.last(), 1, 2);
  assert.deepEqual([nextLog, gateway.isConnected], [["open"], true]);
});

test("a connection that cannot be made fails the sockets that waited for it, like a browser's", async () => {
  const network = pretend();
  const gateway = new Gateway("ws://gateway.test/", { WebSocket: network.WebSocket });
  const log = listen(gateway.endpoint("x"));
  const patient = listen(gateway.endpoint("y", { reopen: true }));
  network.last().drop();
  const reason =
    "the connection to the gateway was closed: 1006 (not reachable, or refused for this page's origin, the credentials or " +
    "the path; the platform does not tell which: see the browser's console and the gateway's log)";
  assert.deepEqual([log, patient], [[`error 0 ${reason}`, `close 1006 ${reason} unclean`], []]);
  mock.timers.tick(500);
  accept(network.last(), 1);
  assert.deepEqual(patient, ["open"]);
});

test("an attempt that takes longer than 15 s is given up", async () => {
  const network = pretend();
  const gateway = new Gateway("ws://gateway.test/", { WebSocket: network.WebSocket });
  const log = listen(gateway.endpoint("x"));
  mock.timers.tick(15_000);
  assert.equal(log.at(-1), "close 1006 no connection to the gateway in time unclean");
  assert.ok(network.last().closedWith);
  gateway.addEventListener("up", () => assert.fail("an answer that comes too late is heard"));
  network.last().open();
  assert.equal(gateway.isConnected, false);
});

test("without reconnect the next endpoint makes the next connection", async () => {
  const { network, gateway, connection, log } = await opened({ gateway: { reconnect: false } });
  connection.drop();
  mock.timers.tick(60_000);
  assert.deepEqual([log.length, network.made.length], [1, 1]);
  gateway.endpoint("x");
  assert.equal(network.made.length, 2);
});

test("a socket with reopen gets down, a new stream with the same words, and up", async () => {
  const { network, socket, connection, log } = await opened({
    endpoint: { reopen: true, query: "a=1", protocols: ["p", "q"] },
    accept: { subprotocol: "p" },
  });
  connection.drop();
  assert.deepEqual([log, socket.readyState], [["down connection 500"], 1]);
  mock.timers.tick(500);
  network.last().drop();
  assert.deepEqual(log, ["down connection 500", "down connection 1000"]);
  mock.timers.tick(1_000);
  network.last().open();
  const open = { type: "open", stream: 1, credit: 65_536, name: "echo", query: "a=1", subprotocols: ["p", "q"] };
  assert.deepEqual(network.last().take(), [open]);
  network.last().frame("accept", 1, { subprotocol: "q" });
  assert.deepEqual([log.slice(2), socket.protocol, socket.readyState], [["up"], "q", 1]);
  network.last().frame("data", 1, { payload: "again" });
  assert.equal(log.at(-1), "text again");
});

test("what was sent while down is sent after up, in order; what was cut starts again", async () => {
  const { network, socket, connection, log } = await opened({ ...UP_TO_DATE, accept: { credit: 16_390 } });
  socket.send("gone with the connection");
  socket.send(new Uint8Array(20_000).fill(1));
  await settle();
  assert.equal(connection.take().length, 2, "the second message was cut by the credit");
  connection.drop();
  assert.equal(socket.bufferedAmount, 20_000);
  socket.send("while down");
  socket.send(new Blob(["a blob"]));
  mock.timers.tick(500);
  network.last().open();
  await settle();
  assert.deepEqual(network.last().takeTypes(), ["open"], "nothing before ACCEPT");
  network.last().frame("accept", 1);
  await settle();
  const sent = network.last().take().map(({ payload }) => payload);
  assert.deepEqual(sent.map(({ length }) => length), [16_384, 3_616, 10, 6]);
  assert.deepEqual(sent.slice(2).map(String), ["while down", "a blob"]);
  assert.deepEqual([log, socket.bufferedAmount], [["down connection 500", "up"], 0]);
});

test("while down no more is kept than the bound: send throws, and the kept messages survive", async () => {
  const { network, socket, connection } = await opened({ endpoint: { reopen: true, maxBufferedBytes: 200 } });
  connection.drop();
  socket.send("x".repeat(100));
  assert.throws(() => socket.send("y".repeat(100)), { name: "QuotaExceededError" });
  assert.equal(socket.readyState, 1);
  mock.timers.tick(500);
  const [, ...sent] = accept(network.last(), 1);
  assert.deepEqual(sent.map(({ payload }) => String(payload)), ["x".repeat(100)]);
});

test("close while down ends the socket, and opens no stream any more", async () => {
  const { network, socket, connection, log } = await opened(UP_TO_DATE);
  connection.drop();
  socket.send("kept in vain");
  socket.close(1000);
  assert.equal(socket.readyState, 2);
  await settle();
  assert.deepEqual(log, ["down connection 500", "close 1006 unclean"]);
  assert.equal(socket.bufferedAmount, 12);
  mock.timers.tick(500);
  assert.deepEqual(accept(network.last()), []);
});

test("close while a socket is being reopened gives the new stream up", async () => {
  const { network, socket, connection, log } = await opened(UP_TO_DATE);
  connection.drop();
  mock.timers.tick(500);
  network.last().open();
  socket.close(1000);
  await settle();
  assert.deepEqual(network.last().takeTypes(), ["open", "close"]);
  network.last().frame("accept", 1);
  network.last().frame("close", 1);
  assert.deepEqual(log, ["down connection 500", "close 1006 unclean"]);
});

test("a socket ends once, even if two reasons meet", async () => {
  const { socket, connection, log } = await opened(UP_TO_DATE);
  class Unreadable extends Blob {
    arrayBuffer = () => Promise.reject(new DOMException("gone", "NotReadableError"));
  }
  connection.drop();
  socket.send(new Unreadable(["x"]));
  socket.close();
  await settle();
  assert.equal(log.filter((line) => line.startsWith("close")).length, 1, String(log));
});

test("close in the handler of down is the last that is heard", async () => {
  const { network, socket, connection, log } = await opened(UP_TO_DATE);
  socket.ondown = () => socket.close();
  connection.drop();
  await settle();
  mock.timers.tick(500);
  assert.deepEqual(accept(network.last()), []);
  assert.deepEqual(log, ["down connection 500", "close 1006 unclean"]);
});

test("an endpoint that refuses to reopen for now is asked again, with waits of its own", async () => {
  const { network, connection, log } = await opened(UP_TO_DATE);
  connection.drop();
  mock.timers.tick(500);
  const again = network.last();
  again.open();
  again.frame("reject", 1, { status: 503 });
  assert.deepEqual(log.splice(0), ["down connection 500", "down backend 500"]);
  mock.timers.tick(499);
  assert.deepEqual(again.takeTypes(), ["open"]);
  mock.timers.tick(1);
  assert.deepEqual(again.takeTypes(), ["open"]);
  again.frame("reject", 2, { status: 429 });
  assert.deepEqual(log.splice(0), ["down backend 1000"]);
  mock.timers.tick(1_000);
  again.frame("accept", 3);
  assert.deepEqual(log, ["up"]);
});

test("an endpoint that refuses to reopen for good closes the socket", async () => {
  const { network, connection, log } = await opened(UP_TO_DATE);
  connection.drop();
  mock.timers.tick(500);
  network.last().open();
  network.last().frame("reject", 1, { status: 403 });
  assert.deepEqual(log.slice(1), ["error 403 rejected with 403", "close 1006 rejected with 403 unclean"]);
});

test("codes 1001 and 1012 reopen a socket with reopen, others end it", async () => {
  for (const [code, lives] of [[1001, true], [1012, true], [1000, false], [1013, false], [1014, false], [4000, false]]) {
    const { connection, log } = await opened(UP_TO_DATE);
    connection.frame("close", 1, { code });
    assert.deepEqual(log, [lives ? "down backend 500" : `close ${code} clean`]);
    mock.timers.tick(500);
    assert.deepEqual(connection.takeTypes(), lives ? ["close", "open"] : ["close"]);
  }
  const { connection, log } = await opened();
  connection.frame("close", 1, { code: 1012, reason: "restart" });
  assert.deepEqual(log, ["close 1012 restart clean"], "without reopen the code is told");
});

test("a socket that was down by its backend and then by the connection gets up once", async () => {
  const { network, connection, log } = await opened(UP_TO_DATE);
  connection.frame("down", 1, { retry_ms: 100 });
  connection.drop();
  mock.timers.tick(500);
  accept(network.last(), 1);
  assert.deepEqual(log, ["down backend 100", "down connection 500", "up"]);
});

test("GOAWAY: old sockets go on, new ones get a new connection at once", async () => {
  const { network, gateway, socket, connection, log } = await opened(UP_TO_DATE);
  mock.timers.tick(5_000);
  connection.frame("goaway", 0, { within_ms: 10_000 });
  assert.equal(network.made.length, 2);
  const next = listen(gateway.endpoint("next"));
  socket.send("still here");
  await settle();
  assert.deepEqual(connection.takeTypes(), ["data"]);
  accept(network.last(), 1);
  assert.deepEqual([next, log], [["open"], []]);
  connection.drop(1012);
  assert.deepEqual(log, ["down connection 0"]);
  network.last().frame("accept", 2);
  assert.deepEqual(log, ["down connection 0", "up"]);
});

test("GOAWAY: the old connection is closed with its last socket", async () => {
  const { network, socket, connection } = await opened();
  mock.timers.tick(5_000);
  connection.frame("goaway", 0, { within_ms: 10_000 });
  network.last().open();
  socket.close();
  await settle();
  assert.equal(connection.closedWith, null);
  connection.frame("close", 1);
  assert.deepEqual(connection.closedWith, { code: 1000, reason: undefined });
  assert.equal(network.last().closedWith, null);
});

test("GOAWAY: a socket that was refused for it is opened on the next connection, unnoticed", async () => {
  const { network, gateway, connection } = await opened();
  mock.timers.tick(5_000);
  const crossing = listen(gateway.endpoint("crossing"));
  connection.frame("goaway", 0, { within_ms: 10_000 });
  connection.frame("reject", 2, { status: 503, reason: "the gateway is going away" });
  assert.deepEqual(crossing, []);
  accept(network.last(), 1);
  assert.deepEqual(crossing, ["open"]);
});

test("GOAWAY from every new connection does not make the client spin", async () => {
  const { network, connection } = await opened();
  connection.frame("goaway", 0, { within_ms: 0 });
  const times = [];
  for (let n = 0; n < 4; n += 1) {
    const before = network.made.length;
    let ms = 0;
    for (; network.made.length === before; ms += 1) mock.timers.tick(1);
    times.push(ms);
    network.last().open();
    network.last().frame("goaway", 0, { within_ms: 0 });
    assert.ok(network.last().closedWith, "it has no sockets");
  }
  assert.deepEqual(times, [500, 1_000, 2_000, 4_000]);
});

test("a ping every 25 s; no sign of life within 10 s loses the connection", async () => {
  const { network, connection, log } = await opened({ ...UP_TO_DATE, gateway: { keepAlive: true } });
  pass(24_999);
  assert.deepEqual(connection.take(), []);
  pass(1);
  assert.deepEqual(connection.take(), [{ type: "ping", stream: 0, payload: Buffer.alloc(0) }]);
  pass(9_999);
  connection.frame("pong", 0);
  for (let n = 0; n < 3; n += 1) {
    pass(n === 0 ? 15_001 : 25_000);
    assert.deepEqual(connection.takeTypes(), ["ping"]);
    connection.frame("data", 1, { payload: "also a sign of life" });
  }
  pass(25_000);
  assert.deepEqual(connection.takeTypes(), ["ping"]);
  pass(9_999);
  assert.equal(connection.closedWith, null);
  pass(1);
  assert.ok(connection.closedWith);
  assert.equal(log.at(-1), "down connection 500");
  pass(500);
  assert.equal(network.made.length, 2);
});

test("the address may come from a function, for each attempt anew, and may fail to", async () => {
  const network = pretend();
  const addresses = ["ws://one.test/", Promise.resolve(new URL("wss://two.test/?token=2")), Promise.reject(new Error("no token")), "::"];
  addresses[2].catch(() => {});
  const gateway = new Gateway(() => addresses.shift(), { WebSocket: network.WebSocket });
  const waits = [];
  gateway.addEventListener("down", (event) => waits.push(event.retryMs));
  const socket = gateway.endpoint("x", { reopen: true });
  gateway.endpoint("y", { reopen: true });
  for (let n = 0; n < 3; n += 1) {
    await settle();
    if (n < 2) network.last().drop();
    mock.timers.tick(waits.at(-1));
  }
  await settle();
  assert.deepEqual(network.made.map(({ url }) => url), ["ws://one.test/", "wss://two.test/?token=2"]);
  assert.deepEqual(waits, [500, 1_000, 2_000, 4_000]);
  assert.equal(socket.url, "wss://two.test/?token=2#x");
});

test("a closed gateway makes no more attempts", async () => {
  const { network, gateway, connection } = await opened(UP_TO_DATE);
  connection.drop();
  gateway.close();
  mock.timers.tick(600_000);
  await settle();
  assert.equal(network.made.length, 1);
});

test("a WebSocket class that throws is a failed attempt", async () => {
  let attempts = 0;
  class Broken {
    constructor() {
      attempts += 1;
      throw new DOMException("mixed content", "SecurityError");
    }
  }
  const gateway = new Gateway("ws://gateway.test/", { WebSocket: Broken });
  const log = listen(gateway.endpoint("x"));
  await settle();
  assert.deepEqual([attempts, log.length, /mixed content/.test(log[0])], [1, 2, true]);
  mock.timers.tick(500);
  assert.equal(attempts, 2);
});
