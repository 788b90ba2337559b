// Targets of events, and the letters that they were not given.

import { get, post, remove } from "./api.js";
import { bytes, short } from "./format.js";
import { PAGE, Pages, row, time, tool } from "./lists.js";
import { enable, keep, make, pill, tell } from "./rows.js";
import { $, act, confirmed } from "./shell.js";

const LETTERS = "../v1/events/dead-letters";
const pages = new Pages($("letters-pages"));
const replayed = ({ data }) => `${data.delivered} were taken${data.failed === 0 ? "" : `, ${data.failed} were not and stay`}.`;
const replay = (query) => act(() => post(`${LETTERS}/replay${query}`), replayed);

const BREAKER = { closed: ["good", "in use"], open: ["bad", "left alone"], "half-open": ["warn", "on trial"] };
const standing = ({ breaker }) => {
  const made = make("span");
  pill(made, BREAKER[breaker] ?? ["", breaker]);
  return made;
};

const count = (name) => (target) => short(target[name]);
const targetRow = row(
  [
    ["Target", "", ({ name, type }) => `${name} (${type})`],
    ["State", "", standing],
    ["Backlog", "right", count("pending")],
    ["Delivered", "right", count("delivered")],
    ["Failures", "right", count("failures")],
    ["By fallback", "right", count("rescued")],
    ["Dead", "right", count("dead")],
    ["Missed", "right", count("dropped")],
  ],
  ({ name }) => [tool("Replay", `Give ${name} its dead letters once more`, () => replay(`?target=${encodeURIComponent(name)}`))],
);

async function forget(letter) {
  const text = `The event for ${letter.target} is removed for good.`;
  if (!(await confirmed(`Forget letter ${letter.id}?`, text, "Forget"))) return;
  await act(() => remove(`${LETTERS}?id=${letter.id}`), ({ data }) => (data.removed > 0 ? `Letter ${letter.id} was removed.` : `Letter ${letter.id} was not there any more.`));
}

const letterRow = row(
  [
    ["Letter", "", ({ id }) => String(id)],
    ["Target", "", ({ target }) => target],
    ["Given up", "", (letter) => time(letter.time)],
    ["Attempts", "right", ({ attempts }) => String(attempts)],
    ["Reason", "why", ({ reason }) => reason],
  ],
  (letter) => [
    tool("Replay", `Replay letter ${letter.id}`, () => replay(`?id=${letter.id}`)),
    tool("Forget", `Forget letter ${letter.id}`, () => forget(letter)),
  ],
);

$("replay-all").addEventListener("click", async () => {
  const text = "Every dead letter is given to its target once more; those that are not taken stay.";
  if (await confirmed("Replay all dead letters?", text, "Replay")) await replay("");
});

export async function ask() {
  const after = pages.after === null ? "" : `&after=${pages.after}`;
  const [{ data: events }, { data: dead }] = await Promise.all([get("../v1/events"), get(`${LETTERS}?event=none&limit=${PAGE}${after}`)]);
  const lost = events.lost === 0 ? "" : `, ${short(events.lost)} lost for want of room`;
  tell($("outbox"), events.targets.length === 0 ? "" : `${short(events.pending)} events pending, ${bytes(events.pending_bytes)}${lost}`);
  keep($("target-rows"), events.targets, ({ name }) => name, targetRow);
  $("no-targets").hidden = events.targets.length > 0;
  keep($("letter-rows"), dead.letters, ({ id }) => id, letterRow);
  tell($("letters-count"), short(events.dead_letters));
  $("no-letters").hidden = dead.letters.length > 0;
  pages.show(dead.letters.length, dead.letters.length === PAGE ? dead.letters.at(-1).id : null);
  enable($("replay-all"), events.dead_letters > 0);
}
