// Credit in both directions, fair turns, messages in pieces.

import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Assembly } from "../dist/gateway/assembly.js";
import { ReceiveCredit } from "../dist/gateway/credit.js";
import { Outbox } from "../dist/gateway/outbox.js";
import { listen, opened, settle, virtualTime } from "./pretend.mjs";

virtualTime();

const KIB = 1024;

test("a message is cut into frames of 16 KiB, as far as the credit goes", async () => {
  const { socket, connection } = await opened({ accept: { credit: 40_000 } });
  const message = Buffer.from(Array.from({ length: 50_000 }, (_, n) => n % 251));
  socket.send(message);
  await settle();
  const first = connection.take();
  assert.deepEqual(first.map(({ payload, last }) => [payload.length, last]), [[16_384, false], [16_384, false], [7_214, false]]);
  assert.equal(socket.bufferedAmount, 50_000 - 39_982);
  connection.frame("credit", 1, { credit: 6 });
  await settle();
  assert.deepEqual(connection.take(), [], "a header alone brings nothing on");
  connection.frame("credit", 1, { credit: 20_000 });
  const rest = connection.take();
  assert.deepEqual(rest.map(({ payload, last }) => [payload.length, last]), [[10_018, true]]);
  assert.deepEqual(Buffer.concat([...first, ...rest].map(({ payload }) => payload)), message);
  assert.equal(socket.bufferedAmount, 0);
});

test("an empty message goes out with credit for its header alone", async () => {
  const { socket, connection } = await opened({ accept: { credit: 16_390 } });
  socket.send(new Uint8Array(16_378));
  socket.send("");
  socket.send("");
  await settle();
  assert.deepEqual(connection.take().map(({ payload }) => payload.length), [16_378, 0]);
  connection.frame("credit", 1, { credit: 5 });
  assert.deepEqual(connection.take(), []);
  connection.frame("credit", 1, { credit: 1 });
  assert.deepEqual(connection.take().map(({ payload }) => payload.length), [0]);
});

test("sockets take turns frame by frame, and one without credit delays nobody", async () => {
  const { gateway, socket, connection } = await opened({ accept: { credit: 16_390 } });
  const others = [gateway.endpoint("b"), gateway.endpoint("c")];
  connection.frame("accept", 2, { credit: 200_000 });
  connection.frame("accept", 3, { credit: 200_000 });
  connection.take();
  for (const each of [socket, ...others]) each.send(new Uint8Array(48 * KIB));
  await settle();
  assert.deepEqual(connection.take().map(({ stream }) => stream), [1, 2, 3, 2, 3, 2, 3]);
  others[0].send("still");
  await settle();
  assert.deepEqual(connection.take().map(({ stream }) => stream), [2]);
});

test("what the WebSocket cannot take waits, and goes on by and by", async () => {
  const { socket, connection } = await opened({ accept: { credit: 1 << 20 } });
  connection.bufferedAmount = 1 << 20;
  socket.send("slow");
  await settle();
  mock.timers.tick(1_000);
  assert.deepEqual(connection.take(), []);
  connection.bufferedAmount = 0;
  mock.timers.tick(16);
  assert.deepEqual(connection.takeTypes(), ["data"]);
});

test("of many pings the newest only is answered when the WebSocket is full", async () => {
  const { connection } = await opened();
  connection.frame("ping", 1, { payload: "at once" });
  connection.bufferedAmount = 1 << 20;
  for (const payload of ["a", "b", "c"]) {
    connection.frame("ping", 1, { payload });
    connection.frame("ping", 0, { payload: `connection ${payload}` });
  }
  connection.bufferedAmount = 0;
  mock.timers.tick(16);
  const pongs = connection.take().map(({ type, stream, payload }) => `${type} ${stream} ${payload}`);
  assert.deepEqual(pongs, ["pong 1 at once", "pong 1 c", "pong 0 connection c"]);
});

test("close waits for what was sent before, credit or not", async () => {
  const { socket, connection, log } = await opened({ accept: { credit: 16_390 } });
  connection.frame("down", 1, { retry_ms: 100 });
  socket.send(new Uint8Array(20_000));
  socket.close(1000, "done");
  await settle();
  assert.deepEqual(connection.takeTypes(), ["data"]);
  connection.frame("data", 1, { payload: "too late" });
  connection.frame("down", 1, { retry_ms: 100 });
  connection.frame("up", 1);
  connection.frame("credit", 1, { credit: 10_000 });
  assert.deepEqual(connection.takeTypes(), ["data", "close"]);
  connection.frame("close", 1);
  assert.deepEqual(log, ["down backend 100", "close 1000 done clean"], "nothing else is dispatched after close, as in a browser");
});

test("a gateway that does not answer close is waited for 10 s", async () => {
  const { socket, connection, log } = await opened();
  socket.close();
  await settle();
  mock.timers.tick(9_999);
  assert.deepEqual(log, []);
  mock.timers.tick(1);
  assert.deepEqual(log, ["error 0 no answer to CLOSE", "close 1006 no answer to CLOSE unclean"]);
  connection.frame("close", 1);
  assert.equal(connection.closedWith, null, "a late answer is ignored");
});

test("credit is given back as messages are dispatched, in halves of the first", async () => {
  const { connection, log } = await opened({ gateway: { creditBytes: 40_000 } });
  for (let n = 0; n < 3; n += 1) connection.frame("data", 1, { binary: true, payload: Buffer.alloc(9_994) });
  assert.deepEqual(connection.take(), [{ type: "credit", stream: 1, credit: 20_000 }]);
  connection.frame("data", 1, { binary: true, payload: Buffer.alloc(9_994) });
  assert.deepEqual(connection.take(), [{ type: "credit", stream: 1, credit: 20_000 }]);
  assert.equal(log.length, 4);
});

test("the gateway always has credit for a full frame once everything is dispatched", () => {
  for (const first of [16_390, 16_391, 20_000, 32_780, 65_536, 1 << 20]) {
    for (const size of [0, 1, 100, 5_000, 16_384]) {
      const credit = new ReceiveCredit(first);
      let available = first;
      for (let n = 0; n < 500; n += 1) {
        credit.charge(size, 1);
        available += credit.giveBack(size) - size - 6;
        assert.ok(available >= 16_390, `${available} of ${first} after frames of ${size}`);
        assert.ok(available <= first);
      }
    }
  }
});

test("messages larger than the credit arrive, since their pieces give it back", async () => {
  const { connection, log } = await opened({ gateway: { creditBytes: 16_390 } });
  const message = Buffer.alloc(100 * KIB, "x");
  for (let at = 0; at < message.length; at += 16 * KIB) {
    const payload = message.subarray(at, at + 16 * KIB);
    connection.frame("data", 1, { last: at + payload.length === message.length, payload });
  }
  assert.equal(connection.closedWith, null);
  assert.deepEqual(log, [`text ${message}`]);
  assert.equal(connection.take().reduce((sum, { credit }) => sum + credit, 0), 100 * KIB + 7 * 6);
});

test("a message above maxMessageBytes closes its socket with 1009, and no other", async () => {
  const { gateway, connection, log } = await opened({ gateway: { maxMessageBytes: 20_000 } });
  const other = listen(gateway.endpoint("other"));
  connection.frame("accept", 2);
  connection.take();
  connection.frame("data", 1, { payload: Buffer.alloc(16_384), last: false });
  connection.frame("data", 1, { payload: Buffer.alloc(3_617), last: false });
  const reason = "expected at most 20000 bytes in a message";
  assert.deepEqual(log, [`error 0 ${reason}`, `close 1009 ${reason} unclean`]);
  assert.deepEqual(connection.take(), [{ type: "close", stream: 1, code: 1009, reason }]);
  connection.frame("data", 1, { payload: "rest" });
  connection.frame("close", 1);
  connection.frame("data", 2, { payload: "hello" });
  assert.deepEqual([other, connection.closedWith], [["open", "text hello"], null]);
});

test("text that is no UTF-8 closes its socket with 1007", async () => {
  const { connection, log } = await opened();
  connection.frame("data", 1, { payload: Buffer.from([0xff]) });
  assert.equal(log.at(-1), "close 1007 expected UTF-8 in a text message unclean");
  assert.deepEqual(connection.take().map(({ code }) => code), [1007]);
});

test("a message of a million tiny and empty pieces takes the memory of its bytes", () => {
  const assembly = new Assembly(1 << 20);
  const piece = { type: "data", stream: 1, last: false, binary: true, payload: new Uint8Array([7]) };
  const before = process.memoryUsage();
  for (let n = 0; n < (1 << 20) - 1; n += 1) {
    assert.equal(assembly.add(piece), undefined);
    if (n % 4 === 0) assembly.add({ ...piece, payload: new Uint8Array(0) });
  }
  const { bytes } = assembly.add({ ...piece, last: true });
  const after = process.memoryUsage();
  assert.ok(after.arrayBuffers - before.arrayBuffers < 64 << 20);
  assert.equal(bytes.length, 1 << 20);
  assert.equal(bytes.buffer.byteLength, 1 << 20);
  assert.equal(assembly.add({ ...piece, payload: bytes, last: true }).bytes.length, 1 << 20);
  assert.equal(assembly.add({ ...piece, payload: new Uint8Array((1 << 20) + 1) }), "too big");
});

test("the outbox keeps order and counts over many messages, cuts and rewinds", () => {
  let seed = 42;
  const random = (below) => {
    seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff;
    return seed % below;
  };
  const outbox = new Outbox(Infinity);
  const sent = [];
  const got = [];
  let unfinished = [];
  for (let step = 0; step < 20_000; step += 1) {
    const dice = random(10);
    if (dice < 4) {
      const message = Buffer.alloc(random(3) === 0 ? 0 : random(40_000), sent.length);
      sent.push(message);
      outbox.push(true, message);
    } else if (dice < 9) {
      const piece = outbox.next(random(20_000));
      if (piece === undefined) continue;
      unfinished.push(piece.payload.slice());
      if (piece.last) got.push(Buffer.concat(unfinished.splice(0)));
    } else {
      outbox.rewind();
      unfinished = [];
    }
  }
  while (!outbox.isEmpty) {
    const piece = outbox.next(16_390);
    unfinished.push(piece.payload.slice());
    if (piece.last) got.push(Buffer.concat(unfinished.splice(0)));
  }
  assert.ok(sent.length > 5_000);
  assert.equal(got.length, sent.length);
  assert.ok(got.every((message, n) => message.equals(sent[n])), "every message whole, once, in order");
  assert.equal(outbox.payloadBytes, 0);
});
