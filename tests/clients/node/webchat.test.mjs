// The web chat's parts that need no page: ids and envelopes, back-off, kept history.

import assert from "node:assert/strict";
import { test } from "node:test";
import { backoff } from "../../../web/chat/connection.js";
import { History, MESSAGES_MAX } from "../../../web/chat/history.js";
import { decode, encodeText, idProblem, isNumericId, parse, parseTimestamp } from "../../../web/chat/wire.js";

test("canonical u64 ids are numbers, all others are strings", () => {
  for (const id of ["0", "1", "9007199254740993", "18446744073709551615"]) assert.ok(isNumericId(id), id);
  for (const id of ["", "01", "-1", "1.0", "1e3", "18446744073709551616", "bob", " 1"]) assert.ok(!isNumericId(id), id);
});

test("an id has 1 to 128 bytes and nothing invisible", () => {
  for (const id of ["1", "bob", "é".repeat(64), "<b>"]) assert.equal(idProblem(id), null);
  for (const id of ["", "é".repeat(65), "a\nb", "a\u007f"]) assert.notEqual(idProblem(id), null);
});

test("ids keep their digits in both directions", () => {
  const frame = encodeText({ sender: "18446744073709551615", recipient: "bob", text: 'say "1" \\', ref: "r" });
  assert.equal(
    frame,
    '{"type":"text","sender":18446744073709551615,"recipients":["bob"],"text":"say \\"1\\" \\\\","data":{"ref":"r"}}',
  );
  const envelope = decode(frame);
  assert.deepEqual([envelope.sender, envelope.recipients, envelope.text, envelope.ref], ["18446744073709551615", ["bob"], 'say "1" \\', "r"]);
});

test("digits inside texts are left alone", () => {
  const value = { text: 'a "18446744073709551615" b', near: 9007199254740991, real: 1.2345678901234567, tiny: 1e-300 };
  assert.deepEqual(parse(JSON.stringify(value)), value);
});

test("what is not an envelope is null", () => {
  for (const frame of ["", "{", "null", "[]", '{"type":1}', '{"type":"text","sender":null,"recipients":[1]}', '{"type":"text","sender":1}']) {
    assert.equal(decode(frame), null, frame);
  }
});

test("timestamps are read with and without fraction and zone", () => {
  assert.equal(parseTimestamp("2018-11-27 22:53:30.123456+00:00"), Date.UTC(2018, 10, 27, 22, 53, 30, 123));
  assert.equal(parseTimestamp("2018-11-27 22:53:30.5+03:00"), Date.UTC(2018, 10, 27, 19, 53, 30, 500));
  assert.equal(parseTimestamp("2018-11-27T22:53:30Z"), Date.UTC(2018, 10, 27, 22, 53, 30));
  for (const text of ["", "yesterday", "2018-99-27 22:53:30Z", undefined]) assert.equal(parseTimestamp(text), null);
});

test("back-off doubles its cap from 0.5 s to 30 s", () => {
  const caps = Array.from({ length: 9 }, (_, attempt) => backoff(attempt, () => 1));
  assert.deepEqual(caps, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
  assert.equal(backoff(1000, () => 1), 30000);
  assert.equal(backoff(5, () => 0), 0);
});

/** What localStorage does, with a limit on characters. */
class Storage {
  #items = new Map();
  constructor(limit = Infinity) {
    this.limit = limit;
  }
  get length() {
    return this.#items.size;
  }
  key(index) {
    return [...this.#items.keys()][index] ?? null;
  }
  getItem(key) {
    return this.#items.get(key) ?? null;
  }
  setItem(key, value) {
    if (value.length > this.limit) throw new Error("QuotaExceededError");
    this.#items.set(key, value);
  }
  removeItem(key) {
    this.#items.delete(key);
  }
}

const incoming = (n) => ({ id: `id-${n}`, out: false, type: "text", text: `text ${n}` });

test("history comes back after a reload, bounded, with its unread count", () => {
  const storage = new Storage();
  const history = new History("me", storage);
  const conversation = history.open("a/b c");
  for (let n = 0; n < MESSAGES_MAX + 10; n += 1) history.add(conversation, incoming(n));
  history.markRead(conversation);
  history.add(conversation, incoming("last"));
  history.flush();
  const again = new History("me", storage).get("a/b c");
  assert.equal(again.messages.length, MESSAGES_MAX);
  assert.equal(again.last.text, "text last");
  assert.equal(again.unread, 1);
  assert.equal(new History("someone else", storage).conversations.length, 0);
});

test("the first message of a new conversation is unread", () => {
  const history = new History("me", null);
  const conversation = history.open("bob");
  history.add(conversation, incoming(1));
  assert.equal(conversation.unread, 1);
});

test("two tabs do not overwrite each other", () => {
  const storage = new Storage();
  const tabs = [new History("me", storage), new History("me", storage)];
  for (const [n, tab] of tabs.entries()) {
    tab.add(tab.open("bob"), incoming(n));
    tab.flush();
  }
  const texts = new History("me", storage).get("bob").messages.map(({ text }) => text);
  assert.deepEqual(texts.sort(), ["text 0", "text 1"]);
});

test("a full storage drops the oldest messages, and says so when nothing fits", () => {
  const history = new History("me", new Storage(3000));
  let trouble = 0;
  history.addEventListener("trouble", () => (trouble += 1));
  const conversation = history.open("bob");
  for (let n = 0; n < 100; n += 1) history.add(conversation, incoming(n));
  history.flush();
  assert.equal(trouble, 0);
  assert.equal(conversation.messages.length, 100, "nothing is lost on screen");
  const full = new History("me", new Storage(5));
  full.addEventListener("trouble", () => (trouble += 1));
  full.open("bob");
  full.flush();
  assert.equal(trouble, 1);
});
