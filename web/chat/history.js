// Conversations of one user, kept in the browser so that a reload shows the past. Emits "trouble" when nothing can be saved.
//
// One storage item per conversation: {readAt, messages}. Tabs of the same user share the items, so a save first takes over
// what another tab stored meanwhile. A message is
//   {key, id, ref, out, type, text, at, time, state, reason, cut, others, othersCount, data}
// key: unique in the conversation (direction and ref or id) · at: local arrival, the order · time: shown, the server's when it is known
// state (only `out`): waiting → sending → sent | accepted → delivered, or refused with its reason.
// others: whom else it was sent to, the first few of othersCount · data: what is shown of its data
// cut (only stored): the text is longer than what is kept, and this is its beginning.

export const MESSAGES_MAX = 500;
/** Characters of a text that are kept: the store holds some millions for all conversations together. */
export const KEPT_MAX = 20_000;
const PREFIX = "tidewire.chat/1";
const RANK = { waiting: 0, sending: 1, sent: 2, refused: 3, accepted: 4, delivered: 5 };

export class Conversation {
  constructor(peer) {
    this.peer = peer;
    this.messages = [];
    this.readAt = 0;
  }

  get last() {
    return this.messages.at(-1) ?? null;
  }

  get unread() {
    return this.messages.filter((message) => !message.out && message.at > this.readAt).length;
  }

  /** The message with that server id, or else with that reference. */
  find({ id, ref, out }) {
    return this.messages.find((m) => m.out === out && ((id && m.id === id) || (ref && m.ref === ref))) ?? null;
  }
}

export class History extends EventTarget {
  #prefix;
  #storage;
  #conversations = new Map();
  #dirty = new Set();
  #flushTimer = 0;

  /** `folder` is the path of the page's folder: chats of several servers may lie under one host. */
  constructor(me, storage, folder = "/") {
    super();
    this.#prefix = `${PREFIX}${scopeOf(folder)}/${encodeURIComponent(me)}/`;
    this.#storage = storage;
    for (const key of this.#keys()) this.#load(key);
  }

  /** All conversations, the most recently active first. */
  get conversations() {
    return [...this.#conversations.values()].sort((a, b) => (b.last?.at ?? b.readAt) - (a.last?.at ?? a.readAt));
  }

  get unread() {
    return this.conversations.reduce((sum, conversation) => sum + conversation.unread, 0);
  }

  get(peer) {
    return this.#conversations.get(peer) ?? null;
  }

  /** The conversation with `peer`, begun when there is none. */
  open(peer) {
    let conversation = this.get(peer);
    if (conversation === null) {
      conversation = new Conversation(peer);
      // One less: a message that begins the conversation in this very millisecond is unread.
      conversation.readAt = Date.now() - 1;
      this.#conversations.set(peer, conversation);
      this.changed(conversation);
    }
    return conversation;
  }

  /** Appends a message and returns the stored one. `at` grows strictly, so order survives equal clock readings. */
  add(conversation, message) {
    const at = Math.max(Date.now(), (conversation.last?.at ?? 0) + 1);
    const stored = { id: "", ref: null, state: null, reason: null, ...message, at, time: message.time ?? at };
    // References are chosen by the sender, so they must not be taken for an id; old servers may give neither.
    const name = stored.ref !== null ? `ref:${stored.ref}` : stored.id !== "" ? `id:${stored.id}` : `at:${at}`;
    stored.key = `${stored.out ? "out" : "in"}:${name}`;
    conversation.messages.push(stored);
    conversation.messages.splice(0, conversation.messages.length - MESSAGES_MAX);
    this.changed(conversation);
    return stored;
  }

  /** Forgets conversations in which nothing was said. */
  forgetEmpty() {
    for (const { peer, messages } of this.conversations) if (messages.length === 0) this.forget(peer);
  }

  markRead(conversation) {
    const at = conversation.last?.at ?? conversation.readAt;
    if (at <= conversation.readAt) return;
    conversation.readAt = at;
    this.changed(conversation);
  }

  forget(peer) {
    this.#conversations.delete(peer);
    try {
      this.#storage?.removeItem(this.#key(peer));
    } catch {
      // Nothing was stored then.
    }
  }

  /** Finds the message of mine with that server id, with `peer` or, when that is null, wherever it is. */
  findSent(id, peer = null) {
    for (const conversation of this.#conversations.values()) {
      if (peer !== null && conversation.peer !== peer) continue;
      const message = conversation.find({ id, out: true });
      if (message !== null) return { conversation, message };
    }
    return null;
  }

  /** Every message of mine in one of `states`, oldest first. */
  outgoing(...states) {
    return this.conversations
      .flatMap((conversation) =>
        conversation.messages
          .filter((message) => message.out && states.includes(message.state))
          .map((message) => ({ conversation, message })),
      )
      .sort((a, b) => a.message.at - b.message.at);
  }

  /** Notes that `conversation` must be saved. A burst of messages is one write, made before the page can be hidden. */
  changed(conversation) {
    this.#dirty.add(conversation.peer);
    if (this.#flushTimer === 0) this.#flushTimer = setTimeout(() => this.flush(), 0);
  }

  flush() {
    clearTimeout(this.#flushTimer);
    this.#flushTimer = 0;
    for (const peer of this.#dirty) {
      const conversation = this.get(peer);
      if (conversation !== null) this.#save(conversation);
    }
    this.#dirty.clear();
  }

  /** Takes over what another tab stored under `key`; returns the conversation when it is one of ours. */
  reload(key) {
    if (key === null || !key.startsWith(this.#prefix)) return null;
    return this.#load(key);
  }

  #key(peer) {
    return this.#prefix + encodeURIComponent(peer);
  }

  #keys() {
    try {
      const storage = this.#storage;
      return storage === null
        ? []
        : Array.from({ length: storage.length }, (_, i) => storage.key(i)).filter((key) => key.startsWith(this.#prefix));
    } catch {
      return [];
    }
  }

  #load(key) {
    const stored = this.#read(key);
    if (stored === null) return null;
    const peer = decodeURIComponent(key.slice(this.#prefix.length));
    const conversation = this.get(peer) ?? new Conversation(peer);
    this.#conversations.set(peer, conversation);
    this.#merge(conversation, stored);
    return conversation;
  }

  #read(key) {
    try {
      const stored = JSON.parse(this.#storage.getItem(key));
      return Array.isArray(stored?.messages) ? stored : null;
    } catch {
      return null;
    }
  }

  #merge(conversation, stored) {
    const known = new Map(conversation.messages.map((message) => [message.key, message]));
    for (const message of stored.messages) {
      const mine = known.get(message.key);
      if (mine === undefined) conversation.messages.push(revived(message));
      // The text that is here is whole, the stored one perhaps not.
      else if (RANK[message.state] > RANK[mine.state]) Object.assign(mine, { ...message, text: mine.text, cut: mine.cut });
    }
    conversation.messages.sort((a, b) => a.at - b.at);
    conversation.messages.splice(0, conversation.messages.length - MESSAGES_MAX);
    conversation.readAt = Math.max(conversation.readAt, Number(stored.readAt) || 0);
  }

  #save(conversation) {
    const key = this.#key(conversation.peer);
    const stored = this.#read(key);
    if (stored !== null) this.#merge(conversation, stored);
    // The store is small (about 5 MB for all of this origin): when it is full, the oldest half goes, then the next.
    for (let keep = conversation.messages.length; ; keep = Math.floor(keep / 2)) {
      const messages = keep === 0 ? [] : conversation.messages.slice(-keep).map(shortened);
      try {
        this.#storage.setItem(key, JSON.stringify({ readAt: conversation.readAt, messages }));
        return;
      } catch {
        if (keep === 0) {
          this.dispatchEvent(new Event("trouble"));
          return;
        }
      }
    }
  }
}

/** What tells apart the storage items of pages in different folders. */
export const scopeOf = (folder) => (folder === "/" ? "" : `@${folder.replace(/\/$/, "")}`);

/** What is stored of a message. */
function shortened(message) {
  if (message.text.length <= KEPT_MAX) return message;
  return { ...message, text: message.text.slice(0, KEPT_MAX), cut: true };
}

/** A stored message as it goes on. One of mine that was not sent whole cannot be sent any more. */
function revived(message) {
  if (!message.cut || (message.state !== "waiting" && message.state !== "sending")) return message;
  const reason = "This text was too long to be kept in the browser. Perhaps it was not sent.";
  return { ...message, state: "refused", reason };
}
