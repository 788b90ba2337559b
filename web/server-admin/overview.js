// How the server stands: rates, latency, store, and what was refused.

import { Chart } from "./chart.js";
import { bytes, short, span } from "./format.js";
import { Rates } from "./rates.js";
import { keep, make, pill, tell } from "./rows.js";
import { $ } from "./shell.js";

const perSecond = (value) => `${short(value)}/s`;
const milliseconds = (value) => (Number.isFinite(value) ? `${short(value)} ms` : "–");
const COUNTERS = ["accepted", "delivered", "messages_refused", "requests_refused"];
const rates = new Rates(COUNTERS, ["sessions", "waiting", "latency", "memory"]);
const charts = {
  sessions: new Chart($("chart-sessions"), "Sessions", short, ["one"]),
  messages: new Chart($("chart-messages"), "Messages accepted and delivered per second", perSecond),
  refused: new Chart($("chart-refused"), "Messages and requests refused per second", perSecond),
  waiting: new Chart($("chart-waiting"), "Messages waiting in mailboxes", short, ["one"]),
  latency: new Chart($("chart-latency"), "Time until the store executes a command", milliseconds, ["one"]),
  memory: new Chart($("chart-memory"), "Memory held for clients", bytes, ["one"]),
};

const HEALTH = { ok: ["good", "healthy"], degraded: ["warn", "degraded"], failing: ["bad", "failing"] };
const sum = (counts) => Object.values(counts).reduce((total, count) => total + count, 0);
const words = (name) => name.replaceAll("_", " ");

/** A row of names with values. */
export function pairs(place, rows) {
  keep(place, rows, ([name]) => name, ([name]) => {
    const value = make("dd");
    const made = make("div", "", make("dt", "", name), value);
    made.show = ([, text, loud]) => {
      tell(value, text);
      made.classList.toggle("loud", loud === true);
    };
    return made;
  });
}

export function show(status) {
  const counters = {
    accepted: status.messages.accepted,
    delivered: status.messages.delivered,
    messages_refused: status.messages.refused + status.messages.invalid,
    requests_refused: sum(status.requests_refused),
  };
  const { store, memory } = status;
  const gauges = { sessions: status.sessions, waiting: store.messages, latency: store.wait_ms ?? 0, memory: memory.bytes };
  rates.take([{ name: "server", counters }], gauges, performance.now());
  tell($("about"), `${status.version} · up ${span(status.uptime_seconds)}`);
  showHealth(status.health);
  tell($("now-sessions"), short(status.sessions));
  tell($("sessions-count"), short(status.sessions));
  tell($("connections"), `${short(status.connections)} connections`);
  tell($("now-messages"), perSecond(rates.last("accepted")));
  tell($("now-refused"), perSecond(rates.last("messages_refused") + rates.last("requests_refused")));
  tell($("now-waiting"), short(store.messages));
  tell($("waiting-bytes"), `${bytes(store.bytes)} for ${short(store.users)} users`);
  tell($("now-latency"), store.wait_ms === null ? "no answer" : milliseconds(store.wait_ms));
  tell($("now-memory"), bytes(memory.bytes));
  tell($("memory-max"), `of ${bytes(memory.bytes_max)}${memory.evicted === 0 ? "" : `, ${short(memory.evicted)} closed for it`}`);
  const { series } = rates;
  charts.sessions.draw(series.sessions);
  charts.messages.draw(series.accepted, series.delivered);
  charts.refused.draw(series.messages_refused, series.requests_refused);
  charts.waiting.draw(series.waiting);
  charts.latency.draw(series.latency);
  charts.memory.draw(series.memory);
  showStore(store, status.messages);
  showReasons(status);
  const dead = status.events.dead_letters;
  const troubled = status.events.targets_failing;
  $("events-mark").hidden = dead === 0 && troubled === 0;
  tell($("events-mark"), troubled > 0 ? `${troubled} failing` : short(dead));
}

function showHealth({ status, reason }) {
  $("health").hidden = false;
  pill($("health"), HEALTH[status] ?? ["", status]);
  const banner = $("health-reason");
  banner.hidden = reason === undefined;
  banner.classList.toggle("bad", status === "failing");
  tell(banner, reason ?? "");
}

function showStore(store, messages) {
  pairs($("store"), [
    ["Stored", short(store.appended)],
    ["Left by confirmation", short(store.acked)],
    ["Expired", short(store.expired)],
    ["Purged", short(store.purged)],
    ["Commits", short(store.commits)],
    ["Passed on without being stored", short(messages.live_only)],
    ["Damaged, set aside", short(store.corrupt), store.corrupt > 0],
    ["Commits missing at the start", short(store.lost_commits), store.lost_commits > 0],
  ]);
}

function showReasons(status) {
  const groups = [
    ["Message refused", { ...status.messages_refused, invalid: status.messages.invalid }],
    ["Request refused", status.requests_refused],
    ["Login denied", status.logins_denied],
    ["WebSocket closed", status.websockets_closed],
  ];
  const rows = groups.flatMap(([group, counts]) =>
    Object.entries(counts)
      .filter(([, count]) => count > 0)
      .map(([reason, count]) => [`${group}: ${words(reason)}`, short(count)]),
  );
  pairs($("reasons"), rows);
  $("no-reasons").hidden = rows.length > 0;
}
