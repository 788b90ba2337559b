// The REST interface of old back ends, byte for byte, and the newer paths beside it.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { Peer } from "./peer.mjs";
import { Server, until } from "./server.mjs";

let server;
before(async () => (server = await Server.start()));
afterEach(() => Peer.endAll());
after(() => server?.remove());

const json = { "content-type": "application/json" };

async function check(method, path, status, text, options = {}) {
  const answer = await server.call(method, path, options);
  assert.equal(answer.status, status, answer.text);
  if (text instanceof RegExp) assert.match(answer.text, text);
  else assert.equal(answer.text, text);
  if (text !== "") assert.match(answer.type, /^application\/json/);
}

const error = (status, message) => JSON.stringify({ message, status, success: false });

test("check-online follows a connection", async () => {
  await check("GET", "/check-online?id=1", 200, '{"data":{"isOnline":false},"success":true}');
  const peer = await Peer.connect(server, 1);
  await until("1 to be online", () => server.isOnline(1));
  await check("GET", "/check-online?id=1", 200, '{"data":{"isOnline":true},"success":true}');
  await peer.close();
  await until("1 to be offline", async () => !(await server.isOnline(1)));
});

for (const path of ["/stat", "/check-online"]) {
  test(`${path} tells what is wrong with the id`, async () => {
    await check("GET", path, 400, error(400, "Id required"));
    await check("GET", `${path}?id=`, 400, error(400, "Id required"));
    await check("GET", `${path}?id=%00`, 400, error(400, "Invalid id: an id must not contain control characters"));
    await check("GET", `${path}?id=%ff`, 400, error(400, "Invalid id: expected percent-encoded UTF-8"));
    assert.equal((await server.call("GET", `${path}?id=99999999999999999999999`)).status, 200, "a name");
  });
}

const STAT_KEYS = [
  "bytesTransferred", "connectedTimes", "disconnectedTimes", "id", "isOnline", "lastConnection", "lastMessageTime",
  "receivedMessages", "sentMessages", "timeInactivity", "timeOffline", "timeOnline",
];

test("an unknown user has a statistic of zeros", async () => {
  const zeros = Object.fromEntries(STAT_KEYS.map((key) => [key, 0]));
  const data = { ...zeros, id: 404, isOnline: false };
  await check("GET", "/stat?id=404", 200, JSON.stringify({ data, success: true }));
});

test("statistics count connections and messages", async () => {
  const one = await Peer.connect(server, 10);
  const two = await Peer.connect(server, "eleven");
  one.say("count me", "eleven");
  await two.text();
  const stat = async (id) => JSON.parse((await server.call("GET", `/stat?id=${id}`)).text).data;
  const sender = await until("the sender's count", async () => ((await stat(10)).sentMessages === 1 ? stat(10) : null));
  assert.deepEqual(Object.keys(sender), STAT_KEYS);
  assert.deepEqual([sender.id, sender.isOnline, sender.connectedTimes, sender.disconnectedTimes], [10, true, 1, 0]);
  assert.ok(sender.lastConnection > 1_500_000_000 && sender.timeOffline === 0);
  const reader = await until("the reader's count", async () => ((await stat("eleven")).receivedMessages === 1 ? stat("eleven") : null));
  assert.equal(reader.id, "eleven");
  const all = JSON.parse((await server.call("GET", "/stats")).text);
  assert.equal(all.success, true);
  for (const id of [10, "eleven"]) {
    const found = all.data.find((entry) => entry.id === id);
    assert.deepEqual(Object.keys(found), STAT_KEYS);
  }
});

test("send-message answers 202 with the id and delivers", async () => {
  const peer = await Peer.connect(server, 20);
  const message = (text) => JSON.stringify({ type: "text", sender: 0, recipients: [20], text });
  const sent = /^\{"data":\{"id":"[-0-9A-F]{31}","refused":\[\]\},"success":true\}$/;
  await check("POST", "/send-message", 202, sent, { body: message("plain"), headers: json });
  const headers = { "content-type": "application/json; charset=utf-8" };
  await check("POST", "/send-message", 202, sent, { body: message("with a charset"), headers });
  assert.deepEqual(await peer.texts(2), ["plain", "with a charset"]);
});

test("send-message keeps a message for a user who is away", async () => {
  await server.post({ type: "text", sender: 0, recipients: [21], text: "later" });
  const got = await (await Peer.connect(server, 21)).text();
  assert.deepEqual([got.sender, got.recipients, got.text], [0, [21], "later"]);
});

const bodies = [
  ["", "Empty message"],
  ['{"sender":0,"recipients":[1],"text":""}', "Invalid payload: $.type must be a string"],
  ['{"type":"text","recipients":[1],"text":""}', "Invalid payload: $.sender must be an id: an unsigned 64-bit number or a string of 1 to 128 bytes"],
  ['{"type":"text","sender":0,"text":""}', "Invalid payload: $.recipients[] must be ids: unsigned 64-bit numbers or strings of 1 to 128 bytes"],
  ['{"type":"text","sender":0,"recipients":[],"text":""}', "Invalid payload: $.recipients[] must contain at least 1 id"],
  ['{"type":"text","sender":0,"recipients":[1],"text":1}', "Invalid payload: $.text must be string"],
  ['{"type":"text","sender":1,"recipients":[0],"text":""}', "Can't send message to bot through the api"],
];

for (const [body, message] of bodies) {
  test(`send-message refuses ${body || "an empty body"}`, () =>
    check("POST", "/send-message", 400, error(400, message), { body, headers: json }));
}

test("send-message refuses broken JSON with the parser's words", async () => {
  const answer = await server.call("POST", "/send-message", { body: '{"type":', headers: json });
  const body = JSON.parse(answer.text);
  assert.deepEqual([answer.status, body.status, body.success], [400, 400, false]);
  assert.match(body.message, /^Invalid payload: ./);
});

test("send-message insists on its content type", async () => {
  const body = JSON.stringify({ type: "text", sender: 0, recipients: [1], text: "" });
  for (const headers of [{ "content-type": "text/plain" }, { "content-type": "application/jsonx" }]) {
    await check("POST", "/send-message", 400, error(400, "Content-Type must be application/json"), { body, headers });
  }
});

test("HEAD /status is 200 and empty", () => check("HEAD", "/status", 200, ""));

test("an unknown path is 404 and a wrong method 405, with the usual error body", async () => {
  for (const [method, path, status] of [["GET", "/nowhere", 404], ["POST", "/stats", 405], ["GET", "/send-message", 405]]) {
    const answer = await server.call(method, path);
    assert.equal(answer.status, status, `${method} ${path}`);
    const body = JSON.parse(answer.text);
    assert.deepEqual([Object.keys(body), body.status, body.success], [["message", "status", "success"], status, false]);
  }
});

test("health, metrics and the API description are there", async () => {
  assert.equal((await server.call("GET", "/health")).status, 200);
  const metrics = await server.call("GET", "/metrics");
  assert.equal(metrics.status, 200);
  assert.match(metrics.text, /^# TYPE \S+ (counter|gauge|histogram)$/m);
  const api = await server.call("GET", "/openapi.json");
  assert.equal(api.status, 200);
  const { openapi, paths } = JSON.parse(api.text);
  assert.match(openapi, /^3\./);
  for (const path of ["/stats", "/stat", "/check-online", "/send-message", "/status"]) assert.ok(path in paths, path);
});

test("the web chat learns who is online from the messaging listener", async () => {
  await Promise.all([Peer.connect(server, 30), Peer.connect(server, "thirty-one")]);
  const online = await until("both to be listed", async () => {
    const body = await (await fetch(new URL("webchat/online", server.web))).json();
    assert.equal(body.success, true);
    return [30, "thirty-one"].every((id) => body.data.includes(id)) ? body : null;
  });
  assert.deepEqual(Object.keys(online), ["data", "success"]);
});
