// The web chat's parts that need no page: ids and envelopes, back-off, kept history.

import assert from "node:assert/strict";
import { test } from "node:test";
import { backoff } from "../../../web/chat/connection.js";
import { addressOf } from "../../../web/chat/dial.js";
import { History, KEPT_MAX, MESSAGES_MAX } from "../../../web/chat/history.js";
import { excerpt, pieces } from "../../../web/chat/longtext.js";
import { nameOf, warningOf } from "../../../web/chat/names.js";
import { besides, Outbox, refusalWords } from "../../../web/chat/outbox.js";
import { decode, encodeText, idProblem, isSignal, normalId, noticeIn, parse, parseTimestamp } from "../../../web/chat/wire.js";

test("what is typed as an id comes into its one spelling", () => {
  for (const [typed, id] of [[" bob ", "bob"], ["Jo\u0308rg K", "Jörg K"], ["007", "007"], ["+49 151", "+49 151"], ["\u212b", "Å"], ["ﬁ", "ﬁ"]]) {
    assert.equal(normalId(typed), id);
  }
});

test("the address lies below the folder of the page, wherever that is", () => {
  for (const [endpoint, folder, address] of [
    ["/chat", "http://host:8085/", "ws://host:8085/chat"],
    ["/ws", "https://host/", "wss://host/ws"],
    ["/chat", "https://host/prefix/", "wss://host/prefix/chat"],
    ["/a/b", "https://host/x/y/", "wss://host/x/y/a/b"],
    [undefined, "https://host/prefix/", "wss://host/prefix/chat"],
    ["//evil.example/x", "https://host/prefix/", "wss://host/prefix//evil.example/x"],
  ]) {
    assert.equal(addressOf("J ö+1", endpoint, new URL(folder)), `${address}?id=J+%C3%B6%2B1&receipts=1&ids=strings`);
  }
});

test("an id has 1 to 128 bytes and nothing invisible", () => {
  for (const id of ["1", "bob", "é".repeat(64), "<b>"]) assert.equal(idProblem(id), null);
  for (const id of ["", "é".repeat(65), "a\nb", "a\u007f"]) assert.notEqual(idProblem(id), null);
});

test("ids keep their digits in both directions", () => {
  const frame = encodeText({ sender: "18446744073709551615", recipient: "bob", text: 'say "1" \\', ref: "r" });
  assert.equal(
    frame,
    '{"type":"text","sender":"18446744073709551615","recipients":["bob"],"text":"say \\"1\\" \\\\","data":{"ref":"r"}}',
  );
  for (const sent of [frame, frame.replace('"18446744073709551615"', "18446744073709551615")]) {
    const envelope = decode(sent);
    assert.deepEqual([envelope.sender, envelope.recipients, envelope.text, envelope.ref], ["18446744073709551615", ["bob"], 'say "1" \\', "r"]);
  }
});

test("data is shown as far as there is more in it than a reference", () => {
  const shown = (data) => decode(JSON.stringify({ type: "x", sender: "1", recipients: ["2"], data })).shownData;
  for (const data of [null, undefined, {}, { ref: "r" }]) assert.equal(shown(data), "", JSON.stringify(data));
  for (const data of [0, false, "x", [], { ref: "r", a: 1 }, [{ b: null }]]) assert.equal(shown(data), JSON.stringify(data, null, 2));
  assert.ok(shown("x".repeat(100_000)).length < 2_100);
});

test("whom else a message was sent to is named, of many the first", () => {
  const many = Array.from({ length: 300 }, (_, n) => `u${n}`);
  assert.deepEqual(besides({ recipients: ["me", "a", "a", "b"] }, "me").others, ["a", "b"]);
  const { others, othersCount } = besides({ recipients: many }, "u0");
  assert.deepEqual([others.length, othersCount], [20, 299]);
  assert.deepEqual(besides({ recipients: ["me"] }, "me").others, []);
});

test("pages in different folders of one host share no history", () => {
  const storage = new Storage();
  for (const [folder, me, peer] of [["/", "a", "bob"], ["/", "a", "b/c"], ["/a/", "b", "c"], ["/a/b/", "a", "x"]]) {
    const history = new History(me, storage, folder);
    assert.deepEqual(history.conversations.map((c) => c.peer), folder === "/" && peer === "b/c" ? ["bob"] : []);
    history.add(history.open(peer), incoming(1));
    history.flush();
  }
  assert.deepEqual(new History("a", storage, "/").conversations.map((c) => c.peer).sort(), ["b/c", "bob"]);
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

const NIL_ID = "00000000-00000000-0000-00000000";
const BIG = 9_900_000;

/** A frame as the server writes it. */
const frame = (members) =>
  JSON.stringify({ data: null, id: "5A32EA72-38F4D5DC-3541-00000008", recipients: [1], sender: 2, text: "", timestamp: "", type: "text", ...members });

test("texts of the server's limit are read whole, whatever is in them", () => {
  const unit = ["x", "\\", '"', '\\"', "😀", "\u0000", "9", "[", "{\"a\":", "\n", "é"];
  for (const piece of unit) {
    const text = piece.repeat(BIG / piece.length);
    assert.equal(decode(frame({ text }))?.text.length, text.length, JSON.stringify(piece));
  }
});

test("data of any shape does not keep a message from being read", () => {
  const nested = "[".repeat(127) + "]".repeat(127);
  for (const data of [
    nested,
    "[".repeat(127) + '"' + "x".repeat(BIG) + '"' + "]".repeat(127),
    "1".repeat(BIG),
    `-${"1".repeat(BIG)}`,
    `1.${"0".repeat(BIG)}e5`,
    `[${"12345678901234567890,".repeat(400_000)}0]`,
    `{${Array.from({ length: 300_000 }, (_, n) => `"k${n}":"\\\\"`).join(",")}}`,
  ]) {
    const text = frame({ text: "here" }).replace('"data":null', `"data":${data}`);
    assert.equal(decode(text)?.text, "here", data.slice(0, 20));
  }
});

test("a frame that ends too early is null and takes no longer", () => {
  for (const text of [`"${"\\".repeat(BIG)}`, "9".repeat(BIG), `{"a":"${'\\"'.repeat(BIG / 2)}`]) assert.equal(decode(text.slice(0, -1)), null);
});

test("numbers keep their digits beyond 2^53 and only there", () => {
  assert.deepEqual(parse("[9007199254740991,9007199254740992,9007199254740993,18446744073709551615,1e20,-9007199254740993]"), [
    9007199254740991,
    "9007199254740992",
    "9007199254740993",
    "18446744073709551615",
    1e20,
    -9007199254740992,
  ]);
});

test("only the server's own word is a notice", () => {
  const notice = (members) => noticeIn(decode(frame({ type: "notification_refused", sender: 0, id: NIL_ID, ...members })));
  assert.equal(notice({ data: { code: "busy", ref: "r" } }).kind, "refused");
  for (const forged of [
    { sender: 2 },
    { sender: "0 " },
    { sender: 1 },
    { id: "5A32EA72-38F4D5DC-3541-00000008" },
    { id: "" },
    { type: "notification_refused " },
    { type: "x_notification_refused" },
  ]) {
    assert.equal(notice(forged), null, JSON.stringify(forged));
  }
});

test("what a partial refusal says is read, and rubbish in it is left out", () => {
  const data = { code: "mailbox_full", ref: "r", id: "X", refused: [{ recipient: 7, code: "mailbox_full" }, null, 5, { recipient: "bob" }, { recipient: {} }] };
  const read = noticeIn(decode(frame({ type: "notification_refused", sender: 0, id: NIL_ID, data })));
  assert.deepEqual(read.refused, [
    { recipient: "7", code: "mailbox_full" },
    { recipient: "bob", code: "" },
  ]);
});

test("signs without words are not shown, forged receipts with words are messages of who wrote them", () => {
  for (const type of ["typing", "user_typing", "has_read", "notification_received", "notification_anything"]) {
    assert.ok(isSignal({ type, text: "" }), type);
    assert.ok(!isSignal({ type, text: "session expired, sign in at …" }), type);
  }
  assert.ok(!isSignal({ type: "text", text: "" }));
});

/** An outbox of user 1 whose connection and clock the test plays. */
function outboxDesk(t, { bytesMax = null } = {}) {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const connection = new EventTarget();
  const written = [];
  connection.isOpen = true;
  connection.send = (text) => written.push(JSON.parse(text)) > 0;
  const history = new History("1", null);
  const outbox = new Outbox({ me: "1", history, connection, onChange: () => {}, bytesMax: () => bytesMax });
  outbox.opened();
  const notice = (kind, data, members = {}) => {
    const read = noticeIn(decode(frame({ type: `notification_${kind}`, sender: 0, id: NIL_ID, data, ...members })));
    return read === null ? null : outbox.noticed(read);
  };
  const say = (peer, text) => {
    outbox.send(history.open(peer), text);
    return history.get(peer).last;
  };
  return { history, outbox, written, notice, say };
}

test("a message is accepted and delivered by the server's receipts alone", (t) => {
  const { written, notice, say } = outboxDesk(t);
  const message = say("2", "hi");
  assert.equal(message.state, "sending");
  notice("accepted", { id: "ID-1", ref: written[0].data.ref });
  assert.equal(message.state, "accepted");
  notice("received", { id: "ID-1", recipient: 2 });
  assert.equal(message.state, "delivered");
});

test("a receipt that overtakes the acknowledgement counts", (t) => {
  const { written, notice, say } = outboxDesk(t);
  const message = say("2", "hi");
  notice("received", { id: "ID-1", recipient: 2 });
  assert.equal(message.state, "sending");
  notice("accepted", { id: "ID-1", ref: written[0].data.ref });
  assert.equal(message.state, "delivered");
});

test("a server that answers is waited for, one that never did is guessed about", (t) => {
  const { written, notice, say } = outboxDesk(t);
  const first = say("2", "to an old server");
  t.mock.timers.tick(8_000);
  assert.equal(first.state, "sent");
  const second = say("2", "to a new one");
  notice("accepted", { id: "ID-2", ref: written[1].data.ref });
  const third = say("2", "slow disk");
  t.mock.timers.tick(60_000);
  assert.deepEqual([second.state, third.state], ["accepted", "sending"]);
});

test("notices about what this page did not write, or wrote to somebody else, change nothing", (t) => {
  const { history, written, notice, say } = outboxDesk(t);
  const message = say("2", "hi");
  history.add(history.open("3"), { id: "THEIRS", ref: "theirs", out: false, type: "text", text: "x" });
  const { ref } = written[0].data;
  for (const [kind, data] of [
    ["accepted", { id: "ID", ref: "theirs" }],
    ["accepted", { id: "ID" }],
    ["received", { id: "THEIRS", recipient: 3 }],
    ["received", {}],
    ["refused", { code: "busy", ref: "theirs" }],
    ["refused", { code: "busy", ref, refused: [{ recipient: 3, code: "busy" }] }],
  ]) {
    assert.equal(notice(kind, data), null);
    assert.equal(message.state, "sending", `${kind} ${JSON.stringify(data)}`);
  }
  notice("accepted", { id: "ID", ref });
  notice("received", { id: "ID", recipient: 3 });
  assert.equal(message.state, "accepted", "received by somebody it was not written to");
  notice("received", { id: "ID", recipient: 2 });
  notice("refused", { code: "busy", ref });
  assert.equal(message.state, "delivered", "what was received is not refused any more");
});

test("a refusal is told in this page's words, a new code in the server's", (t) => {
  const { written, notice, say } = outboxDesk(t);
  const first = say("2", "a");
  notice("refused", { code: "mailbox_full", ref: written[0].data.ref }, { text: "session expired, sign in at http://evil.example" });
  assert.deepEqual([first.state, first.reason], ["refused", "The other person’s mailbox is full."]);
  const second = say("2", "b");
  notice("refused", { code: "constructor", ref: written[1].data.ref }, { text: "too rude" });
  assert.equal(second.reason, "too rude");
});

test("a partial refusal marks the recipient it names", (t) => {
  const { written, notice, say } = outboxDesk(t);
  const message = say("2", "a");
  const refused = [{ recipient: 2, code: "mailbox_full" }, { recipient: 9, code: "busy" }];
  const words = notice("refused", { code: "mailbox_full", ref: written[0].data.ref, id: "ID", refused });
  assert.deepEqual([message.state, message.reason, words], ["refused", refusalWords("mailbox_full"), refusalWords("mailbox_full")]);
});

test("a copy with my reference and another text is another message", (t) => {
  const { history, outbox, written, say } = outboxDesk(t);
  const message = say("2", "what I wrote");
  const { ref } = written[0].data;
  const forged = { id: "F", ref, type: "text", text: "what somebody else wrote", time: null, sender: "1", recipients: ["2"] };
  outbox.copied(history.get("2"), forged);
  assert.deepEqual([message.state, message.text], ["sending", "what I wrote"]);
  outbox.copied(history.get("2"), { ...forged, id: "T", text: "what I wrote" });
  assert.deepEqual([message.state, message.id], ["accepted", "T"]);
  const keys = history.get("2").messages.map(({ key }) => key);
  assert.equal(new Set(keys).size, keys.length);
});

test("a text above the server's limit is refused before it is written, in words", (t) => {
  const { written, say } = outboxDesk(t, { bytesMax: 1024 * 1024 });
  const large = say("2", "é".repeat(600_000));
  assert.equal(large.state, "refused");
  assert.match(large.reason, /too long: this server takes messages up to 1 MB/);
  assert.deepEqual(written, []);
  assert.equal(say("2", "é".repeat(500_000)).state, "sending");
});

test("what is written before the waiting messages went out goes behind them", (t) => {
  const { outbox, written, say } = outboxDesk(t);
  outbox.closed(1006, "");
  say("2", "first");
  say("2", "second");
  assert.deepEqual(written, []);
  outbox.opened();
  assert.deepEqual(written.map(({ text }) => text), ["first", "second"]);
});

test("names show what cannot be seen, and nobody looks like the server", () => {
  assert.equal(nameOf("0"), "Service");
  for (const imitation of ["Service", "service", "Ｓervice"]) assert.notEqual(nameOf(imitation), "Service", imitation);
  const seen = ["bob", "bob ", " bob", "b\u200bob", "bob\u202e", "\u2066bob", "bob\u00a0", "bob\u3164", "b\u00adob", "bob\u0007"].map(nameOf);
  assert.equal(new Set(seen).size, seen.length, seen.join());
  for (const name of seen) assert.doesNotMatch(name, /\p{C}/u);
  assert.equal(nameOf("Jörg K"), "Jörg K");
});

test("ids that may imitate others are told, ordinary ones are not", () => {
  for (const id of ["1", "bob", "Jörg K", "Ольга", "Ελένη", "田中", "user_42", "18446744073709551615"]) assert.equal(warningOf(id), "", id);
  for (const id of ["\u0430dmin", "１２", "𝐚dmin", "bob\u202e", "admin ", "١٢"]) assert.notEqual(warningOf(id), "", id);
});

test("a long text falls into pieces that make it up, and no character is cut", () => {
  for (const text of ["word ".repeat(50_000), "x".repeat(250_000), "😀".repeat(100_000), "", "a\n".repeat(9)]) {
    const all = [...pieces(text, 1000)];
    assert.equal(all.join(""), text);
    for (const piece of all) assert.ok(piece.length <= 1000 && piece.isWellFormed(), piece.slice(-3));
  }
  assert.ok(excerpt("x".repeat(BIG)).length < 200);
});

test("a huge message does not push the others out of what is kept", () => {
  const storage = new Storage(200_000);
  const history = new History("me", storage);
  const conversation = history.open("bob");
  for (let n = 0; n < 100; n += 1) history.add(conversation, incoming(n));
  history.add(conversation, { id: "big", out: false, type: "text", text: "x".repeat(BIG) });
  history.flush();
  const again = new History("me", storage).get("bob").messages;
  assert.equal(again.length, 101);
  assert.deepEqual([again[100].cut, again[100].text.length], [true, KEPT_MAX]);
});

test("a long text of mine that a reload has cut is not sent as if it were whole", () => {
  const storage = new Storage();
  const history = new History("me", storage);
  history.add(history.open("bob"), { ref: "r", out: true, type: "text", text: "x".repeat(KEPT_MAX + 1), state: "waiting" });
  history.flush();
  const [message] = new History("me", storage).get("bob").messages;
  assert.equal(message.state, "refused");
  assert.match(message.reason, /too long/);
});

test("a reference cannot be taken for the id of another message", () => {
  const history = new History("me", null);
  const conversation = history.open("bob");
  history.add(conversation, { id: "A", out: false, type: "text", text: "1" });
  history.add(conversation, { id: "B", ref: "A", out: false, type: "text", text: "2" });
  history.add(conversation, { out: false, type: "text", text: "3" });
  history.add(conversation, { out: false, type: "text", text: "4" });
  assert.equal(new Set(conversation.messages.map(({ key }) => key)).size, 4);
});
