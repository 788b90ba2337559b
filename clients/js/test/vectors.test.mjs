// The golden vectors that all implementations share: conformance/mux/vectors.json.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import * as codec from "../dist/gateway/codec.js";
import { Gateway } from "../dist/index.js";
import { listen, pretend, settle, virtualTime } from "./pretend.mjs";
import * as wire from "./wire.mjs";

virtualTime();

const vectors = JSON.parse(await readFile(new URL("../../../conformance/mux/vectors.json", import.meta.url), "utf8"));

const bytesOf = ({ hex, zeros = 0 }) => Buffer.concat([Buffer.from(hex, "hex"), Buffer.alloc(zeros)]);
const bufferOf = (bytes) => Uint8Array.from(bytes).buffer;
const payloadOf = ({ frame, zeros = 0 }) => Buffer.concat([Buffer.from(frame.payload, "hex"), Buffer.alloc(zeros)]);

/** A frame of ours in the words of the vectors. */
function plain(frame) {
  const { payload, retryMs, withinMs, ...rest } = frame;
  if (payload !== undefined) rest.payload = Buffer.from(payload).toString("hex");
  if (retryMs !== undefined) rest.retry_ms = retryMs;
  if (withinMs !== undefined) rest.within_ms = withinMs;
  if (rest.type === "accept") rest.subprotocol ||= null;
  if (rest.type === "close" && rest.code === undefined) Object.assign(rest, { code: null, reason: null });
  return rest;
}

/** A frame of a vector with its whole payload. */
function whole(vector) {
  if (vector.frame.payload === undefined) return vector.frame;
  return { ...vector.frame, payload: payloadOf(vector).toString("hex") };
}

function encoded({ frame, zeros }) {
  const payload = frame.payload === undefined ? undefined : payloadOf({ frame, zeros });
  switch (frame.type) {
    case "open":
      return codec.encodeOpen(frame.stream, frame);
    case "data":
      return codec.encodeData(frame.stream, frame.last, frame.binary, payload);
    case "credit":
      return codec.encodeCredit(frame.stream, frame.credit);
    case "close":
      return codec.encodeClose(frame.stream, frame.code ?? undefined, frame.reason ?? undefined);
    case "ping":
      return codec.encodePing(frame.stream, payload);
    case "pong":
      return codec.encodePong(frame.stream, payload);
  }
  throw new Error(`a client does not send ${frame.type}`);
}

/** Frames that both sides send are checked in both directions, whoever sends them in the vector. */
const ONE_SIDED = { open: "client", accept: "gateway", reject: "gateway", down: "gateway", up: "gateway", goaway: "gateway" };
const mayCome = (frame, from) => (ONE_SIDED[frame.type] ?? from) === from;

for (const vector of vectors.valid) {
  test(`valid: ${vector.name}`, () => {
    const bytes = bytesOf(vector);
    assert.ok(mayCome(vector.frame, vector.from));
    if (mayCome(vector.frame, "client")) {
      assert.deepEqual(Buffer.from(encoded(vector)), bytes);
      assert.deepEqual(plain(wire.decode(bytes)), whole(vector), "the test's own codec");
    }
    if (mayCome(vector.frame, "gateway")) {
      assert.deepEqual(plain(codec.decode(bufferOf(bytes))), whole(vector));
      const payload = vector.frame.payload === undefined ? undefined : payloadOf(vector);
      assert.deepEqual(wire.encode({ ...vector.frame, payload }), bytes, "the test's own codec");
    }
  });
}

for (const vector of vectors.invalid) {
  // What only a client sends wrongly is not ours to judge.
  if (vector.from === "client" && /\bOPEN\b|from the gateway only/.test(vector.error)) continue;
  test(`invalid: ${vector.name}`, () => {
    assert.throws(() => codec.decode(bufferOf(bytesOf(vector))), { name: "ProtocolError", message: vector.error });
  });
}

/** Why a dialogue cannot be played with this client: it never does what the dialogue's client does. */
const NOT_PLAYED = {
  "a message ends with CLOSE": "sends whole messages before CLOSE",
  "an empty message costs six bytes": "gives credit back at once with so small a window",
  "one byte more than the credit": "keeps to its credit",
  "the same number again": "counts its numbers from 1",
  "a smaller number": "counts its numbers from 1",
  "a skipped number is used up": "counts its numbers from 1",
  "a stream that was never opened": "sends nothing on a stream it did not open",
  "a text that goes on as binary": "keeps the kind of a message",
  "DATA before ACCEPT, from the client": "sends nothing before ACCEPT",
  "pings of the connection and of a stream": "sends its own pings by time and without payload",
  "the gateway goes away": "opens new sockets on a new connection",
};

for (const dialogue of vectors.dialogues) {
  test(`dialogue: ${dialogue.name}`, { skip: NOT_PLAYED[dialogue.name] ?? false }, () => play(dialogue.steps));
}

/** Makes the client do what the dialogue's client does, and expects the same bytes. */
async function play(steps) {
  const network = pretend();
  const creditBytes = steps[0].frame.credit;
  const gateway = new Gateway("ws://gateway.test/", { WebSocket: network.WebSocket, creditBytes, keepAlive: false });
  const sockets = new Map();
  const logs = new Map();
  // Connects without a stream of its own being counted: the first OPEN is the dialogue's.
  const first = steps[0].frame;
  open(first);
  const connection = network.last();
  connection.open();
  let sent = [];
  const heard = new Map();

  for (const [index, step] of steps.entries()) {
    const { from, frame, error, ignored } = step;
    if (from === "client" && ignored) break;
    if (from === "client") {
      if (index > 0) act(frame, index);
      await settle();
      sent.push(...connection.sent.splice(0));
      assert.deepEqual(Buffer.from(sent.shift() ?? []), bytesOf(step), `step ${index} of the client`);
    } else {
      const before = JSON.stringify([...logs.values()]);
      connection.receive(bufferOf(bytesOf(step)));
      await settle();
      if (error) return assert.deepEqual(connection.closedWith, { code: 1002, reason: error });
      assert.equal(connection.closedWith, null, `step ${index} of the gateway`);
      if (ignored) assert.equal(JSON.stringify([...logs.values()]), before, `step ${index} is ignored`);
      if (frame.type === "data" && !ignored) collect(step);
    }
  }
  sent.push(...connection.sent.splice(0));
  assert.ok(sent.every((bytes) => wire.decode(bytes).type === "credit"), "the client says no more than the dialogue's");

  function open(frame) {
    const socket = gateway.endpoint(frame.name, { query: frame.query, protocols: frame.subprotocols });
    sockets.set(frame.stream, socket);
    logs.set(frame.stream, listen(socket));
  }
  function act(frame, index) {
    const socket = sockets.get(frame.stream);
    const previous = steps[index - 1];
    if (frame.type === "open") open(frame);
    else if (frame.type === "close" && !(previous.from === "gateway" && previous.frame.type === "close")) {
      socket.close(frame.code ?? undefined, frame.reason || undefined);
    } else if (frame.type === "data") {
      const earlier = steps.slice(0, index).filter((step) => step.from === "client" && step.frame.type === "data");
      if (earlier.at(-1)?.frame.last === false) return; // The message's beginning was sent, the rest follows by itself.
      const pieces = [];
      for (const step of steps.slice(index)) {
        if (step.from !== "client" || step.frame.type !== "data") continue;
        pieces.push(payloadOf(step));
        if (step.frame.last) break;
      }
      const message = Buffer.concat(pieces);
      socket.send(frame.binary ? message : message.toString());
    }
  }
  function collect(step) {
    const { stream, last, binary } = step.frame;
    heard.set(stream, Buffer.concat([heard.get(stream) ?? Buffer.alloc(0), payloadOf(step)]));
    if (!last) return;
    const message = heard.get(stream);
    heard.delete(stream);
    assert.equal(logs.get(stream).at(-1), binary ? `binary ${message.toString("hex")}` : `text ${message}`);
  }
}

test("the reasons for not playing a dialogue name dialogues that exist", () => {
  const names = new Set(vectors.dialogues.map((dialogue) => dialogue.name));
  for (const name of Object.keys(NOT_PLAYED)) assert.ok(names.has(name), name);
});
