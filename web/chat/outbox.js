// My messages on their way: written when the connection is open, matched with what the server says about them.
//
// A message written just before a connection broke may or may not have arrived. When the server is known to send copies
// back, a missing copy means "unknown", and the message is written again under the same reference; the other side of this
// page drops the second copy. Without copies there is nothing to tell the cases apart, so it counts as sent.

import { encodeText, newRef } from "./wire.js";

/** A server that has not sent a copy back by then has the option off. */
const COPY_MS = 8_000;
/** Receipts can overtake the copy that names their message; so many are remembered. */
const RECEIPTS_MAX = 200;

const CLOSE_REASONS = { 1009: "The message is too large for this server.", 4001: "The server could not read this message." };

export class Outbox {
  #me;
  #history;
  #connection;
  #onChange;
  #copiesSeen = false;
  #early = new Set();
  // Only what this tab wrote or found at its start is written again: other tabs of the same user look after theirs.
  #own;
  // On the wire, no answer yet, oldest first.
  #unanswered = [];

  constructor({ me, history, connection, onChange }) {
    this.#me = me;
    this.#history = history;
    this.#connection = connection;
    this.#onChange = onChange;
    this.#own = new Set(history.outgoing("waiting", "sending").map(({ message }) => message.ref));
    this.#copiesSeen = history.conversations.some((c) => c.messages.some((m) => m.out && m.id !== ""));
  }

  send(conversation, text) {
    const message = this.#history.add(conversation, { ref: newRef(), out: true, type: "text", text, state: "waiting" });
    this.#own.add(message.ref);
    this.#update({ conversation, message });
    this.#write({ conversation, message });
  }

  retry(conversation, message) {
    message.reason = null;
    message.state = "waiting";
    this.#own.add(message.ref);
    this.#update({ conversation, message });
    this.#write({ conversation, message });
  }

  /** The connection opened: write what waited, and again what may have been lost. */
  opened() {
    for (const entry of this.#history.outgoing("waiting", "sending")) {
      if (!this.#own.has(entry.message.ref)) continue;
      if (entry.message.state === "sending" && !this.#copiesSeen) this.#move(entry, "sent");
      else this.#write(entry);
    }
  }

  /** The connection ended. Some close codes are the answer to the last message. */
  closed(code, reason) {
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
    const { id, ref } = envelope;
    let message = conversation.find({ id, ref, out: true });
    if (message === null) {
      const { type, text, time } = envelope;
      message = this.#history.add(conversation, { id, ref, out: true, type, text, time, state: "accepted" });
    } else {
      this.#copiesSeen ||= message.ref !== null;
      message.id = id || message.id;
      message.time = envelope.time ?? message.time;
      if (message.state !== "delivered") message.state = "accepted";
      // A refusal without a reference is pinned on the oldest open message; the copy corrects a wrong guess.
      message.reason = null;
    }
    if (this.#early.delete(id)) message.state = "delivered";
    this.#answered(message);
    this.#update({ conversation, message });
  }

  delivered(id, ref) {
    const found = this.#find(id, ref);
    if (found === null) {
      this.#early.add(id);
      if (this.#early.size > RECEIPTS_MAX) this.#early.delete(this.#early.values().next().value);
      return;
    }
    this.#answered(found.message);
    this.#move(found, "delivered");
  }

  refused(id, ref, reason) {
    const found = this.#find(id, ref) ?? this.#unanswered[0] ?? null;
    if (found !== null) this.#refuse(found, reason);
  }

  #find(id, ref) {
    const byRef = ref === null ? null : this.#history.outgoing("waiting", "sending", "sent", "accepted").find((e) => e.message.ref === ref);
    return byRef ?? (id ? this.#history.findSent(id) : null);
  }

  #write(entry) {
    const { conversation, message } = entry;
    const frame = encodeText({ sender: this.#me, recipient: conversation.peer, text: message.text, ref: message.ref });
    if (!this.#connection.send(frame)) return;
    this.#unanswered.push(entry);
    this.#move(entry, "sending");
    setTimeout(() => {
      if (message.state === "sending" && this.#connection.isOpen && !this.#copiesSeen) {
        this.#answered(message);
        this.#move(entry, "sent");
      }
    }, COPY_MS);
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
