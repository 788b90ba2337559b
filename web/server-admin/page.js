// The admin page: asks the API once a second, shows what it says, and passes on what the operator wants.

import { get } from "./api.js";
import * as configuration from "./configuration.js";
import * as events from "./events.js";
import * as mailboxes from "./mailboxes.js";
import * as overview from "./overview.js";
import * as sessions from "./sessions.js";
import { $, refreshAnew, start } from "./shell.js";
import * as trace from "./trace.js";
import * as user from "./user.js";

/** Each shows a section, and has `ask`, which asks for what it shows; `enter(argument)` when it is chosen. */
const PARTS = { overview, sessions, user, mailboxes, events, trace, configuration };
let current = "";

/** The part that the address names: `#user/42`. */
function chosen() {
  const [name, ...rest] = location.hash.slice(1).split("/");
  const known = Object.hasOwn(PARTS, name) ? name : "overview";
  let argument = rest.join("/");
  try {
    argument = decodeURIComponent(argument);
  } catch {
    // Then it is what stands there.
  }
  return [known, argument];
}

function choose(byHand) {
  const [name, argument] = chosen();
  current = name;
  for (const part of Object.keys(PARTS)) $(part).hidden = part !== name;
  const tab = name === "user" ? "sessions" : name;
  for (const link of document.querySelectorAll(".tabs a")) {
    if (link.hash === `#${tab}`) {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else link.removeAttribute("aria-current");
  }
  PARTS[name].enter?.(argument);
  if (byHand) {
    $(`${name}-title`).focus({ preventScroll: true });
    scrollTo(0, 0);
    refreshAnew();
  }
}

async function ask() {
  const part = current;
  const [{ data: status }] = await Promise.all([get("../v1/status"), part === "overview" ? null : PARTS[part].ask()]);
  overview.show(status);
}

addEventListener("hashchange", () => choose(true));
choose(false);
start(ask);
