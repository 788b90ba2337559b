// The client over real sockets: npm `ws` on both sides.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { test } from "node:test";
import WebSocket from "ws";
import { Gateway } from "../dist/index.js";
import { FakeGateway } from "./fake-gateway.mjs";
import { listen } from "./pretend.mjs";

async function start(t, options, WebSocketClass = WebSocket) {
  const fake = await FakeGateway.start();
  const gateway = new Gateway(fake.url, { WebSocket: WebSocketClass, reconnect: { minMs: 1, maxMs: 5 }, ...options });
  t.after(async () => {
    gateway.close();
    await fake.stop();
  });
  return { fake, gateway };
}

/** The next `count` messages of a socket. */
function messages(socket, count) {
  const received = [];
  return new Promise((resolve) => {
    socket.addEventListener("message", ({ data }) => received.push(data) === count && resolve(received));
  });
}

test("twenty sockets over one connection echo large and small messages, each in its order", async (t) => {
  const { fake, gateway } = await start(t);
  fake.echo();
  await Promise.all(
    Array.from({ length: 20 }, async (_, n) => {
      const socket = gateway.endpoint(`echo ${n}`, { protocols: ["p", `p${n}`] });
      socket.binaryType = "arraybuffer";
      await once(socket, "open");
      assert.equal(socket.protocol, `p${n}`);
      const sent = [randomBytes(300_000), "small", randomBytes(0), `ö${n}`.repeat(50_000), randomBytes(65_536 * 2)];
      const echoed = messages(socket, sent.length);
      for (const message of sent) socket.send(message);
      for (const [index, data] of (await echoed).entries()) {
        if (typeof sent[index] === "string") assert.ok(data === sent[index]);
        else assert.ok(sent[index].equals(Buffer.from(data)), `message ${index} of socket ${n}`);
      }
      socket.close(1000, "done");
      const [event] = await once(socket, "close");
      assert.deepEqual([event.code, event.reason, event.wasClean], [1000, "", true]);
    }),
  );
});

test("an endpoint that is not there, one that kicks, and one that goes down and up", async (t) => {
  const { fake, gateway } = await start(t);
  fake.echo();
  const sockets = ["nothing", "kick", "flap"].map((name) => gateway.endpoint(name));
  const logs = sockets.map(listen);
  await Promise.all([once(sockets[0], "close"), once(sockets[1], "close"), once(sockets[2], "up")]);
  const reason = "rejected with 404: no such endpoint";
  assert.deepEqual(logs, [
    [`error 404 ${reason}`, `close 1006 ${reason} unclean`],
    ["open", "close 4001 kicked clean"],
    ["open", "down backend 10", "up"],
  ]);
});

test("a gateway that is killed and started again gets its sockets and their messages back", async (t) => {
  const { fake, gateway } = await start(t);
  const socket = gateway.endpoint("chat", { reopen: true });
  const log = listen(socket);
  const first = await fake.accept();
  first.echo();
  await once(socket, "open");
  socket.send("one");
  await once(socket, "message");
  const down = once(socket, "down");
  await fake.stop();
  await down;
  socket.send("two");
  socket.send("three");
  const again = await FakeGateway.start({ port: fake.port });
  t.after(() => again.stop());
  const received = messages(socket, 2);
  (await again.accept()).echo();
  assert.deepEqual(await received, ["two", "three"]);
  const told = log.filter((line) => !line.startsWith("down"));
  assert.deepEqual(told, ["open", "text one", "up", "text two", "text three"]);
});

test("sockets without reopen are closed when the connection drops, and new ones work", async (t) => {
  const { fake, gateway } = await start(t);
  fake.echo();
  const socket = gateway.endpoint("drop");
  await once(socket, "open");
  socket.send("x");
  const [event] = await once(socket, "close");
  assert.deepEqual([event.code, event.wasClean], [1006, false]);
  const next = gateway.endpoint("echo");
  await once(next, "open");
  const echoed = messages(next, 1);
  next.send("back");
  assert.deepEqual(await echoed, ["back"]);
});

test("h5: garbage from the gateway is answered with 1002 and the rule", async (t) => {
  const { fake, gateway } = await start(t, { reconnect: false });
  const socket = gateway.endpoint("x");
  const link = await fake.accept();
  await link.next("open");
  link.raw(Buffer.from("ff00000001", "hex"));
  assert.deepEqual(await link.closed, { code: 1002, reason: "expected a frame type from 1 to 11, got 255" });
  assert.equal(socket.readyState, 3);
});

test("the server that does not know the protocol is left with 1002", async (t) => {
  const { WebSocketServer } = await import("ws");
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols: () => "tidewire.mux.v2" });
  t.after(() => server.close());
  await once(server, "listening");
  const gateway = new Gateway(`ws://127.0.0.1:${server.address().port}`, { WebSocket, reconnect: false });
  const socket = gateway.endpoint("x");
  await once(socket, "close");
  assert.equal(gateway.isConnected, false);
});

test("a gateway that is not there fails the socket", async (t) => {
  const { fake, gateway } = await start(t, { reconnect: false });
  await fake.stop();
  const socket = gateway.endpoint("x");
  const [event] = await once(socket, "close");
  assert.deepEqual([event.code, socket.readyState], [1006, 3]);
});

test("a flow of 15 MiB through 64 KiB of credit, both ways", async (t) => {
  const { fake, gateway } = await start(t);
  fake.echo();
  const socket = gateway.endpoint("echo");
  socket.binaryType = "arraybuffer";
  await once(socket, "open");
  const message = randomBytes(1 << 20);
  const done = messages(socket, 15);
  for (let n = 0; n < 15; n += 1) socket.send(message);
  for (const data of await done) assert.ok(message.equals(Buffer.from(data)));
  assert.equal(socket.bufferedAmount, 0);
});

test("Node's own WebSocket works as well", { skip: typeof globalThis.WebSocket !== "function" && "Node has none before 22" }, async (t) => {
  const { fake, gateway } = await start(t, {}, undefined);
  fake.echo();
  const socket = gateway.endpoint("echo");
  await once(socket, "open");
  socket.send("hello");
  assert.deepEqual(await messages(socket, 1), ["hello"]);
});
