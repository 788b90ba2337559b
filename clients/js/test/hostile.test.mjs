// Whatever the gateway sends: nothing is thrown, the connection is closed with 1002 (4002 where a page may not use that),
// and the client goes on by its rules.

import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { decode } from "../dist/gateway/codec.js";
import { opened, settle, virtualTime } from "./pretend.mjs";
import { encode } from "./wire.mjs";

virtualTime();

const frame = (type, stream, fields) => encode({ type, stream, ...fields });

/** What breaks the rules on a connection with stream 1 open, and the reason that names what was expected. */
const WRONG = [
  ["a text message", "hello", "expected binary messages only"],
  ["a Blob", new Blob(["x"]), "expected binary messages only"],
  ["nothing", [], "expected at least 5 bytes in a frame"],
  ["a type that does not exist", [99, 0, 0, 0, 1], "expected a frame type from 1 to 11, got 99"],
  ["OPEN", frame("open", 1, { credit: 65_536, name: "x" }), "expected OPEN from the client only"],
  ["a stream that was not opened", frame("data", 2), "expected a stream of at most 1, got 2"],
  ["ACCEPT again", frame("accept", 1), "expected stream 1 to be accepted or rejected once"],
  ["REJECT after ACCEPT", frame("reject", 1, { status: 500 }), "expected stream 1 to be accepted or rejected once"],
  ["more than the credit", frame("data", 1, { payload: Buffer.alloc(65_536) }), "expected at most 65536 bytes of DATA on stream 1, got 65542"],
  ["too much credit", frame("credit", 1, { credit: 0x7fffffff }), "expected the credit of stream 1 to stay below 2^31"],
  ["flags that are reserved", [4, 0, 0, 0, 1, 4], "expected reserved flags to be 0 in DATA"],
  ["a reason that is no text", [6, 0, 0, 0, 1, 3, 232, 255], "expected UTF-8 as reason of CLOSE"],
];

for (const [name, data, reason] of WRONG) {
  for (const [like, code] of [["ws", 1002], ["browser", 4002]]) {
    test(`h5: ${name} ends the connection (${like})`, async () => {
      const { connection, log, gateway } = await opened({ like, gateway: { reconnect: false } });
      if (Array.isArray(data) || Buffer.isBuffer(data)) connection.receiveBytes(data);
      else connection.receive(data);
      assert.deepEqual(connection.closedWith, { code, reason });
      assert.ok(Buffer.byteLength(reason) <= 123);
      assert.deepEqual(log, [`close 1006 protocol error: ${reason} unclean`]);
      assert.equal(gateway.isConnected, false);
    });
  }
}

test("h5: a frame that changes the kind of a message ends the connection", async () => {
  const { connection } = await opened();
  connection.frame("data", 1, { last: false });
  connection.frame("data", 1, { binary: true });
  assert.equal(connection.closedWith.reason, "expected all frames of a message to be of one kind on stream 1");
});

test("h5: a gateway that does not choose the subprotocol is none", async () => {
  const { network, connection, gateway } = await opened();
  connection.drop();
  mock.timers.tick(500);
  network.last().open("chat");
  assert.deepEqual(network.last().closedWith, { code: 1002, reason: "expected the subprotocol tidewire.mux.v1" });
  assert.equal(gateway.isConnected, false);
});

test("h5: nothing is heard of a connection that was ended", async () => {
  const { connection, log } = await opened({ gateway: { reconnect: false } });
  const { onmessage } = connection;
  connection.receive("text");
  onmessage({ data: Uint8Array.from(frame("data", 1)).buffer });
  connection.drop();
  assert.equal(log.length, 1);
});

function generator(seed) {
  let state = seed;
  return (below) => {
    // Numerical Recipes' numbers; the high bits are the random ones.
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test("h5: any bytes decode to a frame or a ProtocolError", () => {
  const random = generator(1);
  let frames = 0;
  for (let n = 0; n < 200_000; n += 1) {
    const bytes = Uint8Array.from({ length: random(24) }, () => random(256));
    if (bytes.length > 4) bytes.set([random(13), 0, 0, 0, random(2)]);
    try {
      decode(bytes.buffer);
      frames += 1;
    } catch (error) {
      assert.equal(error.name, "ProtocolError", `${Buffer.from(bytes).toString("hex")}: ${error.stack}`);
    }
  }
  assert.ok(frames > 10_000, `${frames} frames`);
});

test("h5: any sequence of frames throws nothing, and ends every socket at most once", async () => {
  const answers = ["accept", "accept", "accept", "reject"];
  const others = ["data", "data", "data", "credit", "close", "ping", "pong", "down", "up", "goaway"];
  let clean = 0;
  for (let seed = 1; seed <= 2_000; seed += 1) {
    const random = generator(seed);
    const { gateway, network, connection, socket, log } = await opened({ gateway: { reconnect: false } });
    const sockets = [socket, gateway.endpoint("b"), gateway.endpoint("c")];
    const accepted = new Set([1]);
    const closes = sockets.map(() => 0);
    sockets.forEach((each, n) => each.addEventListener("close", () => (closes[n] += 1)));
    for (let step = 0; step < 12 && !connection.closedWith; step += 1) {
      // Mostly what may come, so that much is played before the first mistake.
      const stream = random(30) === 0 ? 4 : 1 + random(3);
      const answered = accepted.has(stream) !== (random(30) === 0);
      const type = answered ? others[random(others.length)] : answers[random(answers.length)];
      accepted.add(stream);
      const fields = {
        credit: 20_000 + random(1_000),
        status: 400 + random(200),
        code: random(2) ? 1000 : 4000,
        retry_ms: random(1_000),
        within_ms: random(1_000),
        last: random(3) > 0,
        binary: random(8) === 0,
        payload: "x".repeat(random(20)),
      };
      connection.frame(type, type === "goaway" ? 0 : stream, fields);
      const target = sockets[random(3)];
      if (random(6) === 0) target.close();
      if (random(3) === 0 && target.readyState !== 0) target.send("y".repeat(random(100)));
      if (random(4) === 0) await settle();
    }
    if (connection.closedWith?.code !== 1002) {
      clean += 1;
      // A socket refused after GOAWAY has moved to another connection.
      for (const each of network.made) if (!each.closedWith) each.drop();
    } else {
      network.made.slice(1).forEach((each) => each.drop());
      assert.match(connection.closedWith.reason, /^expected /);
    }
    await settle();
    assert.deepEqual(sockets.map(({ readyState }) => readyState), [3, 3, 3], `seed ${seed}`);
    assert.deepEqual(closes, [1, 1, 1], `seed ${seed}: ${log}`);
    gateway.close();
  }
  assert.ok(clean > 500 && clean < 1_500, `${clean} of 2000 were within the rules`);
});
