// Clients that are wrong, broken or wicked: exact close codes and reasons, and a server that lives on.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { connect as connectTcp } from "node:net";
import { after, afterEach, before, test } from "node:test";
import { Peer } from "./peer.mjs";
import { guard, Server, until } from "./server.mjs";

let server;
before(async () => {
  server = await Server.start({
    config: '[chat]\nsend_back = true\n[server.limits]\nmessage_bytes_max = "64K"\n[server.keep_alive]\nping_interval = "2s"\npong_timeout = "1s"\n',
  });
});
afterEach(() => Peer.endAll());
after(() => server?.remove());

/** Expects the server to close a connection made with this query string. */
async function checkQuery(query, code, reason) {
  const peer = await Peer.connectTo(server.messaging + query, query);
  const closed = await peer.end();
  assert.equal(closed.code, code);
  if (reason instanceof RegExp) assert.match(closed.reason, reason);
  else assert.equal(closed.reason, reason);
  return closed;
}

test("no query closes 4000", () => checkQuery("", 4000, "Id required in query parameter: ?id={id}"));
test("a query without an id closes 4000", () => checkQuery("?name=1", 4000, "Id required in query parameter: ?id={id}"));
test("an empty id closes 4000", () => checkQuery("?id=", 4000, "Id required in query parameter: ?id={id}"));

test("what is no id closes 4000 with the reason, and the server lives", async () => {
  await checkQuery("?id=%00", 4000, "Passed invalid id: id=%00. An id must not contain control characters");
  await checkQuery("?id=+4915", 4000, /^Passed invalid id: id=\+4915\. A number must not have white space around it/);
  const peer = await Peer.connect(server, 1);
  peer.say("alive", 1);
  assert.equal((await peer.text()).text, "alive");
});

test("a number beyond u64 is a name", async () => {
  const id = "99999999999999999999999";
  const peer = await Peer.connect(server, id);
  peer.send({ type: "text", sender: id, recipients: [id], text: "me" });
  assert.deepEqual((await peer.text()).recipients, [id]);
});

test("a message to too many is refused, and the connection goes on", async () => {
  const peer = await Peer.connect(server, 1);
  const recipients = Array.from({ length: 257 }, (_, n) => n + 1000);
  peer.send({ type: "text", sender: 1, recipients, text: "all", data: { ref: "all" } });
  const refused = await peer.next((message) => message.type === "notification_refused");
  assert.deepEqual([refused.data.code, refused.data.ref], ["too_many_recipients", "all"]);
  peer.send({ type: "text", sender: 1, recipients: [1, ...Array(300).fill(2)], text: "a set" });
  assert.deepEqual((await peer.text()).recipients, [1, 2]);
});

test("one right cookie among several of its name lets in", async (t) => {
  const guarded = await Server.start({ config: '[server.auth]\ntype = "cookie"\nname = "sid"\nvalue = "right"\n' });
  t.after(() => guarded.remove());
  for (const cookie of ["sid=old; sid=right", "sid=right; sid=old", 'a=b; sid="right"', ["sid=old", "sid=right"]]) {
    const peer = await Peer.connectTo(`${guarded.messaging}?id=1`, 1, { headers: { Cookie: cookie } });
    peer.say("in", 1);
    assert.equal((await peer.text()).text, "in", String(cookie));
    await peer.close();
  }
  const thief = await Peer.connectTo(`${guarded.messaging}?id=1`, 1, { headers: { Cookie: "sid=old; sid=older" } });
  assert.equal((await thief.end()).code, 4050);
});

test("the parameter name is case-insensitive and its first occurrence counts", async () => {
  const peer = await Peer.connectTo(`${server.messaging}?x=9&ID=2&id=3`, 2);
  peer.say("me", 2);
  assert.deepEqual((await peer.text()).recipients, [2]);
});

test("long reasons are cut to 123 bytes of valid UTF-8", async () => {
  // ws itself refuses a close frame above 125 bytes or with broken UTF-8, and would report 1006.
  for (const id of ["9".repeat(500), encodeURIComponent("é".repeat(300)), `x${encodeURIComponent("é".repeat(300))}`]) {
    const { reason } = await checkQuery(`?id=${id}`, 4000, /^Passed invalid id/);
    assert.ok(Buffer.byteLength(reason) <= 123, `${Buffer.byteLength(reason)} bytes: ${reason}`);
  }
});

const payloads = [
  ["", "Invalid payload. Empty message"],
  ['{"sender":1,"recipients":[2],"text":""}', "Invalid payload. $.type must be a string"],
  ['{"type":7,"sender":1,"recipients":[2],"text":""}', "Invalid payload. $.type must be a string"],
  ['{"type":"text","recipients":[2],"text":""}', "Invalid payload. $.sender must be an id: an unsigned 64-bit number or a string of 1 to 128 bytes"],
  ['{"type":"text","sender":true,"recipients":[2],"text":""}', "Invalid payload. $.sender must be an id: an unsigned 64-bit number or a string of 1 to 128 bytes"],
  ['{"type":"text","sender":1,"text":""}', "Invalid payload. $.recipients[] must be ids: unsigned 64-bit numbers or strings of 1 to 128 bytes"],
  ['{"type":"text","sender":1,"recipients":2,"text":""}', "Invalid payload. $.recipients[] must be ids: unsigned 64-bit numbers or strings of 1 to 128 bytes"],
  [
    '{"type":"text","sender":1,"recipients":[],"text":""}',
    "Invalid payload. $.recipients[] must contain at least 1 id",
  ],
  ['{"type":"text","sender":1,"recipients":[2],"text":5}', "Invalid payload. $.text must be string"],
  ['{"type":"text","sender":1,"recipients":[2]}', /^Invalid payload\. ./],
  ['{"type":"text",', /^Invalid payload\. ./],
  ["[1,2", /^Invalid payload\. ./],
  [`{"type":"text","${"k".repeat(400)}`, /^Invalid payload\. ./],
];

for (const [frame, reason] of payloads) {
  test(`the payload ${frame.slice(0, 60) || "(empty)"} closes 4001`, async () => {
    const peer = await Peer.connect(server, 1);
    peer.send(frame);
    const closed = await peer.end();
    assert.equal(closed.code, 4001);
    if (reason instanceof RegExp) assert.match(closed.reason, reason);
    else assert.equal(closed.reason, reason);
  });
}

test("a message above the limit closes 1009, whole or in fragments", async () => {
  const text = JSON.stringify({ type: "text", sender: 1, recipients: [2], text: "x".repeat(65 * 1024) });
  const whole = await Peer.connect(server, 1);
  whole.send(text);
  assert.equal((await whole.end()).code, 1009);
  const pieces = await Peer.connect(server, 1);
  for (let i = 0; i < text.length; i += 4096) pieces.send(text.slice(i, i + 4096), { fin: i + 4096 >= text.length });
  assert.equal((await pieces.end()).code, 1009);
});

test("a message just within the limit passes", async () => {
  const peer = await Peer.connect(server, 1);
  const frame = (text) => JSON.stringify({ type: "text", sender: 1, recipients: [1], text });
  const text = "x".repeat(64 * 1024 - frame("").length);
  peer.send(frame(text));
  assert.equal((await peer.text()).text, text);
});

test("a spoofed sender reaches nobody", async () => {
  for (const sender of [4, 0, "4"]) {
    const thief = await Peer.connect(server, 3);
    const victim = await Peer.connect(server, 5);
    thief.send({ type: "text", sender, recipients: [5], text: "trust me" });
    // Told by a notification or by a close code, the thief has his answer.
    const told = thief.arrival((message) => message.type === "notification_refused");
    await guard(Promise.race([told, thief.closed]), "the thief's answer");
    await server.post({ type: "text", sender: 0, recipients: [5], text: "marker" });
    assert.equal((await victim.text()).text, "marker");
    await victim.close();
  }
});

/** Bytes of one masked frame, as a client without a library sends it. */
function maskedText(text) {
  const payload = Buffer.from(text);
  assert.ok(payload.length >= 126 && payload.length < 65536);
  const mask = randomBytes(4);
  const head = Buffer.of(0x81, 0xfe, payload.length >> 8, payload.length & 0xff);
  return Buffer.concat([head, mask, payload.map((byte, i) => byte ^ mask[i % 4])]);
}

test("without credentials nothing is delivered, not even what rides with the handshake", async (t) => {
  const guarded = await Server.start({
    config: '[chat]\nsend_back = true\n[server.auth]\ntype = "basic"\nuser = "u"\npassword = "p"\n',
  });
  t.after(() => guarded.remove());
  const headers = { authorization: `Basic ${Buffer.from("u:p").toString("base64")}` };
  const victim = await Peer.connect(guarded, 2, { headers });

  for (const query of ["?id=1", "?id=2"]) {
    const peer = await Peer.connectTo(guarded.messaging + query, query);
    peer.send({ type: "text", sender: Number(query.slice(4)), recipients: [2], text: "let me in" });
    assert.deepEqual(await peer.end(), { code: 4050, reason: "Unauthorized" });
  }
  const wrong = { authorization: `Basic ${Buffer.from("u:P").toString("base64")}` };
  assert.equal((await (await Peer.connect(guarded, 1, { headers: wrong })).end()).code, 4050);

  const url = new URL(guarded.messaging);
  const envelope = { type: "text", sender: 1, recipients: [2], text: "early bird ".repeat(12) };
  const request = `GET /chat?id=1 HTTP/1.1\r\nHost: ${url.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ${randomBytes(16).toString("base64")}\r\nSec-WebSocket-Version: 13\r\n\r\n`;
  const received = [];
  const socket = connectTcp(Number(url.port), url.hostname);
  socket.on("error", () => {});
  socket.on("data", (bytes) => {
    received.push(bytes);
    // The close frame ends the server's part; answering lets it end TCP without its timer.
    if (Buffer.concat(received).includes("Unauthorized")) socket.end();
  });
  const ended = new Promise((resolve) => socket.once("close", resolve));
  socket.write(Buffer.concat([Buffer.from(request), maskedText(JSON.stringify(envelope))]));
  await guard(ended, "the end of the early connection");
  const bytes = Buffer.concat(received);
  assert.match(bytes.toString("latin1"), /^HTTP\/1\.1 101 /);
  assert.ok(bytes.includes(Buffer.from([0x0f, 0xd2])), "close code 4050 in the close frame");

  const friend = await Peer.connect(guarded, 3, { headers });
  friend.say("marker", 2);
  assert.equal((await victim.text()).text, "marker");
  assert.equal(victim.inbox.length, 0);
});

test("after a TCP reset the user is offline and later messages are kept", async () => {
  const gone = await Peer.connect(server, 20);
  await until("20 to be online", () => server.isOnline(20));
  gone.ws._socket.resetAndDestroy();
  await until("20 to be offline", async () => !(await server.isOnline(20)));
  const sender = await Peer.connect(server, 21);
  sender.say("kept", 20);
  await sender.next((message) => message.text === "kept");
  const back = await Peer.connect(server, 20);
  assert.equal((await back.text()).text, "kept");
});

test("a ping gets a pong with the same payload", async () => {
  const peer = await Peer.connect(server, 30);
  for (const payload of [Buffer.alloc(0), Buffer.from("tide"), randomBytes(125)]) {
    const pong = new Promise((resolve) => peer.ws.once("pong", resolve));
    peer.ws.ping(payload);
    assert.deepEqual(await guard(pong, "the pong"), payload);
  }
});

test("who has answered pings and then answers none is closed 4010, who never does is not", async () => {
  const answering = await Peer.connect(server, 31);
  const mute = await Peer.connect(server, 34, { autoPong: false });
  const silent = await Peer.connect(server, 32, { autoPong: false });
  silent.ws.once("ping", (payload) => silent.ws.pong(payload));
  assert.equal((await silent.end()).code, 4010);
  answering.say("are you there?", 34);
  assert.equal((await mute.text()).text, "are you there?");
  assert.equal((await answering.text()).text, "are you there?");
  answering.say("still here", 31);
  assert.equal((await answering.text()).text, "still here");
});

test("a close is answered with its code", async () => {
  for (const code of [1000, 3001, 4999]) {
    const peer = await Peer.connect(server, 33);
    peer.ws.close(code, "bye");
    assert.equal((await peer.end()).code, code);
  }
});

/** Expects the upgrade to be refused by an HTTP answer. */
async function checkRefused(path, options, statuses) {
  const peer = new Peer(new URL(path, server.messaging).href, path, options);
  const status = new Promise((resolve) => {
    peer.ws.once("unexpected-response", (request, response) => {
      resolve(response.statusCode);
      request.destroy();
    });
    peer.opened.then(() => resolve(101), (error) => resolve(error.message));
  });
  const got = await guard(status, "the refusal");
  assert.ok(statuses.includes(got), `${path} answered ${got}, expected one of ${statuses}`);
}

test("an upgrade on an unknown path is refused", () => checkRefused("/nowhere?id=1", {}, [404]));

test("a page of another origin is refused", async () => {
  const { host, port } = new URL(server.messaging);
  for (const origin of ["http://evil.example", "null", `http://${host}.evil.example`, `https://${host}`, `http://127.0.0.1:${(Number(port) % 65535) + 1}`]) {
    await checkRefused("/chat?id=1", { origin }, [403]);
  }
  const friend = await Peer.connect(server, 9, { origin: `http://${host}` });
  friend.say("same origin", 9);
  assert.equal((await friend.text()).text, "same origin");
});

test("a forged Host is refused on loopback", () =>
  checkRefused("/chat?id=1", { headers: { host: "rebound.example" } }, [400, 403, 421]));
