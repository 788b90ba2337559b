// The endpoints with their upstreams and processes.

import { bytes, short, span } from "./format.js";
import { button, enable, keep, make, pill, tell } from "./rows.js";

const PHASES = {
  starting: ["warn", "starting"],
  running: ["good", "running"],
  stopping: ["warn", "stopping"],
  waiting: ["warn", "waiting to restart"],
  crash_loop: ["bad", "crash loop"],
  stopped: ["bad", "stopped"],
};

/** How an upstream stands, in one word and colour. */
export function standing(upstream) {
  if (upstream.removed) return ["", "removed"];
  if (!upstream.enabled) return ["warn", "switched off"];
  if (upstream.breaker === "open") return ["bad", upstream.ejected_for_ms > 0 ? `ejected, ${span(Math.ceil(upstream.ejected_for_ms / 1000))}` : "ejected"];
  if (upstream.health === "unhealthy") return ["bad", "unhealthy"];
  if (upstream.breaker === "half_open") return ["warn", "on trial"];
  if (upstream.breaker === "suspected") return ["warn", "asked"];
  if (upstream.health === "healthy") return ["good", "healthy"];
  return ["good", "in use"];
}

/** How an endpoint stands as a whole. */
export function overall(endpoint) {
  if (endpoint.draining) return ["warn", "draining"];
  const present = endpoint.upstreams.filter((upstream) => !upstream.removed);
  const good = present.filter((upstream) => standing(upstream)[0] === "good").length;
  if (good === present.length) return ["good", "up"];
  return good > 0 ? ["warn", `${good} of ${present.length} up`] : ["bad", "down"];
}

function fact(name, title = "") {
  const value = make("b");
  const made = make("span", "", value, ` ${name}`);
  made.title = title;
  return { made, value };
}

function cell(label, className = "") {
  const made = make("td", className);
  made.dataset.label = label;
  return made;
}

function upstreamRow(actions, name) {
  return (first) => {
    const state = make("span");
    const why = make("div", "why");
    const address = make("span");
    const cells = {
      state: cell("", "wide"),
      address: cell("", "wide"),
      active: cell("Connections", "right"),
      opened: cell("Opened", "right"),
      failed: cell("Failed", "right"),
      lost: cell("Lost", "right"),
      checks: cell("Checks failed", "right"),
    };
    cells.state.append(state);
    cells.address.append(address, why);
    const toggle = button("plain small", "", () => actions.toggle(name, row.upstream));
    const drain = button("plain small", "Drain", () => actions.drainUpstream(name, row.upstream));
    drain.title = "End the connections it has with 1012, at the drain's pace";
    const tools = cell("", "tools");
    tools.append(toggle, drain);
    const row = make("tr", "", ...Object.values(cells), tools);
    row.upstream = first;
    row.show = (upstream) => {
      row.upstream = upstream;
      pill(state, standing(upstream));
      const zone = upstream.zone === null ? "" : ` · zone ${upstream.zone}`;
      const weight = upstream.weight === 1 ? "" : ` · weight ${upstream.weight}`;
      tell(address, `${upstream.address}${zone}${weight}`);
      tell(why, upstream.health_error ?? "");
      const max = upstream.connections_max;
      tell(cells.active, `${upstream.active}${max === null ? "" : ` / ${max}`}`);
      for (const [to, count] of [["opened", "opened"], ["failed", "failed"], ["lost", "lost"], ["checks", "checks_failed"]]) {
        tell(cells[to], short(upstream.totals[count]));
      }
      tell(toggle, upstream.enabled ? "Switch off" : "Switch on");
      enable(toggle, !upstream.removed);
      enable(drain, upstream.active > 0);
    };
    return row;
  };
}

const HEADINGS = [["State"], ["Upstream"], ["Connections", "right"], ["Opened", "right"], ["Failed", "right"], ["Lost", "right"], ["Checks failed", "right"]];

/** Makes the panel of an endpoint. */
export const endpointPanel = (actions) => (first) => {
  const { name } = first;
  const state = make("span");
  const aliases = make("span", "muted");
  const facts = {
    connections: fact("connections"),
    dialects: fact(""),
    opened: fact("opened"),
    refused: fact("refused"),
    received: fact("from clients"),
    sent: fact("to clients"),
    messages: fact("messages", "From and to clients"),
    lost: fact("backends lost", "Behind a client that stays"),
    resumed: fact("resumed"),
    overflowed: fact("overflowed", "Messages refused or dropped for want of room"),
  };
  const uncounted = make("span", "", "messages of pinned sockets are not counted");
  uncounted.title = "They are relayed as bytes, which the gateway does not read: openings and bytes are counted. Rates, resume and extensions = \"per-hop\" make it read messages.";
  const line = make("div", "facts", ...Object.values(facts).map(({ made }) => made), uncounted);
  const drain = button("plain", "Drain", () => actions.drain(name));
  drain.title = "End its sessions with 1012, at the drain's pace; others stay";
  const title = make("h3", "", name);
  const head = make("header", "endpoint-head", title, aliases, state, line, make("div", "tools", drain));
  const headings = HEADINGS.map(([text, side]) => make("th", side, text));
  const actionsHeading = make("th", "", make("span", "unseen", "Actions"));
  const rows = make("tbody");
  const table = make("table", "upstreams", make("thead", "", make("tr", "", ...headings, actionsHeading)), rows);

  const phase = make("span");
  const about = make("span", "text muted");
  const restart = button("plain small", "Restart process", () => actions.restart(name));
  const process = make("div", "process", make("span", "", "Process"), phase, about, restart);

  const panel = make("article", "panel endpoint", head, process, table);
  panel.show = (endpoint) => {
    pill(state, overall(endpoint));
    tell(aliases, `also ${endpoint.aliases.join(", ")}`);
    aliases.hidden = endpoint.aliases.length === 0;
    const { counters } = endpoint;
    const max = endpoint.connections_max;
    tell(facts.connections.value, `${endpoint.connections}${max === null ? "" : ` / ${max}`}`);
    const dialects = Object.entries(endpoint.sessions).map(([dialect, count]) => `${count} ${dialect}`);
    tell(facts.dialects.value, dialects.join(", "));
    facts.dialects.made.hidden = dialects.length === 0;
    tell(facts.opened.value, short(counters.opened));
    tell(facts.refused.value, short(counters.refused));
    tell(facts.received.value, bytes(counters.bytes_in));
    tell(facts.sent.value, bytes(counters.bytes_out));
    tell(facts.messages.value, short(counters.messages_in + counters.messages_out));
    const relayed = !endpoint.reads_messages;
    facts.messages.made.hidden = relayed && counters.messages_in + counters.messages_out === 0;
    uncounted.hidden = !relayed;
    for (const rare of ["lost", "resumed", "overflowed"]) {
      tell(facts[rare].value, short(counters[rare]));
      facts[rare].made.hidden = counters[rare] === 0;
    }
    enable(drain, !endpoint.draining && Object.keys(endpoint.sessions).length > 0);
    process.hidden = endpoint.process === null;
    if (endpoint.process !== null) showProcess(endpoint.process);
    keep(rows, endpoint.upstreams, (upstream) => upstream.id, upstreamRow(actions, name));
  };
  function showProcess(state) {
    pill(phase, PHASES[state.phase] ?? ["", state.phase]);
    const parts = [
      state.pid === null ? "" : `pid ${state.pid}`,
      `${state.restarts} restarts`,
      state.last_exit === null ? "" : `ended last with ${state.last_exit}`,
    ];
    tell(about, parts.filter((part) => part !== "").join(" · "));
  }
  return panel;
};
