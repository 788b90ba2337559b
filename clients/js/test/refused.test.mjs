// Why a gateway cannot be reached, or refuses: what the caller hears, as far as the platform tells it.
//
// Other inputs of this kind: the statuses 401, 403, 404, 429 and 503; the words of npm `ws` (on a real socket), of React Native on iOS
// and Android, of Node's own WebSocket, and of browsers, which say nothing; a gateway that accepts and closes with a reason; sockets that
// open, that are reopened, and the gateway's own events.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import WebSocket from "ws";
import { Gateway } from "../dist/index.js";
import { listen, opened, pretend } from "./pretend.mjs";

/** Drops a connection as a platform does that says this. */
function refuse(connection, event) {
  connection.onerror?.(event);
  connection.onclose?.({ code: 1006, reason: "" });
}

for (const status of [401, 403, 404, 429, 503]) {
  test(`a refusal with ${status} reaches the socket and the gateway, with its status and in words`, async (t) => {
    const server = createServer().listen(0, "127.0.0.1");
    server.on("upgrade", (_request, socket) => socket.end(`HTTP/1.1 ${status} X\r\nContent-Length: 0\r\n\r\n`));
    await once(server, "listening");
    const gateway = new Gateway(`ws://127.0.0.1:${server.address().port}/`, { WebSocket });
    t.after(() => {
      gateway.close();
      server.close();
    });
    const socket = gateway.endpoint("echo");
    const [[down], [error], [close]] = await Promise.all(
      [[gateway, "down"], [socket, "error"], [socket, "close"]].map(
        ([target, type]) => new Promise((resolve) => target.addEventListener(type, (event) => resolve([event]), { once: true })),
      ),
    );
    assert.deepEqual([down.status, error.status, close.code], [status, status, 1006]);
    for (const text of [down.reason, error.message, close.reason]) assert.match(text, new RegExp(`\\b${status}\\b`));
  });
}

for (const [platform, event, status, words] of [
  ["npm ws", { message: "Unexpected server response: 401", error: new Error("…") }, 401, /Unexpected server response: 401/],
  ["React Native on iOS", { message: "Received bad response code from server: 403." }, 403, /bad response code/],
  ["React Native on Android", { message: "Expected HTTP 101 response but was '429 Too Many Requests'" }, 429, /but was '429/],
  ["Node", { error: new TypeError("Received network error or non-101 status code.") }, 0, /network error/],
  ["a name without an address", { message: "getaddrinfo ENOTFOUND gateway.test" }, 0, /ENOTFOUND/],
  ["a port where nothing listens", { message: "connect ECONNREFUSED 127.0.0.1:500" }, 0, /ECONNREFUSED/],
  ["a browser", {}, 0, /closed: 1006 \(not reachable, or refused .* see the browser's console and the gateway's log\)$/],
  ["a platform without an event", undefined, 0, /the platform does not tell which/],
]) {
  test(`the words of ${platform} are passed on`, async () => {
    const network = pretend();
    const gateway = new Gateway("ws://gateway.test/", { WebSocket: network.WebSocket });
    const downs = [];
    gateway.addEventListener("down", ({ status, reason }) => downs.push([status, reason]));
    const log = listen(gateway.endpoint("echo"));
    refuse(network.last(), event);
    gateway.close();
    assert.equal(downs[0][0], status);
    assert.match(downs[0][1], words);
    assert.match(log[0], new RegExp(`^error ${status} `));
    assert.match(log[0], words);
  });
}

test("a socket that is reopened is told why it has to wait", async () => {
  const { gateway, network, socket, connection } = await opened({ endpoint: { reopen: true }, gateway: { reconnect: { minMs: 1 } } });
  const downs = [];
  socket.addEventListener("down", ({ status, reason }) => downs.push([status, reason]));
  connection.drop(1008, "token expired");
  while (network.made.length === 1) await new Promise((resolve) => setTimeout(resolve, 1));
  refuse(network.last(), { message: "Unexpected server response: 401" });
  gateway.close();
  assert.match(downs[0][1], /1008 token expired/);
  assert.equal(downs.at(-1)[0], 401);
});

test("what a connection said before it was open is not its end's reason", async () => {
  const { gateway, connection, log } = await opened();
  connection.onerror?.({ message: "Unexpected server response: 401" });
  connection.drop(1011, "later");
  gateway.close();
  assert.equal(log[0], "close 1006 the connection to the gateway was closed: 1011 later unclean");
});
