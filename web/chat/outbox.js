// My messages on their way: written when the connection is open, matched with what the server says about them.
//
// In: texts, the server's notices and its copies of my messages. Out: the state of each message. Invariants: only the
// server moves a message, and only one that I wrote: found by the reference or id it has with me, in the conversation
// it was written in; a refusal is told in words of this page.
//
// A message written just before a connection broke may or may not have arrived. When the server is known to answer (by
// receipts, which this page asks for, or by copies, which old servers may send), a missing answer means "unknown", and the
// message is written again under the same reference; the other side of this page drops the second copy. Without answers
// there is nothing to tell the cases apart, so it counts as sent.

import { encodeText, newRef } from "./wire.js";

/** Of a message to many, so many are named. */
const OTHERS_MAX = 20;

/** What is shown of a message besides its text: its data, and whom else it was sent to than `known`. */
export function besides({ recipients = [], shownData = "" }, ...known) {
  const others = [...new Set(recipients)].filter((id) => !known.includes(id));
  return { others: others.slice(0, OTHERS_MAX), othersCount: others.length, data: shownData };
}

/** A server that has not answered by then knows no receipts and has copies off. */
const ANSWER_MS = 8_000;
/** Receipts can overtake the answer that names their message; so many are remembered. */
const EARLY_MAX = 200;

const CLOSE_REASONS = { 1009: "The message is too large for this server.", 4001: "The server could not read this message." };

const REFUSALS = {
  mailbox_full: "The other person’s mailbox is full.",
  sender_quota: "Too many of your messages are waiting for others.",
  store_full: "The server’s storage is full.",
  disk_full: "The server’s disk is full.",
  store_failed: "The server cannot store messages at the moment.",
  busy: "The server is busy. Try again in a moment.",
  stopping: "The server is stopping. Try again in a moment.",
  fanout_too_large: "The message is too large for so many people.",
  too_many_recipients: "The message is for too many people.",
};

/** A refusal for people; codes of newer servers come with a text of theirs. */
export function refusalWords(code, text = "") {
  return (Object.hasOwn(REFUSALS, code) ? REFUSALS[code] : text) || "The server refused this message.";
}

export class Outbox {
  #me;
  #history;
  #connection;
  #onChange;
  #bytesMax;
  #answers = false;
  // What waited goes first: until then, what is written new waits behind it.
  #ready = false;
  #early = new Set();
  // Only what this tab wrote or found at its start is written again: other tabs of the same user look after theirs.
  #own;
  // On the wire, no answer yet, oldest first.
  #unanswered = [];

  /** `bytesMax` tells the largest frame the server takes, or null while it is not known. */
  constructor({ me, history, connection, onChange, bytesMax = () => null }) {
    this.#me = me;
    this.#history = history;
    this.#connection = connection;
    this.#onChange = onChange;
    this.#bytesMax = bytesMax;
    this.#own = new Set(history.outgoing("waiting", "sending").map(({ message }) => message.ref));
    this.#answers = history.conversations.some((c) => c.messages.some((m) => m.out && m.id !== ""));
  }

  send(conversation, text) {
    const message = this.#history.add(conversation, { ref: newRef(), out: true, type: "text", text, state: "waiting" });
    this.#own.add(message.ref);
    this.#update({ conversation, message });
    this.#write({ conversation, message });
  }

  retry(conversation, message) {
    // What was cut when it was stored is not what was written.
    if (message.cut) return;
    message.reason = null;
    message.state = "waiting";
    this.#own.add(message.ref);
    this.#update({ conversation, message });
    this.#write({ conversation, message });
  }

  /** The connection opened: write what waited, and again what may have been lost. */
  opened() {
    this.#ready = true;
    for (const entry of this.#history.outgoing("waiting", "sending")) {
      if (!this.#own.has(entry.message.ref)) continue;
      if (entry.message.state === "sending" && !this.#answers) this.#move(entry, "sent");
      else this.#write(entry);
    }
  }

  /** The connection ended. Some close codes are the answer to the last message. */
  closed(code, reason) {
    this.#ready = false;
    const blamed = CLOSE_REASONS[code];
    if (blamed !== undefined) {
      // 4001 ends reading, so the first unanswered message is the culprit; 1009 strikes the large one.
      const culprit =
        code === 1009
          ? this.#unanswered.toSorted((a, b) => b.message.text.length - a.message.text.length)[0]
          : this.#unanswered[0];
      if (culprit !== undefined) this.#refuse(culprit, code === 4001 && reason ? reason : blamed);
    }
    this.#unanswered = [];
  }

  /** A copy of a message of mine, from this or another device. */
  copied(conversation, envelope) {
    const { id, ref, type, text, time } = envelope;
    const more = besides(envelope, conversation.peer);
    let message = conversation.find({ id, ref, out: true });
    // Recipients know my references too, and where senders are not checked they may write as me: another text is another message.
    if (message !== null && message.id !== id && message.text !== text) message = null;
    if (message === null) {
      const known = ref !== null && conversation.find({ id: "", ref, out: true }) !== null;
      message = this.#history.add(conversation, { ...more, id, ref: known ? null : ref, out: true, type, text, time, state: "accepted" });
    } else {
      this.#answers ||= message.ref !== null;
      message.id = id || message.id;
      message.time = time ?? message.time;
      if (message.state !== "delivered") message.state = "accepted";
      // A refusal without a reference is pinned on the oldest open message; the copy corrects a wrong guess.
      message.reason = null;
    }
    this.#settle({ conversation, message });
  }

  /** The server's word about a message: see `noticeIn`. Returns the words of a refusal that hit one of mine, else null. */
  noticed(notice) {
    if (notice.kind === "accepted") this.#accepted(notice);
    else if (notice.kind === "received") this.#received(notice);
    else return this.#refused(notice);
    return null;
  }

  #accepted({ id, ref }) {
    const entry = ref === null ? null : this.#waiting(ref);
    if (entry === null) return;
    this.#answers = true;
    entry.message.id = id || entry.message.id;
    entry.message.state = "accepted";
    this.#settle(entry);
  }

  #received({ id, ref, recipient }) {
    const entry = (id !== "" ? this.#history.findSent(id, recipient) : null) ?? (ref === null ? null : this.#waiting(ref));
    if (entry === null) {
      if (id === "") return;
      this.#early.add(id);
      if (this.#early.size > EARLY_MAX) this.#early.delete(this.#early.values().next().value);
      return;
    }
    if (recipient !== null && entry.conversation.peer !== recipient) return;
    entry.message.reason = null;
    this.#answered(entry.message);
    this.#move(entry, "delivered");
  }

  #refused({ id, ref, code, text, refused }) {
    if (refused !== null) return this.#refusedFor(refused, id, ref);
    // Old servers name no reference: then it is the oldest one, since they answer in order.
    const entry = ref !== null ? this.#waiting(ref) : ((id !== "" ? this.#history.findSent(id) : null) ?? this.#unanswered[0] ?? null);
    if (entry === null) return null;
    const words = refusalWords(code, text);
    this.#refuse(entry, words);
    return words;
  }

  /** Some recipients of a message got nothing; the others have it. */
  #refusedFor(refused, id, ref) {
    let words = null;
    for (const { recipient, code } of refused) {
      const conversation = this.#history.get(recipient);
      const message = conversation?.find({ id, ref, out: true }) ?? null;
      if (message === null || message.state === "delivered") continue;
      words = refusalWords(code);
      message.id = id || message.id;
      this.#refuse({ conversation, message }, words);
    }
    return words;
  }

  /** The message with that reference, as long as the server owes an answer. */
  #waiting(ref) {
    return this.#history.outgoing("waiting", "sending", "sent", "accepted").find(({ message }) => message.ref === ref) ?? null;
  }

  #write(entry) {
    if (!this.#ready) return;
    const { conversation, message } = entry;
    const frame = encodeText({ sender: this.#me, recipient: conversation.peer, text: message.text, ref: message.ref });
    const max = this.#bytesMax();
    // The server would end the connection, and with it what else is under way.
    if (max !== null && bytesOf(frame, max) > max) {
      this.#refuse(entry, `This text is too long: this server takes messages up to ${readable(max)}.`);
      return;
    }
    if (!this.#connection.send(frame)) return;
    this.#unanswered.push(entry);
    this.#move(entry, "sending");
    if (this.#answers) return;
    setTimeout(() => {
      if (message.state === "sending" && this.#connection.isOpen && !this.#answers) {
        this.#answered(message);
        this.#move(entry, "sent");
      }
    }, ANSWER_MS);
  }

  /** Accepted for certain; perhaps somebody has received it before this was told. */
  #settle(entry) {
    if (this.#early.delete(entry.message.id)) entry.message.state = "delivered";
    this.#answered(entry.message);
    this.#update(entry);
  }

  #refuse(entry, reason) {
    entry.message.reason = reason;
    this.#answered(entry.message);
    this.#move(entry, "refused");
  }

  #answered(message) {
    this.#own.delete(message.ref);
    this.#unanswered = this.#unanswered.filter((entry) => entry.message !== message);
  }

  #move(entry, state) {
    entry.message.state = state;
    this.#update(entry);
  }

  #update({ conversation, message }) {
    this.#history.changed(conversation);
    this.#onChange(conversation, message);
  }
}

/** Bytes of a text in UTF-8; counted exactly only where it matters. */
function bytesOf(text, max) {
  return text.length * 3 <= max || text.length > max ? text.length : new TextEncoder().encode(text).length;
}

function readable(bytes) {
  return bytes >= 1024 * 1024 ? `${Math.round((bytes * 10) / 1024 / 1024) / 10} MB` : `${Math.max(1, Math.round(bytes / 1024))} KB`;
}
