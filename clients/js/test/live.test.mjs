// The client with a gateway that runs: GATEWAY_URL is its address, GATEWAY_ENDPOINT (default "echo") an endpoint of it that
// echoes. Skipped without GATEWAY_URL, unless GATEWAY_REQUIRED is set: then that fails.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { test } from "node:test";
import WebSocket from "ws";
import { Gateway } from "../dist/index.js";

const url = process.env.GATEWAY_URL ?? "";
const name = process.env.GATEWAY_ENDPOINT ?? "echo";
const skip = url === "" && "GATEWAY_URL is not set";

test("GATEWAY_URL is set where it is required", { skip: !process.env.GATEWAY_REQUIRED && "GATEWAY_REQUIRED is not set" }, () => {
  assert.notEqual(url, "");
});

function connect(t, options) {
  const gateway = new Gateway(url, { WebSocket, ...options });
  t.after(() => gateway.close());
  return gateway;
}

/** Sends these and gives what comes back. */
function echoes(socket, messages) {
  const received = [];
  return new Promise((resolve, reject) => {
    socket.binaryType = "arraybuffer";
    socket.addEventListener("close", ({ code, reason }) => reject(new Error(`closed with ${code} ${reason}`)));
    socket.addEventListener("message", ({ data }) => {
      received.push(typeof data === "string" ? data : Buffer.from(data));
      if (received.length === messages.length) resolve(received);
    });
    for (const message of messages) socket.send(message);
  });
}

test("text and binary of many sizes come back as they were", { skip }, async (t) => {
  const socket = connect(t).endpoint(name);
  await once(socket, "open");
  const sizes = [0, 1, 125, 126, 16_384, 16_385, 65_536, 300_000, 1 << 20];
  const messages = sizes.flatMap((size) => [randomBytes(size), "ö".repeat(size / 2)]);
  const received = await echoes(socket, messages);
  for (const [index, message] of messages.entries()) {
    assert.ok(typeof message === "string" ? message === received[index] : message.equals(received[index]), `message ${index}`);
  }
});

test("fifty sockets share a connection, each in its order", { skip }, async (t) => {
  const gateway = connect(t);
  await Promise.all(
    Array.from({ length: 50 }, async (_, n) => {
      const socket = gateway.endpoint(name);
      await once(socket, "open");
      const messages = Array.from({ length: 40 }, (_, m) => `${n}/${m} `.repeat(1 + ((n * m) % 500)));
      assert.deepEqual(await echoes(socket, messages), messages);
    }),
  );
});

test("the name is found in any case of letters, and an unknown one is refused with 404", { skip }, async (t) => {
  const gateway = connect(t);
  await once(gateway.endpoint(name.toUpperCase()), "open");
  const unknown = gateway.endpoint("nothing");
  const [error] = await once(unknown, "error");
  assert.equal(error.status, 404);
});

test("close is a closing handshake with code and reason", { skip }, async (t) => {
  const socket = connect(t).endpoint(name);
  await once(socket, "open");
  socket.close(3001, "enough");
  const [event] = await once(socket, "close");
  assert.equal(event.wasClean, true);
});

test("pings do not disturb what is sent", { skip }, async (t) => {
  const gateway = connect(t, { keepAlive: { everyMs: 1, withinMs: 10_000 } });
  let losses = 0;
  gateway.addEventListener("down", () => (losses += 1));
  const socket = gateway.endpoint(name);
  await once(socket, "open");
  const messages = Array.from({ length: 500 }, (_, n) => `${n}`);
  assert.deepEqual(await echoes(socket, messages), messages);
  assert.equal(losses, 0);
});
