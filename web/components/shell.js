// The frame of an admin page: notices, the question before what cannot be taken back, the sign-in, and the round that asks
// the server again and again.

import { ApiError, setToken } from "./api.js";
import { make, pill, tell } from "./rows.js";

const EVERY_MS = 1000;
const NOTICE_MS = 6000;
const NOTICES_MAX = 4;

export const $ = (id) => document.getElementById(id);

export function notice(text, bad = false) {
  const made = make("div", bad ? "notice bad" : "notice", text);
  const notices = $("notices");
  notices.append(made);
  while (notices.children.length > NOTICES_MAX) notices.firstElementChild.remove();
  // What went wrong stays until it is pushed out or clicked away.
  if (!bad) setTimeout(() => made.remove(), NOTICE_MS);
  made.addEventListener("click", () => made.remove());
}

/** Asks before what cannot be taken back. */
export function confirmed(title, text, yes) {
  tell($("confirm-title"), title);
  tell($("confirm-text"), text);
  tell($("confirm-yes"), yes);
  return answered($("confirm"));
}

/** Opens a dialog; resolves to whether it was left with "yes". */
export function answered(dialog) {
  if (document.querySelector("dialog[open]") !== null) return Promise.resolve(false);
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/** Does what the operator wants, tells what became of it, and shows how it is now. */
export async function act(call, done) {
  try {
    notice(done(await call()));
  } catch (error) {
    failed(error);
  }
  await refresh();
}

export function failed(error) {
  if (error instanceof ApiError && error.status === 401) signIn();
  else notice(error.message, true);
}

/** When the figures were true, in the time of the page. */
let seen = 0;

/** Without the server its figures are old, and nothing can be asked of it: they are dimmed, and its buttons off. */
function reach(is) {
  document.body.classList.toggle("gone", !is);
  for (const button of document.querySelectorAll(".actions button, main button")) {
    if (!is && !button.disabled) {
      button.disabled = true;
      button.dataset.off = "";
    } else if (is && button.dataset.off !== undefined) {
      // What `show` has switched off meanwhile stays so.
      button.disabled = button.dataset.wanted === "off";
      delete button.dataset.off;
    }
  }
  if (is) return;
  for (const dialog of document.querySelectorAll("dialog[open]")) {
    if (dialog !== $("sign-in")) dialog.close("no");
  }
}

/** How old the figures are. */
function age() {
  return seen === 0 ? "" : `, figures of ${new Date(seen).toLocaleTimeString()}`;
}

let ask = async () => {};
let timer;
let asking = null;
let again = false;

/** Asks now; a request under way is enough. */
export function refresh() {
  asking ??= round().finally(() => (asking = null));
  return asking;
}

/** Asks as soon as possible for something else than what a request under way has asked for. */
export function refreshAnew() {
  again = asking !== null;
  return refresh();
}

async function round() {
  clearTimeout(timer);
  try {
    do {
      again = false;
      await ask();
    } while (again);
    seen = Date.now();
    reach(true);
    pill($("link"), ["good", "live"]);
  } catch (error) {
    const asked = error instanceof ApiError && error.status === 401;
    const told = error instanceof ApiError && !asked ? error.message : "not reachable";
    reach(false);
    pill($("link"), asked ? ["warn", `not signed in${age()}`] : ["bad", `${told}${age()}`]);
    if (asked) {
      signIn();
      return; // goes on once there is a token
    }
  }
  if (!document.hidden) timer = setTimeout(refresh, EVERY_MS);
}

let tried = false;
function signIn() {
  const dialog = $("sign-in");
  if (dialog.open) return;
  tell($("sign-in-problem"), tried ? "That token is not the right one." : "");
  dialog.showModal();
}

/** Begins: `wanted` asks for everything and shows it. */
export function start(wanted) {
  ask = wanted;
  $("sign-in-form").addEventListener("submit", () => {
    tried = true;
    setToken($("token").value);
    $("token").value = "";
    refresh();
  });
  // Without a token there is nothing behind this dialog.
  $("sign-in").addEventListener("cancel", (event) => event.preventDefault());
  // Nobody looks: nobody asks.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else refresh();
  });
  refresh();
}
