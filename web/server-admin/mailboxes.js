// Mailboxes with something in them, and its removal.

import { get, remove } from "./api.js";
import { bytes, short, span } from "./format.js";
import { PAGE, Pages, findsUser, row, tool, userLink } from "./lists.js";
import { keep, tell } from "./rows.js";
import { $, act, confirmed } from "./shell.js";

const pages = new Pages($("mailboxes-pages"));
findsUser($("find-mailbox"), $("find-mailbox-id"));

export async function purge(user) {
  const text = "Everything that waits for this user is removed for good. Connections have what they were given already.";
  if (!(await confirmed(`Purge the mailbox of ${user}?`, text, "Purge"))) return;
  await act(() => remove(`../messages?user=${encodeURIComponent(user)}`), ({ data }) => `${data.removed} messages for ${user} were removed.`);
}

const mailboxRow = row(
  [
    ["User", "", ({ user }) => userLink(user)],
    ["Messages", "right", ({ messages }) => short(messages)],
    ["Size", "right", (mailbox) => bytes(mailbox.bytes)],
    ["Next expires in", "right", (mailbox) => span(mailbox.expires_in_seconds)],
  ],
  ({ user }) => [tool("Purge", `Purge the mailbox of ${user}`, () => purge(user))],
);

export async function ask() {
  const after = pages.after === null ? "" : `&after=${encodeURIComponent(pages.after)}`;
  const { data } = await get(`../v1/mailboxes?ids=strings&limit=${PAGE}${after}`);
  keep($("mailbox-rows"), data.mailboxes, ({ user }) => user, mailboxRow);
  $("no-mailboxes").hidden = data.mailboxes.length > 0;
  pages.show(data.mailboxes.length, data.next);
  tell($("mailboxes-count"), data.mailboxes.length === 0 ? "" : `${data.mailboxes.length} shown`);
}
