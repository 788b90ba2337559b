// Builds page elements. User data becomes text nodes and attributes only, never markup.

import { element, icon } from "./dom.js";
import { excerpt, fillText } from "./longtext.js";
import { nameOf } from "./names.js";

const TINTS = 8;
/** Messages of one side closer than this stand together as a group. */
const GROUP_MS = 3 * 60_000;

/** Fills an avatar: first letter on a colour that is always the same for one id. */
export function paintAvatar(node, id, online = null) {
  const name = nameOf(id);
  const letters = /^\d+$/.test(name) ? name.slice(-2) : (name.match(/[\p{L}\p{N}]/u)?.[0] ?? "?").toUpperCase();
  let hash = 0;
  for (const char of id) hash = (hash * 31 + char.codePointAt(0)) % 9973;
  node.replaceChildren(letters);
  node.dataset.tint = hash % TINTS;
  node.classList.toggle("online", online === true);
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "long" });
const dayShort = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const dayLong = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

function daysAgo(time) {
  const midnight = (date) => new Date(date).setHours(0, 0, 0, 0);
  // Rounded, since a day with a clock change has 23 or 25 hours.
  return Math.round((midnight(Date.now()) - midnight(time)) / 86_400_000);
}

function dayLabel(time) {
  const days = daysAgo(time);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  return dayLong.format(time);
}

function shortTime(time) {
  const days = daysAgo(time);
  if (days <= 0) return clock.format(time);
  if (days === 1) return "Yesterday";
  return days < 7 ? weekday.format(time) : dayShort.format(time);
}

/** One row of the list of people. */
export function personRow(id, { conversation = null, online, active, onOpen }) {
  const avatar = element("span", "avatar");
  paintAvatar(avatar, id, online);
  const last = conversation?.last ?? null;
  const unread = conversation?.unread ?? 0;

  const top = element("span", "row-top", element("bdi", "name", nameOf(id)));
  if (last !== null) top.append(element("span", "when", shortTime(last.time)));
  const bottom = element("span", "row-bottom");
  const preview = element("span", "preview");
  if (last?.out) {
    if (last.state === "refused") preview.append(element("span", "refused-word", "Not delivered: "));
    else preview.append("You: ");
  }
  if (last === null) preview.append(online ? "Online" : "No messages yet");
  else preview.append(element("bdi", "", excerpt(shownText(last))));
  bottom.append(preview);
  if (unread > 0) bottom.append(element("span", "badge", unread > 99 ? "99+" : String(unread)));

  const button = element("button", "person", avatar, element("span", "row-text", top, bottom));
  button.type = "button";
  button.dataset.id = id;
  avatar.setAttribute("aria-hidden", "true");
  const words = [nameOf(id), online ? "online" : "", unread > 0 ? `${unread} unread` : "", preview.textContent];
  button.setAttribute("aria-label", words.filter(Boolean).join(", "));
  if (active) button.setAttribute("aria-current", "true");
  button.addEventListener("click", onOpen);
  return element("li", "", button);
}

/** What a message shows: its text, or a word for kinds this page has no picture of. */
export function shownText(message) {
  if (message.text !== "") return message.text;
  return message.type === "text" ? "" : `Message of type “${nameOf(message.type)}”`;
}

const STATES = {
  waiting: ["clock", "Waiting for the connection"],
  sending: ["clock", "Sending"],
  accepted: ["tick", "Accepted by the server"],
  delivered: ["ticks", "Delivered"],
  refused: ["alert", "Refused"],
};

/** One message, with the day separator before it when the day changes. */
export function messageItem(message, previous, { onRetry }) {
  const item = element("li", `message ${message.out ? "mine" : "theirs"}`);
  item.dataset.key = message.key;
  if (message.state !== null) item.dataset.state = message.state;
  const newDay = previous === null || daysAgo(previous.time) !== daysAgo(message.time);
  const grouped = !newDay && previous.out === message.out && Math.abs(message.time - previous.time) < GROUP_MS;
  if (grouped) item.classList.add("grouped");
  if (newDay) item.append(element("div", "day", element("span", "", dayLabel(message.time))));

  const body = element("div", "body");
  body.dir = "auto";
  let more = null;
  if (message.text === "") body.append(element("em", "", shownText(message)));
  else more = fillText(body, message.text, message);
  const time = element("time", "", clock.format(message.time));
  time.dateTime = new Date(message.time).toISOString();
  time.title = moment.format(message.time);
  const meta = element("span", "meta", time);
  const state = STATES[message.state];
  if (state !== undefined) {
    const mark = element("span", "mark", icon(state[0]), element("span", "unseen", state[1]));
    mark.title = state[1];
    meta.append(mark);
  }
  const who = element("span", "unseen", message.out ? "You: " : "");
  const parts = [others(message), who, body, more, data(message), meta];
  item.append(element("div", "bubble", ...parts.filter((part) => part !== null)));
  if (message.state === "refused") item.append(refusal(message, onRetry));
  return item;
}

/** Whom else the message was sent to. */
function others({ others: ids = [], othersCount = ids.length }) {
  if (ids.length === 0) return null;
  const line = element("p", "others", "Also to ");
  ids.forEach((id, index) => line.append(...(index > 0 ? [", "] : []), element("bdi", "", nameOf(id))));
  if (othersCount > ids.length) line.append(` and ${othersCount - ids.length} more`);
  return line;
}

/** The message's data, folded up. */
function data({ data: text = "" }) {
  if (text === "") return null;
  const shown = element("pre", "", text);
  shown.tabIndex = 0;
  shown.setAttribute("aria-label", "Data of this message");
  return element("details", "data", element("summary", "", "Data"), shown);
}

function refusal(message, onRetry) {
  const words = element("span", "", message.reason || "The server refused this message.");
  if (message.cut) return element("p", "refusal", words);
  const retry = element("button", "retry", icon("retry"), "Try again");
  retry.type = "button";
  retry.addEventListener("click", () => onRetry(message));
  return element("p", "refusal", words, retry);
}

export function unreadDivider() {
  return element("li", "unread-divider", element("span", "", "New messages"));
}
