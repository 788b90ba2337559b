// One user: counters, sessions, mailbox.

import { get } from "./api.js";
import { bytes, short, span } from "./format.js";
import { PAGE, Pages, SHORT_PAGE, row, time, tool, userLink } from "./lists.js";
import { purge } from "./mailboxes.js";
import { pairs } from "./overview.js";
import { enable, keep, pill, tell } from "./rows.js";
import { blockUser, disconnectUser, liftBlock, sessionRow } from "./sessions.js";
import { $ } from "./shell.js";

let user = "";
let isBlocked = false;
const pages = new Pages($("user-messages-pages"));
$("user-disconnect").addEventListener("click", () => disconnectUser(user));
$("user-block").addEventListener("click", () => (isBlocked ? liftBlock(user) : blockUser(user)));
$("user-purge").addEventListener("click", () => purge(user));

export function enter(argument) {
  if (argument !== user) {
    // Nothing of the one before may stand under this one's name.
    for (const place of ["user-stat", "user-sessions", "user-messages"]) $(place).replaceChildren();
    pill($("user-state"), ["", "…"]);
    tell($("user-mailbox"), "");
    pages.reset();
  }
  user = argument;
  tell($("user-title"), `User ${user}`);
}

const messageRow = row(
  [
    ["Id", "id", ({ id }) => id],
    ["Accepted", "", (message) => time(message.time)],
    ["Sender", "", ({ sender }) => userLink(sender)],
    ["Type", "", ({ type }) => type],
    ["Size", "right", (message) => bytes(message.bytes)],
  ],
  ({ id }) => [tool("Trace", `Trace ${id}`, () => (location.hash = `#trace/${id}`))],
);

const when = (seconds) => (seconds > 0 ? new Date(seconds * 1000).toLocaleString() : "–");

export async function ask() {
  const asked = user;
  const after = pages.after ?? 0;
  const id = encodeURIComponent(asked);
  const [stat, sessions, mailbox, messages, blocks] = await Promise.all([
    get(`../stat?ids=strings&id=${id}`),
    get(`../sessions?ids=strings&user=${id}`),
    get(`../v1/mailboxes?ids=strings&user=${id}`),
    get(`../v1/mailboxes/messages?ids=strings&limit=${SHORT_PAGE}&after=${after}&user=${id}`),
    get("../blocks?ids=strings"),
  ]).catch((error) => {
    // Nobody can have this id: that is no trouble of the server.
    if (error.status !== 400) throw error;
    return [];
  });
  if (asked !== user) return;
  if (stat === undefined) {
    pill($("user-state"), ["bad", "no id of a user"]);
    for (const name of ["user-disconnect", "user-block", "user-purge"]) enable($(name), false);
    return;
  }
  const found = blocks.data.find((block) => block.user === asked);
  isBlocked = found !== undefined;
  const online = sessions.data.length > 0;
  pill($("user-state"), isBlocked ? ["bad", "blocked"] : online ? ["good", "online"] : ["", "offline"]);
  tell($("user-block"), isBlocked ? "Lift block" : "Block");
  showStat(stat.data, found);
  keep($("user-sessions"), sessions.data.slice(0, PAGE), ({ session }) => session, sessionRow);
  $("user-no-sessions").hidden = online;
  const waiting = mailbox.data.mailboxes[0];
  const count = waiting?.messages ?? 0;
  const shown = messages.data.messages.length;
  tell($("user-mailbox"), count === 0 ? "" : `${short(count)}, ${bytes(waiting.bytes)}, the next expires in ${span(waiting.expires_in_seconds)}`);
  keep($("user-messages"), messages.data.messages, ({ offset }) => offset, messageRow);
  $("user-no-messages").hidden = shown > 0 || after > 0;
  // A page of large messages is shorter.
  pages.show(shown, shown > 0 && shown < count ? messages.data.messages.at(-1).offset : null);
  enable($("user-disconnect"), online);
  enable($("user-block"), true);
  enable($("user-purge"), count > 0);
}

function showStat(stat, block) {
  const rows = [
    ["Messages sent", short(stat.sentMessages)],
    ["Messages received", short(stat.receivedMessages)],
    ["Bytes transferred", bytes(stat.bytesTransferred)],
    ["Connected, disconnected", `${short(stat.connectedTimes)}, ${short(stat.disconnectedTimes)}`],
    ["Last connection", when(stat.lastConnection)],
    ["Last message", when(stat.lastMessageTime)],
  ];
  if (block !== undefined) rows.unshift(["Blocked", `${block.until === null ? "until it is lifted" : `until ${time(block.until)}`}: ${block.reason}`, true]);
  pairs($("user-stat"), rows);
}
