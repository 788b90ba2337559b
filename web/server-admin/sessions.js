// Live sessions, and users who may not connect.

import { get, post, remove } from "./api.js";
import { PAGE, Pages, findsUser, row, time, tool, userLink } from "./lists.js";
import { keep, tell } from "./rows.js";
import { $, act, answered, confirmed } from "./shell.js";

const pages = new Pages($("sessions-pages"));
findsUser($("find-user"), $("find-user-id"));
const query = encodeURIComponent;
/** Blocks shown; each is found at its user too. */
const BLOCKS_MAX = 200;

export async function disconnectUser(user) {
  const text = "All sessions end with 4020. The client may come back at once; block the user to keep it out.";
  if (!(await confirmed(`Disconnect ${user}?`, text, "Disconnect"))) return;
  await act(() => remove(`../sessions?user=${query(user)}`), ({ data }) => `${data.disconnected} sessions of ${user} are told to end.`);
}

export async function blockUser(user) {
  tell($("block-title"), `Block ${user}?`);
  $("block-reason").value = "";
  if (!(await answered($("block")))) return;
  const length = $("block-for").value;
  const reason = $("block-reason").value.trim();
  const limit = length === "" ? "" : `&for=${length}`;
  const why = reason === "" ? "" : `&reason=${query(reason)}`;
  await act(() => post(`../blocks?ids=strings&user=${query(user)}${limit}${why}`), ({ data }) => `${user} is blocked; ${data.disconnected} sessions are told to end.`);
}

export const liftBlock = (user) => act(() => remove(`../blocks?user=${query(user)}`), () => `${user} may connect again.`);

const endSession = (session) =>
  act(() => remove(`../sessions?session=${session.session}`), ({ data }) => (data.disconnected > 0 ? `Session ${session.session} is told to end.` : `Session ${session.session} has ended already.`));

export const sessionRow = row(
  [
    ["Session", "", ({ session }) => String(session)],
    ["User", "", ({ user }) => userLink(user)],
    ["Address", "", ({ address }) => address ?? "–"],
    ["Since", "", ({ since }) => time(since)],
  ],
  (session) => [
    tool("Disconnect", `Disconnect session ${session.session} of ${session.user}`, () => endSession(session)),
    tool("Block", `Block ${session.user}`, () => blockUser(session.user)),
  ],
);

const blockRow = row(
  [
    ["User", "", ({ user }) => userLink(user)],
    ["Since", "", ({ since }) => time(since)],
    ["Until", "", ({ until }) => (until === null ? "it is lifted" : time(until))],
    ["Reason", "why", ({ reason }) => reason],
  ],
  ({ user }) => [tool("Lift", `Lift the block of ${user}`, () => liftBlock(user))],
);

export async function ask() {
  const after = pages.after === null ? "" : `&after=${pages.after}`;
  const [{ data: sessions }, { data: blocks }] = await Promise.all([
    get(`../sessions?ids=strings&limit=${PAGE}${after}`),
    get("../blocks?ids=strings"),
  ]);
  keep($("session-rows"), sessions, ({ session }) => session, sessionRow);
  $("no-sessions").hidden = sessions.length > 0;
  pages.show(sessions.length, sessions.length === PAGE ? sessions.at(-1).session : null);
  tell($("blocks-count"), blocks.length > BLOCKS_MAX ? `${BLOCKS_MAX} of ${blocks.length}` : String(blocks.length));
  keep($("block-rows"), blocks.slice(0, BLOCKS_MAX), ({ user }) => user, blockRow);
  $("no-blocks").hidden = blocks.length > 0;
}
