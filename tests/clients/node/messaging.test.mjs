// What old clients do every day: plain envelopes between users with many devices, some of them away.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { Peer } from "./peer.mjs";
import { Server, until } from "./server.mjs";

let plain;
let chatty;
before(async () => {
  plain = await Server.start({ config: "[chat]\nsend_back = false\ndelivery_status = false\n" });
  chatty = await Server.start({ config: "[chat]\nsend_back = true\ndelivery_status = true\n" });
});
afterEach(() => Peer.endAll());
after(() => Promise.all([plain?.remove(), chatty?.remove()]));

const numbered = (count) => Array.from({ length: count }, (_, i) => `message ${i}`);

test("two users exchange messages in the documented form", async () => {
  const one = await Peer.connect(plain, 1);
  const two = await Peer.connect(plain, 2);
  one.send({ type: "text", sender: 1, recipients: [2], text: "hello", data: { any: ["thing", null, 1.5] } });
  const got = await two.text();
  assert.equal(got.isBinary, false, "everything is sent as a text frame");
  const { raw, isBinary, ...message } = got;
  assert.deepEqual(Object.keys(message), ["data", "id", "recipients", "sender", "text", "timestamp", "type"]);
  assert.match(message.id, /^[0-9A-F]{8}-[0-9A-F]{8}-[0-9A-F]{4}-[0-9A-F]{8}$/);
  assert.match(message.timestamp, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d$/);
  assert.deepEqual(message.data, { any: ["thing", null, 1.5] });
  assert.deepEqual([message.sender, message.recipients, message.text, message.type], [1, [2], "hello", "text"]);
  assert.ok(raw.startsWith('{"data":{"any":["thing",null,1.5]},"id":"'), `compact JSON expected: ${raw}`);
  two.say("hello yourself", 1);
  assert.equal((await one.text()).text, "hello yourself");
});

test("a missing data is null and a string timestamp is kept", async () => {
  const one = await Peer.connect(plain, 11);
  const two = await Peer.connect(plain, 12);
  const timestamp = "2018-11-27 22:53:30.123456+03:00";
  one.send({ type: "text", sender: 11, recipients: [12], text: "", timestamp });
  const got = await two.text();
  assert.equal(got.data, null);
  assert.equal(got.timestamp, timestamp);
});

test("free types need no text", async () => {
  const one = await Peer.connect(plain, 13);
  const two = await Peer.connect(plain, 14);
  one.send({ type: "imageUrl", sender: 13, recipients: [14], data: { url: "x" } });
  const got = await two.next();
  assert.deepEqual([got.type, got.text, got.data], ["imageUrl", "", { url: "x" }]);
});

test("names work as ids and the largest number keeps its digits", async () => {
  const bob = await Peer.connect(plain, "bøb & co");
  const big = await Peer.connect(plain, "18446744073709551615");
  bob.send('{"type":"text","sender":"bøb & co","recipients":[18446744073709551615],"text":"to the edge"}');
  const got = await big.text();
  assert.equal(got.sender, "bøb & co");
  assert.ok(got.raw.includes('"recipients":[18446744073709551615]'), got.raw);
});

test("several recipients all see the full list", async () => {
  const ids = [22, 23, "carol"];
  const sender = await Peer.connect(plain, 21);
  const peers = await Promise.all(ids.map((id) => Peer.connect(plain, id)));
  sender.say("to all", ...ids);
  for (const peer of peers) assert.deepEqual((await peer.text()).recipients, ids);
});

test("every connection of a user gets every message", async () => {
  const sender = await Peer.connect(plain, 31);
  const devices = await Promise.all([1, 2, 3].map(() => Peer.connect(plain, 32)));
  // An upgrade answered is not yet a device known: each one speaks once.
  for (const device of devices) {
    device.say("here", 31);
    await sender.text();
  }
  sender.say("to each", 32);
  const ids = await Promise.all(devices.map(async (device) => (await device.text()).id));
  assert.equal(new Set(ids).size, 1, "one message has one id");
});

test("a user who was away finds the missed messages in order", async () => {
  const sender = await Peer.connect(chatty, 41);
  const first = await Peer.connect(chatty, 42);
  await first.close();
  await until("42 to be offline", async () => !(await chatty.isOnline(42)));
  for (const text of numbered(100)) sender.say(text, 42, 43);
  const back = await Peer.connect(chatty, 42);
  for (const text of numbered(100)) {
    const got = await back.text();
    assert.equal(got.text, text);
    // Nobody learns who else had missed it, and a live copy shows everybody.
    assert.ok([[42], [42, 43]].some((list) => JSON.stringify(list) === JSON.stringify(got.recipients)));
  }
});

test("messages that fit the send queue one at a time all arrive", async (t) => {
  const narrow = await Server.start({ config: '[chat]\nsend_back = true\n[server.limits]\nsend_queue_bytes_max = "16K"\n' });
  t.after(() => narrow.remove());
  const sender = await Peer.connect(narrow, 44);
  const texts = numbered(20).map((text) => text + "x".repeat(10 * 1024));
  for (const text of texts) sender.say(text, 45);
  await until("all to be accepted", async () => (await narrow.stat(44)).sentMessages === texts.length);
  const back = await Peer.connect(narrow, 45);
  for (const text of texts) assert.equal((await back.text()).text, text);
});

test("fragmented and binary messages are read like text", async () => {
  const one = await Peer.connect(plain, 51);
  const two = await Peer.connect(plain, 52);
  const frame = JSON.stringify({ type: "text", sender: 51, recipients: [52], text: "in pieces: ü" });
  const bytes = Buffer.from(frame);
  // Every cut, also one inside the two bytes of ü.
  for (const byte of bytes.subarray(0, -1)) one.send(Buffer.of(byte), { binary: false, fin: false });
  one.send(bytes.subarray(-1), { binary: false, fin: true });
  one.send(Buffer.from(frame.replace("pieces", "binary")), { binary: true });
  assert.deepEqual(await two.texts(2), ["in pieces: ü", "in binary: ü"]);
});

test("two devices of one user may interleave their fragments", async () => {
  const devices = [await Peer.connect(plain, 61), await Peer.connect(plain, 61)];
  const reader = await Peer.connect(plain, 62);
  const frames = ["a", "b"].map((letter) =>
    Buffer.from(JSON.stringify({ type: "text", sender: 61, recipients: [62], text: letter.repeat(4000) })),
  );
  const pieces = 40;
  const size = Math.ceil(frames[0].length / pieces);
  for (let i = 0; i < pieces; i += 1) {
    for (const [n, device] of devices.entries()) {
      // A ping answered proves that the server has read this piece before the other device sends its next.
      const pong = new Promise((resolve) => device.ws.once("pong", resolve));
      device.send(frames[n].subarray(i * size, (i + 1) * size), { binary: false, fin: i === pieces - 1 });
      device.ws.ping();
      await pong;
    }
  }
  assert.deepEqual((await reader.texts(2)).sort(), ["a".repeat(4000), "b".repeat(4000)]);
});

test("the sender's devices get a copy, and a receipt that names the message", async () => {
  const one = await Peer.connect(chatty, 71);
  const other = await Peer.connect(chatty, 71);
  other.say("present", 71);
  await other.text();
  const two = await Peer.connect(chatty, 72);
  one.send({ type: "text", sender: 71, recipients: [72], text: "hi", data: { ref: "r1" } });
  const isIt = (message) => message.type === "text" && message.text === "hi";
  const got = await two.next(isIt);
  for (const device of [one, other]) {
    const copy = await device.next(isIt);
    assert.deepEqual([copy.id, copy.timestamp, copy.data], [got.id, got.timestamp, { ref: "r1" }]);
  }
  const receipt = await one.next((message) => message.type === "notification_received" && message.data?.id === got.id);
  assert.equal(receipt.data.recipient, 72);
  assert.deepEqual(
    [receipt.id, receipt.recipients, receipt.sender, receipt.text, receipt.timestamp],
    ["00000000-00000000-0000-00000000", [71], 0, "", ""],
  );
});

test("a full mailbox is told to the sender", async (t) => {
  const small = await Server.start({ config: "[chat]\nsend_back = true\n[mailbox]\nuser_messages_max = 3\nsender_share_percent = 100\n" });
  t.after(() => small.remove());
  const sender = await Peer.connect(small, 81);
  for (const text of numbered(4)) sender.send({ type: "text", sender: 81, recipients: [82], text, data: { ref: text } });
  const refusal = await sender.next((message) => message.type === "notification_refused");
  assert.ok(refusal.text.length > 0, "a reason for people");
  assert.ok(refusal.data.code, "a code for programs");
  const reader = await Peer.connect(small, 82);
  assert.deepEqual(await reader.texts(3), numbered(3));
});
