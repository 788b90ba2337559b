// The page: joins connection, history, outbox and presence with what is seen.

import { Connection } from "./connection.js";
import { base, dial } from "./dial.js";
import { $, element, icon } from "./dom.js";
import { History, scopeOf } from "./history.js";
import { excerpt } from "./longtext.js";
import { nameOf, warningOf } from "./names.js";
import { besides, Outbox } from "./outbox.js";
import { compareIds, Presence } from "./presence.js";
import { messageItem, paintAvatar, personRow, shownText, unreadDivider } from "./view.js";
import { decode, idProblem, isSignal, normalId, noticeIn } from "./wire.js";

const FOLDER = base().pathname;
const KNOWN_KEY = `tidewire.chat/ids${scopeOf(FOLDER)}`;
const KNOWN_MAX = 5;
/** So near the end counts as reading along. */
const NEAR_END_PX = 80;
/** A first connection this quick needs no banner. */
const PATIENCE_MS = 1_000;
/** A server that refuses an id says so at once; one that has not by then has taken it. */
const TAKEN_MS = 1_000;
/** A focused field opens the keyboard of a phone, which covers half of the page: there people touch what they want. */
const hasKeyboard = () => matchMedia("(hover: hover)").matches;
/** Codes an administrator's reason should be shown for, rather than "connection lost". */
const SPOKEN_CODES = { 1001: "The server is restarting.", 1013: "The server is busy.", 4010: "You were disconnected for inactivity." };

const storage = (() => {
  try {
    localStorage.setItem("tidewire.chat/probe", "1");
    localStorage.removeItem("tidewire.chat/probe");
    return localStorage;
  } catch {
    return null;
  }
})();

let session = null;

// ---- who am I ----------------------------------------------------------------------------------------------------------

function knownIds() {
  try {
    const ids = JSON.parse(storage.getItem(KNOWN_KEY));
    return Array.isArray(ids) ? ids.filter((id) => typeof id === "string") : [];
  } catch {
    return [];
  }
}

function rememberId(me, { signedIn = true } = {}) {
  const ids = [me, ...knownIds().filter((id) => id !== me)].slice(0, KNOWN_MAX);
  try {
    storage?.setItem(KNOWN_KEY, JSON.stringify(ids));
    storage?.setItem(`${KNOWN_KEY}/last`, signedIn ? me : "");
  } catch {
    // Typed again next time.
  }
}

function forgetId(me) {
  try {
    storage?.setItem(KNOWN_KEY, JSON.stringify(knownIds().filter((id) => id !== me)));
    storage?.setItem(`${KNOWN_KEY}/last`, "");
  } catch {
    // As below.
  }
}

function showSignIn(problem = "") {
  $("app").hidden = true;
  $("sign-in").hidden = false;
  $("me-problem").textContent = problem;
  const known = knownIds();
  $("known").hidden = known.length === 0;
  $("known-ids").replaceChildren(
    ...known.map((id) => {
      const chip = element("button", "chip", element("bdi", "", nameOf(id)));
      chip.type = "button";
      chip.addEventListener("click", () => signIn(id));
      return chip;
    }),
  );
  document.title = "Tidewire chat";
  if (!hasKeyboard()) return;
  $("me-field").focus();
  $("me-field").select();
}

function signIn(me, peer = null) {
  const problem = idProblem(me);
  if (problem !== null) {
    showSignIn(problem);
    return;
  }
  $("sign-in").hidden = true;
  $("app").hidden = false;
  session = new Session(me);
  session.show(peer, { replace: true });
}

/** `problem`: why the server does not take the id, which then is not offered again. */
function signOut(problem = "") {
  const { me, isTaken } = session;
  session.close();
  session = null;
  if (problem !== "") forgetId(me);
  else if (isTaken) rememberId(me, { signedIn: false });
  window.history.replaceState(null, "", location.pathname);
  $("me-field").value = me;
  showSignIn(problem);
}

// ---- one signed-in user ------------------------------------------------------------------------------------------------

class Session {
  #abort = new AbortController();
  #history;
  #connection;
  #presence;
  #outbox;
  #peer = null;
  #missed = 0;
  #drafts = new Map();
  #ticker = 0;
  #taking = 0;
  #everOpen = false;
  #peoplePending = false;
  #saveTrouble = false;
  #messageBytesMax = null;

  constructor(me) {
    this.me = me;
    this.#history = new History(me, storage, FOLDER);
    this.#history.addEventListener("trouble", () => {
      this.#saveTrouble = true;
      this.#showLink();
    });
    this.#connection = new Connection(() => this.#dial());
    this.#outbox = new Outbox({
      me,
      history: this.#history,
      connection: this.#connection,
      onChange: (conversation, message) => this.#messageChanged(conversation, message),
      bytesMax: () => this.#messageBytesMax,
    });
    this.#connection.addEventListener("state", () => this.#linkChanged());
    this.#connection.addEventListener("frame", (event) => this.#receive(event.detail));
    this.#presence = new Presence();
    this.#presence.addEventListener("change", () => this.#showPeople());

    paintAvatar($("me-avatar"), me);
    $("me-name").textContent = nameOf(me);
    this.#listen();
    this.#showLink();
    setTimeout(() => this.#showLink(), PATIENCE_MS);
  }

  /** Whether the server has taken the id. */
  isTaken = false;

  async #dial() {
    const target = await dial(this.me, this.#abort.signal);
    // Known before anything is written: a text above the limit would end the connection.
    this.#messageBytesMax = target.messageBytesMax ?? this.#messageBytesMax;
    return target;
  }

  close() {
    this.#abort.abort();
    clearInterval(this.#ticker);
    clearTimeout(this.#taking);
    this.#history.flush();
    this.#presence.close();
    this.#connection.close();
  }

  #listen() {
    const { signal } = this.#abort;
    const on = (target, type, handler) => target.addEventListener(type, handler, { signal });
    on($("leave"), "click", () => signOut());
    on($("find"), "input", () => this.#showPeople());
    on($("find-form"), "submit", (event) => this.#addPerson(event));
    on($("people"), "keydown", (event) => this.#moveInList(event));
    on($("people"), "focusin", (event) => this.#makeTabStop(event.target.closest(".person")));
    on($("find"), "keydown", (event) => {
      if (event.key === "ArrowDown") this.#moveInList(event);
    });
    on($("back"), "click", () => this.show(null));
    on($("forget"), "click", () => $("confirm").showModal());
    on($("confirm"), "close", () => this.#forget());
    on($("composer"), "submit", (event) => this.#submit(event));
    on($("text"), "keydown", (event) => this.#composerKey(event));
    on($("text"), "input", () => this.#fitComposer());
    on($("conversation"), "keydown", (event) => {
      if (event.key === "Escape") this.show(null);
    });
    on($("scroll"), "scroll", () => this.#scrolled());
    on($("jump"), "click", () => this.#scrollToEnd());
    on($("banner-action"), "click", () => this.#bannerAction());
    on(window, "pagehide", () => this.#history.flush());
    on(window, "popstate", () => this.show(wantedPeer(), { fromUrl: true }));
    on(window, "storage", (event) => this.#storedElsewhere(event.key));
    on(window, "focus", () => this.#markRead());
    on(document, "visibilitychange", () => this.#markRead());
    // A narrow window that changes height (on-screen keyboard) must keep the end in view.
    const frame = new ResizeObserver(() => {
      if (this.#atEnd) this.#scrollToEnd();
    });
    frame.observe($("scroll"));
    signal.addEventListener("abort", () => frame.disconnect());
  }

  // ---- what arrives ----

  #receive(frame) {
    if (!this.isTaken) this.#taken();
    const envelope = decode(frame);
    if (envelope === null) return;
    const notice = noticeIn(envelope);
    if (notice !== null) {
      const words = this.#outbox.noticed(notice);
      if (words !== null) this.#announce(`Message refused. ${words}`);
    } else if (!isSignal(envelope)) {
      this.#receiveMessage(envelope);
    }
  }

  #receiveMessage(envelope) {
    if (envelope.sender === this.me) {
      for (const peer of new Set(envelope.recipients)) this.#outbox.copied(this.#history.open(peer), envelope);
      return;
    }
    const conversation = this.#history.open(envelope.sender);
    const { id, ref, type, text, time } = envelope;
    const twin = conversation.find({ id, ref, out: false });
    // The server delivers again what it is not sure about (same id); a sender may send again (same ref and text).
    if (twin !== null && (twin.id === id || twin.text === text)) return;
    const unique = twin === null ? ref : null;
    const more = besides(envelope, this.me);
    const message = this.#history.add(conversation, { ...more, id, ref: unique, out: false, type, text, time });
    this.#messageChanged(conversation, message);
    this.#announce(`${nameOf(envelope.sender)}: ${excerpt(shownText(message))}`);
  }

  #messageChanged(conversation, message) {
    this.#showPeople();
    if (conversation.peer !== this.#peer) return;
    const stick = this.#atEnd;
    const index = conversation.messages.indexOf(message);
    if (index < 0) return;
    const shown = this.#item(message);
    const item = messageItem(message, conversation.messages[index - 1] ?? null, this.#handlers);
    if (shown !== null) {
      shown.replaceWith(item);
      if (stick) this.#scrollToEnd();
      return;
    }
    item.classList.add("fresh");
    $("messages").append(item);
    // The history forgets its oldest messages; so does the view.
    while ($("messages").childElementCount > conversation.messages.length + 1) $("messages").firstElementChild.remove();
    if (stick || message.out) {
      this.#scrollToEnd();
    } else {
      this.#missed += 1;
      this.#showJump();
    }
    this.#markRead();
  }

  #storedElsewhere(key) {
    const conversation = this.#history.reload(key);
    if (conversation === null) return;
    this.#showPeople();
    if (conversation.peer === this.#peer) this.#showMessages(conversation);
  }

  // ---- conversations ----

  /** Shows the conversation with `peer`, or the list when it is null. */
  show(peer, { replace = false, fromUrl = false } = {}) {
    // What wrote to me can be read, however odd its id is.
    if (peer !== null && this.#history.get(peer) === null && idProblem(peer) !== null) peer = null;
    if (this.#peer !== null) this.#drafts.set(this.#peer, $("text").value);
    const before = this.#peer;
    this.#peer = peer;
    const query = new URLSearchParams({ me: this.me, ...(peer === null ? {} : { to: peer }) });
    // Only a step from the list into a conversation is worth a "back".
    if (!fromUrl && before === null && peer !== null && !replace) window.history.pushState(null, "", `?${query}`);
    else if (!fromUrl) window.history.replaceState(null, "", `?${query}`);

    $("app").dataset.view = peer === null ? "list" : "conversation";
    $("conversation").hidden = peer === null;
    $("nobody").hidden = peer !== null;
    if (peer === null) {
      this.#showPeople();
      const row = document.querySelector(`.person[data-id="${CSS.escape(before ?? "")}"]`);
      (row ?? (hasKeyboard() ? $("find") : $("people"))).focus();
      return;
    }
    const conversation = this.#history.open(peer);
    $("peer-name").textContent = nameOf(peer);
    $("peer-warning").textContent = warningOf(peer);
    $("text").value = this.#drafts.get(peer) ?? "";
    this.#fitComposer();
    this.#showMessages(conversation, { atUnread: true });
    this.#markRead();
    this.#showPeople();
    if (hasKeyboard()) $("text").focus();
    else $("scroll").focus({ preventScroll: true });
  }

  #showMessages(conversation, { atUnread = false } = {}) {
    const stick = atUnread || this.#atEnd;
    const items = [];
    const firstUnread = atUnread ? conversation.messages.find((m) => !m.out && m.at > conversation.readAt) : undefined;
    let divider = null;
    let previous = null;
    for (const message of conversation.messages) {
      // A conversation that is new as a whole needs no line above it.
      if (message === firstUnread && previous !== null) {
        divider = unreadDivider();
        items.push(divider);
      }
      items.push(messageItem(message, previous, this.#handlers));
      previous = message;
    }
    $("messages").replaceChildren(...items);
    this.#missed = 0;
    if (stick) this.#scrollToEnd();
    // More unread than fits: start reading where they begin.
    if (divider !== null && divider.offsetTop < $("scroll").scrollTop) divider.scrollIntoView({ block: "start" });
    this.#showJump();
  }

  #markRead() {
    if (this.#peer === null || document.visibilityState !== "visible" || !document.hasFocus()) return;
    const conversation = this.#history.get(this.#peer);
    if (conversation === null || conversation.unread === 0) return;
    this.#history.markRead(conversation);
    this.#showPeople();
  }

  #forget() {
    if ($("confirm").returnValue !== "delete" || this.#peer === null) return;
    $("confirm").returnValue = "";
    this.#drafts.delete(this.#peer);
    this.#history.forget(this.#peer);
    this.show(null);
  }

  #item(message) {
    return $("messages").querySelector(`[data-key="${CSS.escape(message.key)}"]`);
  }

  get #handlers() {
    const conversation = this.#history.get(this.#peer);
    return { onRetry: (message) => this.#outbox.retry(conversation, message) };
  }

  // ---- scrolling ----

  get #atEnd() {
    const { scrollHeight, scrollTop, clientHeight } = $("scroll");
    return scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
  }

  #scrollToEnd() {
    $("scroll").scrollTop = $("scroll").scrollHeight;
    this.#missed = 0;
    this.#showJump();
  }

  #scrolled() {
    if (this.#atEnd) this.#missed = 0;
    this.#showJump();
  }

  #showJump() {
    $("jump").hidden = this.#atEnd;
    const words = this.#missed === 0 ? "" : this.#missed === 1 ? "1 new message" : `${this.#missed} new messages`;
    $("jump-text").textContent = words;
    $("jump").setAttribute("aria-label", words ? `${words}, go to the latest` : "Go to the latest message");
  }

  // ---- writing ----

  #submit(event) {
    event.preventDefault();
    const text = $("text").value.trim();
    if (text === "" || this.#peer === null) return;
    $("text").value = "";
    this.#drafts.delete(this.#peer);
    this.#fitComposer();
    this.#outbox.send(this.#history.open(this.#peer), text);
    $("text").focus();
  }

  #composerKey(event) {
    // While an input method composes, Enter picks a candidate.
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      $("composer").requestSubmit();
    }
  }

  #fitComposer() {
    const field = $("text");
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight}px`;
    $("send").disabled = field.value.trim() === "";
  }

  // ---- people ----

  /** Redraws the list once per turn of the event loop, however much changed in it. */
  #showPeople() {
    if (this.#peoplePending) return;
    this.#peoplePending = true;
    queueMicrotask(() => {
      this.#peoplePending = false;
      if (!this.#abort.signal.aborted) this.#drawPeople();
    });
  }

  #drawPeople() {
    const wanted = normalId($("find").value);
    const matches = (id) => id.toLowerCase().includes(wanted.toLowerCase());
    const conversations = this.#history.conversations.filter(({ peer }) => matches(peer));
    const known = new Set(this.#history.conversations.map(({ peer }) => peer));
    const others = this.#presence.people.filter((id) => id !== this.me && !known.has(id) && matches(id)).sort(compareIds);

    const focused = document.activeElement?.closest?.(".person")?.dataset.id;
    const stop = document.querySelector(".person[tabindex='0']")?.dataset.id;
    const row = (id, conversation) =>
      personRow(id, {
        conversation,
        online: this.#presence.isOnline(id),
        active: id === this.#peer,
        onOpen: () => this.#openFromList(id),
      });
    $("talks").replaceChildren(...conversations.map((conversation) => row(conversation.peer, conversation)));
    $("online").replaceChildren(...others.map((id) => row(id, null)));
    $("online-part").hidden = others.length === 0;
    const rowOf = (id) => (id === undefined || id === null ? null : document.querySelector(`.person[data-id="${CSS.escape(id)}"]`));
    this.#makeTabStop(rowOf(focused) ?? rowOf(stop) ?? rowOf(this.#peer) ?? document.querySelector(".person"));
    if (focused !== undefined) rowOf(focused)?.focus();

    $("people-empty").hidden = conversations.length + others.length > 0;
    $("people-empty").textContent =
      wanted === "" ? "Nobody here yet. Enter an id above to write to someone." : `Press Enter to write to “${nameOf(wanted)}”.`;
    $("add").disabled = wanted === "";
    $("find-problem").textContent = "";

    const unread = this.#history.unread;
    document.title = `${unread > 0 ? `(${unread}) ` : ""}${nameOf(this.me)} – Tidewire chat`;
    if (this.#peer !== null) {
      const online = this.#presence.isOnline(this.#peer);
      paintAvatar($("peer-avatar"), this.#peer, online);
      const words = online === null ? "" : online ? "Online" : "Offline – will get your messages later";
      $("peer-status").textContent = this.#peer === this.me ? "Notes to yourself" : words;
      $("peer-status").classList.toggle("good", online === true);
    }
  }

  #openFromList(id) {
    $("find").value = "";
    this.show(id);
  }

  #addPerson(event) {
    event.preventDefault();
    const id = normalId($("find").value);
    const problem = idProblem(id);
    if (problem === null) this.#openFromList(id);
    else $("find-problem").textContent = problem;
  }

  /** The list is one stop of the Tab key, however long it is; the arrow keys move in it. */
  #makeTabStop(row) {
    if (row === null) return;
    for (const other of $("people").querySelectorAll(".person")) other.tabIndex = other === row ? 0 : -1;
  }

  #moveInList(event) {
    const rows = [...$("people").querySelectorAll(".person")];
    const at = rows.indexOf(document.activeElement);
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (next === undefined || rows[next] === undefined) return;
    event.preventDefault();
    rows[next].focus();
  }

  // ---- connection ----

  #linkChanged() {
    const { name, code, reason } = this.#connection.state;
    if (name === "open") {
      if (this.#everOpen) this.#announce("Connected again.");
      this.#everOpen = true;
      this.#presence.refresh();
      this.#outbox.opened();
      clearTimeout(this.#taking);
      this.#taking = setTimeout(() => this.#taken(), TAKEN_MS);
    } else if (name === "waiting" || name === "stopped") {
      clearTimeout(this.#taking);
      this.#outbox.closed(code, reason);
      this.#presence.refresh();
      // The banner counts seconds; only this is read aloud.
      if (this.#everOpen || name === "stopped") this.#announce("Connection lost.");
    }
    if (name === "stopped" && code === 4000) {
      this.#history.forgetEmpty();
      signOut(reason || "The server does not accept this id.");
      return;
    }
    this.#showLink();
  }

  #taken() {
    this.isTaken = true;
    rememberId(this.me);
  }

  #showLink() {
    clearInterval(this.#ticker);
    if (this.#abort.signal.aborted) return;
    const state = this.#connection.state;
    const link = $("link");
    link.textContent = { connecting: "Connecting…", open: "Connected", waiting: "Not connected", stopped: "Disconnected" }[state.name];
    link.classList.toggle("good", state.name === "open");
    link.classList.toggle("bad", state.name === "waiting" || state.name === "stopped");
    if (state.name === "waiting") {
      this.#countDown();
      this.#ticker = setInterval(() => this.#countDown(), 500);
    } else if (state.name === "stopped") {
      this.#banner("bad", this.#stopWords(state), "Try again");
    } else if (state.name === "connecting" && (this.#everOpen || state.attempt > 0)) {
      this.#banner("warn", "Connecting again…");
    } else if (this.#saveTrouble) {
      this.#banner("warn", "This browser's storage is full: new messages will not survive a reload.");
    } else {
      $("banner").hidden = true;
    }
  }

  #stopWords({ code, reason }) {
    if (code === 4050) return `The server did not let you in: ${reason || "unauthorized"}.`;
    return `The server ended the connection: ${reason || "no reason given"} (${code}).`;
  }

  #countDown() {
    const { retryAt, code } = this.#connection.state;
    const seconds = Math.ceil((retryAt - Date.now()) / 1000);
    const why = navigator.onLine ? (SPOKEN_CODES[code] ?? "No connection to the server.") : "Your device is offline.";
    const wait = seconds > 1 ? `Next try in ${seconds} s.` : "Trying again…";
    this.#banner("warn", `${why} ${wait}`, seconds > 1 ? "Try now" : "");
  }

  #banner(kind, text, action = "") {
    $("banner").hidden = false;
    $("banner").dataset.kind = kind;
    $("banner-text").textContent = text;
    $("banner-action").textContent = action;
    $("banner-action").hidden = action === "";
  }

  #bannerAction() {
    this.#connection.retry();
  }

  #announce(text) {
    $("live").replaceChildren(element("p", "", text));
  }
}

/** With whom the address says that a conversation is open. */
function wantedPeer() {
  return new URLSearchParams(location.search).get("to")?.normalize("NFC") ?? null;
}

// ---- start -------------------------------------------------------------------------------------------------------------

function showTheme() {
  const dark = window.tidewireTheme.current() === "dark";
  $("theme").replaceChildren(icon(dark ? "sun" : "moon"));
  const label = dark ? "Use the light theme" : "Use the dark theme";
  $("theme").setAttribute("aria-label", label);
  $("theme").title = label;
}

$("theme").addEventListener("click", () => {
  window.tidewireTheme.toggle();
  showTheme();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
showTheme();

$("sign-in-form").addEventListener("submit", (event) => {
  event.preventDefault();
  signIn(normalId($("me-field").value), wantedPeer());
});
$("me-field").addEventListener("input", () => {
  $("me-problem").textContent = "";
});

const me = normalId(new URLSearchParams(location.search).get("me") ?? "") || storage?.getItem(`${KNOWN_KEY}/last`) || "";
if (me === "") showSignIn();
else signIn(me, wantedPeer());
