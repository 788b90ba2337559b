// The way of a message, or of the messages of a user. It is asked for once, not again and again.

import { get } from "./api.js";
import { time, userLink } from "./lists.js";
import { make, pill, tell } from "./rows.js";
import { $ } from "./shell.js";

const STATES = {
  confirmed: "good",
  waiting: "warn",
  passed_on: "good",
  released: "warn",
  refused: "bad",
  expired: "bad",
  missed: "bad",
  removed: "warn",
};
const words = (name) => name.replaceAll("_", " ");
/** A message's id, as the server writes it. */
const IS_ID = /^[0-9A-F]{8}-[0-9A-F]{8}-[0-9A-F]{4}-[0-9A-F]{8}$/;
const NO_ROUTE = "Not found";

let asked = "";
$("trace-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const wanted = $("trace-what").value.trim();
  const hash = `#trace/${encodeURIComponent(wanted)}`;
  if (location.hash === hash) look(wanted);
  else location.hash = hash;
});

export function enter(argument) {
  $("trace-what").value = argument;
  if (argument === "") {
    asked = "";
    tell($("trace-problem"), "");
    $("trace-found").replaceChildren();
  } else look(argument);
}

/** Nothing of it changes by itself. */
export async function ask() {}

async function look(wanted) {
  asked = wanted;
  tell($("trace-problem"), "Looking…");
  $("trace-found").replaceChildren();
  const escaped = encodeURIComponent(wanted);
  const isId = IS_ID.test(wanted.toUpperCase());
  const path = isId ? `../v1/trace/${escaped.toUpperCase()}?ids=strings` : `../v1/trace?ids=strings&user=${escaped}`;
  try {
    const { data } = await get(path);
    if (asked !== wanted) return;
    tell($("trace-problem"), "");
    $("trace-found").replaceChildren(...(isId ? [message(data)] : userPanels(data)));
  } catch (error) {
    if (asked !== wanted) return;
    const isMissing = error.status === 404 && error.message === NO_ROUTE;
    tell($("trace-problem"), isMissing ? "This server keeps no trace of messages." : error.message);
  }
}

const fact = (name, ...content) => make("div", "", make("dt", "", name), make("dd", "", ...content));

function message(data) {
  const facts = [fact("Received", time(data.received))];
  if (data.sender !== undefined) facts.push(fact("Sender", userLink(data.sender)));
  if (data.session !== undefined) facts.push(fact("By session", String(data.session)));
  if (data.recipients_count !== undefined) facts.push(fact("Recipients", String(data.recipients_count)));
  if (data.refused !== undefined) facts.push(fact("Refused", words(data.refused)));
  const panel = make("article", "panel", make("h3", "panel-title id", data.id), make("dl", "pairs", ...facts));
  if (data.explanation !== undefined) panel.append(make("p", "note", data.explanation));
  for (const recipient of data.recipients ?? []) panel.append(recipientPanel(recipient));
  if (data.complete === false) panel.append(make("p", "note muted", "Not all steps are remembered any more."));
  return panel;
}

function recipientPanel({ user, state, explanation, steps }) {
  const standing = make("span");
  pill(standing, [STATES[state] ?? "", words(state)]);
  const head = make("h4", "recipient", userLink(user), standing);
  const list = make("ol", "steps", ...steps.map(step));
  return make("div", "traced", head, make("p", "muted", explanation), list);
}

function step({ at, step: name, session, sessions, missed, reason }) {
  const parts = [
    words(name),
    session === undefined ? "" : `session ${session}`,
    sessions === undefined ? "" : `${sessions} live sessions`,
    missed === undefined ? "" : `${missed} missed it`,
    reason === undefined ? "" : words(reason),
  ];
  return make("li", "", make("time", "", time(at)), make("span", "", parts.filter((part) => part !== "").join(", ")));
}

function userPanels(data) {
  const link = make("a", "", data.user);
  link.href = `#user/${encodeURIComponent(data.user)}`;
  const since = data.since === null ? "Steps are not remembered (trace.enabled is false)." : `Steps are remembered since ${time(data.since)} at the most.`;
  const head = make("p", "muted", "User ", link, `: ${data.sessions} live sessions, ${data.waiting.length}${data.more_waiting ? " or more" : ""} messages waiting. ${since}`);
  const found = data.messages.map(message);
  if (found.length === 0) found.push(make("p", "panel empty muted", "Nothing is remembered of messages from or to this user."));
  return [head, ...found];
}
