// The interface of an endpoint's socket, compared with what a browser's WebSocket does.

import assert from "node:assert/strict";
import { test } from "node:test";
import { DownEvent, EndpointSocket, FailureEvent, Gateway } from "../dist/index.js";
import { listen, opened, pretend, settle, SUBPROTOCOL, virtualTime } from "./pretend.mjs";

virtualTime();

const named = (name) => ({ constructor: DOMException, name });

function gatewayOf(network, options) {
  return new Gateway("wss://gateway.test/mux?token=1", { WebSocket: network.WebSocket, keepAlive: false, ...options });
}

test("a socket is connecting, open, closing and closed, with the browser's numbers", async () => {
  const network = pretend();
  const socket = gatewayOf(network).endpoint("Chat", { protocols: ["a", "b"], query: "room=1" });
  const log = listen(socket);
  assert.ok(socket instanceof EventTarget && socket instanceof EndpointSocket);
  assert.deepEqual([socket.CONNECTING, socket.OPEN, socket.CLOSING, socket.CLOSED], [0, 1, 2, 3]);
  assert.deepEqual([EndpointSocket.CONNECTING, EndpointSocket.CLOSED], [0, 3]);
  assert.equal(socket.readyState, 0);
  const connection = network.last();
  assert.deepEqual([connection.url, connection.protocols], ["wss://gateway.test/mux?token=1", [SUBPROTOCOL]]);
  assert.deepEqual(connection.take(), []);
  connection.open();
  const expected = { type: "open", stream: 1, credit: 65_536, name: "Chat", query: "room=1", subprotocols: ["a", "b"] };
  assert.deepEqual(connection.take(), [expected]);
  assert.equal(socket.readyState, 0);
  connection.frame("accept", 1, { subprotocol: "b" });
  assert.deepEqual([socket.readyState, socket.protocol, socket.extensions], [1, "b", ""]);
  assert.equal(socket.url, "wss://gateway.test/mux?token=1#Chat?room=1");
  socket.close(3001, "enough");
  assert.equal(socket.readyState, 2);
  await settle();
  assert.deepEqual(connection.take(), [{ type: "close", stream: 1, code: 3001, reason: "enough" }]);
  connection.frame("close", 1);
  assert.equal(socket.readyState, 3);
  assert.deepEqual(log, ["open b", "close 3001 enough clean"]);
});

test("arguments that a browser refuses are refused with its exceptions", () => {
  const gateway = gatewayOf(pretend());
  for (const url of ["", "ftp://a.test", "ws://a.test/#x", "ws://"]) {
    assert.throws(() => new Gateway(url, { WebSocket: pretend().WebSocket }), named("SyntaxError"), url);
  }
  for (const protocols of ["", "a b", ["a", "a"], ["ä"], "x".repeat(256), ["a,b"]]) {
    assert.throws(() => gateway.endpoint("x", { protocols }), named("SyntaxError"), String(protocols));
  }
  for (const name of ["", "n".repeat(256), "ö".repeat(128)]) assert.throws(() => gateway.endpoint(name), named("SyntaxError"));
  for (const query of ["a#b", "q".repeat(65_536)]) assert.throws(() => gateway.endpoint("x", { query }), named("SyntaxError"));
  assert.throws(() => new Gateway("ws://a.test", { WebSocket: pretend().WebSocket, creditBytes: 16_389 }), RangeError);
  assert.throws(() => new Gateway("ws://a.test", { WebSocket: pretend().WebSocket, keepAlive: { everyMs: 0 } }), RangeError);
  const without = new Gateway("ws://a.test", { WebSocket: pretend().WebSocket, reconnect: false });
  assert.throws(() => without.endpoint("x", { reopen: true }), TypeError);
});

test("without a WebSocket class the constructor says what is missing", (t) => {
  const { WebSocket } = globalThis;
  globalThis.WebSocket = undefined;
  t.after(() => (globalThis.WebSocket = WebSocket));
  assert.throws(() => new Gateway("ws://a.test"), { name: "TypeError", message: /option WebSocket/ });
});

test("close refuses other codes and longer reasons, and changes nothing then", async () => {
  const { socket, connection } = await opened();
  for (const code of [0, 999, 1001, 1005, 1006, 2999, 5000, NaN, 66_536]) {
    assert.throws(() => socket.close(code), named("InvalidAccessError"), String(code));
  }
  assert.throws(() => socket.close(1000, "ö".repeat(62)), named("SyntaxError"));
  assert.equal(socket.readyState, 1);
  socket.close(4999, "ö".repeat(61));
  await settle();
  assert.deepEqual(connection.take(), [{ type: "close", stream: 1, code: 4999, reason: "ö".repeat(61) }]);
});

test("a REJECT that answers CLOSE ends the socket as well", async () => {
  const { socket, connection, log } = await opened();
  socket.close(3000, "enough");
  await settle();
  connection.frame("reject", 1, { status: 503 });
  assert.deepEqual(log, ["close 3000 enough clean"]);
});

test("close without a code sends none, and is told as 1005", async () => {
  const { socket, connection, log } = await opened();
  socket.close();
  socket.close(4000);
  await settle();
  assert.deepEqual(connection.take(), [{ type: "close", stream: 1, code: null, reason: null }]);
  connection.frame("close", 1);
  assert.deepEqual(log, ["close 1005 clean"]);
});

test("a reason without a code goes with 1000", async () => {
  const { socket, connection } = await opened();
  socket.close(undefined, "bye");
  await settle();
  assert.deepEqual(connection.take(), [{ type: "close", stream: 1, code: 1000, reason: "bye" }]);
});

test("the gateway's close is answered once, and tells its code and reason", async () => {
  const { socket, connection, log } = await opened();
  connection.frame("close", 1, { code: 4001, reason: "kicked" });
  assert.deepEqual([connection.takeTypes(), socket.readyState, log], [["close"], 3, ["close 4001 kicked clean"]]);
  connection.frame("data", 1, { payload: "late" });
  socket.close();
  assert.deepEqual([connection.take(), log.length], [[], 1]);
});

test("every kind of data is sent as the browser does", async () => {
  const { socket, connection } = await opened();
  const bytes = new Uint8Array([9, 1, 2, 3, 9]);
  socket.send("löve \ud800");
  socket.send(bytes.buffer);
  socket.send(bytes.subarray(1, 4));
  socket.send(new DataView(bytes.buffer, 1, 2));
  socket.send(new Uint16Array([0x0201]));
  socket.send(42);
  socket.send("");
  bytes.fill(0); // It was copied.
  await settle();
  const sent = connection.take().map(({ binary, payload }) => (binary ? payload.toString("hex") : payload.toString()));
  assert.deepEqual(sent, ["löve \ufffd", "0901020309", "010203", "0102", "0102", "42", ""]);
});

test("a Blob keeps its place in the order, and close waits for it", async () => {
  const { socket, connection } = await opened();
  socket.send(new Blob(["blob"]));
  socket.send("after");
  socket.close();
  assert.equal(socket.bufferedAmount, 9);
  while (socket.bufferedAmount > 0) await settle();
  await settle();
  const sent = connection.take().map(({ type, binary, payload }) => [type, binary, payload?.toString()]);
  assert.deepEqual(sent, [["data", true, "blob"], ["data", false, "after"], ["close", undefined, undefined]]);
});

test("a Blob that cannot be read fails the socket alone", async () => {
  const { gateway, socket, connection, log } = await opened();
  const other = listen(gateway.endpoint("other"));
  connection.frame("accept", 2);
  class Unreadable extends Blob {
    arrayBuffer = () => Promise.reject(new DOMException("gone", "NotReadableError"));
  }
  socket.send(new Unreadable(["x"]));
  await settle();
  assert.deepEqual([log, other], [["error 0 a Blob could not be read", "close 1006 a Blob could not be read unclean"], ["open"]]);
});

test("binaryType chooses between Blob and ArrayBuffer, and ignores other values", async () => {
  const { socket, connection } = await opened();
  const received = [];
  socket.addEventListener("message", (event) => received.push(event));
  socket.binaryType = "blob";
  socket.binaryType = "nonsense";
  assert.equal(socket.binaryType, "blob");
  connection.frame("data", 1, { binary: true, payload: "abc" });
  socket.binaryType = "arraybuffer";
  connection.frame("data", 1, { binary: true, payload: "abc" });
  assert.ok(received[0] instanceof MessageEvent && received[0].data instanceof Blob);
  assert.equal(received[0].origin, "ws://gateway.test");
  assert.equal(await received[0].data.text(), "abc");
  assert.ok(received[1].data instanceof ArrayBuffer);
  assert.deepEqual([...new Uint8Array(received[1].data)], [97, 98, 99]);
});

test("texts keep a byte order mark and characters that frames cut", async () => {
  const { connection, log } = await opened();
  const bytes = Buffer.from("\ufeff€");
  for (const [index, byte] of bytes.entries()) {
    connection.frame("data", 1, { last: index === bytes.length - 1, payload: Buffer.from([byte]) });
  }
  assert.deepEqual(log, ["text \ufeff€"]);
});

test("send throws while connecting, and throws data away after close but counts it", async () => {
  const network = pretend();
  const gateway = gatewayOf(network);
  const socket = gateway.endpoint("x");
  assert.throws(() => socket.send("early"), named("InvalidStateError"));
  network.last().open();
  network.last().frame("accept", 1);
  network.last().take();
  socket.send("1234");
  assert.equal(socket.bufferedAmount, 4);
  await settle();
  assert.equal(socket.bufferedAmount, 0);
  network.last().frame("close", 1);
  socket.send("12345");
  assert.equal(socket.bufferedAmount, 5);
  await settle();
  assert.deepEqual(network.last().takeTypes(), ["data", "close"]);
});

test("a bound on what waits: send throws, takes nothing, and the socket goes on", async () => {
  const { socket, connection } = await opened({ endpoint: { maxBufferedBytes: 300 }, accept: { credit: 16_390 } });
  socket.send(new Uint8Array(200));
  assert.throws(() => socket.send(new Uint8Array(100)), named("QuotaExceededError"));
  assert.throws(() => socket.send(new Blob([new Uint8Array(100)])), named("QuotaExceededError"));
  assert.equal(socket.bufferedAmount, 200);
  await settle();
  for (let n = 0; n < 4; n += 1) socket.send(""); // Also nothing takes room.
  assert.throws(() => socket.send(""), named("QuotaExceededError"));
  await settle();
  assert.equal(connection.take().length, 5);
  assert.equal(socket.readyState, 1);
});

test("a refused socket gets error with the status, then close 1006", async () => {
  const network = pretend();
  const log = listen(gatewayOf(network).endpoint("nothing", { reopen: true }));
  network.last().open();
  network.last().frame("reject", 1, { status: 404, reason: "no such endpoint" });
  const reason = "rejected with 404: no such endpoint";
  assert.deepEqual(log, [`error 404 ${reason}`, `close 1006 ${reason} unclean`]);
});

test("close while connecting gives up: error and close 1006 come after the call", async () => {
  for (const after of ["nothing", "the connection", "OPEN"]) {
    const network = pretend();
    const gateway = gatewayOf(network);
    const other = after === "OPEN" ? undefined : gateway.endpoint("other");
    if (after !== "nothing") network.last()?.open();
    const socket = gateway.endpoint("x");
    if (after === "OPEN") network.last().open();
    const log = listen(socket);
    socket.close();
    assert.deepEqual([socket.readyState, log], [2, []], after);
    await settle();
    assert.deepEqual(log, ["error 0 closed before it was open", "close 1006 unclean"]);
    other?.close();
  }
});

test("a subprotocol that was not offered fails the socket", async () => {
  const network = pretend();
  const log = listen(gatewayOf(network).endpoint("x", { protocols: "a" }));
  network.last().open();
  network.last().take();
  network.last().frame("accept", 1, { subprotocol: "b" });
  assert.deepEqual(log.map((line) => line.slice(0, 10)), ["error 0 ex", "close 1006"]);
  assert.deepEqual(network.last().takeTypes(), ["close"]);
});

test("handlers set as attributes keep their place, are replaced and taken away", async () => {
  const { socket, connection } = await opened();
  const calls = [];
  assert.equal(socket.onmessage, null);
  socket.onmessage = () => calls.push("first");
  socket.addEventListener("message", () => calls.push("listener"));
  socket.onmessage = function (event) {
    calls.push(this === socket && event.data);
  };
  connection.frame("data", 1, { payload: "x" });
  socket.onmessage = null;
  connection.frame("data", 1, { payload: "y" });
  socket.onmessage = "no function";
  assert.equal(socket.onmessage, null);
  assert.deepEqual(calls, ["x", "listener", "listener"]);
});

test("all events have their classes and fields", async () => {
  const { socket, connection } = await opened();
  const events = [];
  for (const type of ["down", "up", "close"]) socket[`on${type}`] = (event) => events.push(event);
  connection.frame("down", 1, { retry_ms: 250 });
  connection.frame("down", 1, { retry_ms: 500 });
  connection.frame("up", 1);
  connection.frame("up", 1);
  connection.frame("close", 1, { code: 1014, reason: "gone" });
  const [down, again, up, close] = events;
  assert.ok(down instanceof DownEvent && again instanceof DownEvent);
  assert.deepEqual([down.retryMs, down.cause, again.retryMs], [250, "backend", 500]);
  assert.deepEqual([up.type, close.type, close.code, close.reason, close.wasClean], ["up", "close", 1014, "gone", true]);
  assert.equal(events.length, 4, "an UP without DOWN tells nothing");
  assert.equal(typeof FailureEvent, "function");
});

test("names, queries and protocols are taken in all their forms", async () => {
  const network = pretend();
  const gateway = gatewayOf(network);
  gateway.endpoint("köln", { query: "?a=ö b&c=%20", protocols: "one" });
  gateway.endpoint("b", { query: { a: "1 2", b: "&" } });
  gateway.endpoint("c", { query: new URLSearchParams("x=y") });
  network.last().open();
  const opens = network.last().take();
  assert.deepEqual(opens.map(({ name, query, stream }) => [name, query, stream]), [
    ["köln", "a=%C3%B6%20b&c=%20", 1],
    ["b", "a=1+2&b=%26", 2],
    ["c", "x=y", 3],
  ]);
  assert.equal(network.made.length, 1);
});

test("closing the gateway closes every socket with 1000, then the connection", async () => {
  const { gateway, socket, connection, log, network } = await opened();
  const waiting = listen(gateway.endpoint("waiting"));
  socket.send("last words");
  gateway.close();
  gateway.close();
  assert.throws(() => gateway.endpoint("x"), named("InvalidStateError"));
  await settle();
  assert.deepEqual(connection.takeTypes(), ["open", "close", "data", "close"]);
  assert.deepEqual(waiting, ["error 0 closed before it was open", "close 1006 unclean"]);
  connection.frame("close", 1);
  assert.equal(connection.closedWith, null);
  connection.frame("close", 2);
  assert.deepEqual([log, connection.closedWith], [["close 1000 clean"], { code: 1000, reason: undefined }]);
  assert.equal(network.made.length, 1);
});

test("closing a gateway that is still connecting lets go of the connection", async () => {
  const network = pretend();
  const gateway = gatewayOf(network);
  const log = listen(gateway.endpoint("x"));
  gateway.close();
  await settle();
  assert.deepEqual(log.at(-1), "close 1006 unclean");
  assert.deepEqual(network.last().closedWith, { code: 1000, reason: undefined });
});

test("an exception in a handler is the application's own: the socket goes on", async (t) => {
  const { socket, connection, log } = await opened();
  const failures = [];
  process.setUncaughtExceptionCaptureCallback((error) => failures.push(error.message));
  t.after(() => process.setUncaughtExceptionCaptureCallback(null));
  socket.addEventListener("message", () => {
    throw new Error("mine");
  });
  connection.frame("data", 1, { payload: "1" });
  await settle();
  assert.deepEqual([failures, log, connection.closedWith], [["mine"], ["text 1"], null]);
});
