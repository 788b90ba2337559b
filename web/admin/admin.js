// The admin page: asks the API once a second, shows what it says, and passes on what the operator wants.

import { get, post } from "./api.js";
import { Chart } from "./chart.js";
import { endpointPanel } from "./endpoints.js";
import { bytes, short, span } from "./format.js";
import { Rates } from "./rates.js";
import { keep, make, tell } from "./rows.js";
import { sessionRow } from "./sessions.js";
import { $, act as perform, confirmed, refresh, start } from "./shell.js";

/** Sockets shown; more would only be slow to read. */
const SESSIONS_MAX = 100;
const COUNTERS = ["opened", "refused", "messages_in", "messages_out", "bytes_in", "bytes_out"];

const perSecond = (format) => (value) => `${format(value)}/s`;
const rates = new Rates(COUNTERS, ["sessions"]);
const charts = {
  sessions: new Chart($("chart-sessions"), "Sessions", short, ["one"]),
  opened: new Chart($("chart-opened"), "Sockets opened and refused per second", perSecond(short)),
  messages: new Chart($("chart-messages"), "Messages from and to clients per second", perSecond(short)),
  bytes: new Chart($("chart-bytes"), "Bytes from and to clients per second", perSecond(bytes)),
};

const act = (path, done) => perform(() => post(path), done);

const path = (...parts) => `api/v1/endpoints/${parts.map(encodeURIComponent).join("/")}`;
const draining = (what) => (answer) => `${answer.ending} sessions of ${what} end, ${answer.per_second} per second.`;

const actions = {
  async drain(name) {
    const text = "Its sessions end with 1012 (service restart); clients may connect again. Other endpoints are not touched.";
    if (await confirmed(`Drain ${name}?`, text, "Drain")) await act(path(name, "drain"), draining(name));
  },
  async drainUpstream(name, upstream) {
    const text = `The connections to ${upstream.address} end with 1012.${upstream.enabled ? " Switch it off first if clients shall not come back to it." : ""}`;
    if (await confirmed("Drain this upstream?", text, "Drain")) {
      await act(path(name, "upstreams", upstream.id, "drain"), draining(upstream.address));
    }
  },
  async toggle(name, upstream) {
    const action = upstream.enabled ? "disable" : "enable";
    const done = ({ enabled }) => `${upstream.address} is switched ${enabled ? "on" : "off"}.`;
    await act(path(name, "upstreams", upstream.id, action), done);
  },
  async restart(name) {
    const text = "The process is told to end and started again. Sessions that do not outlive their backend end.";
    if (await confirmed(`Restart the process of ${name}?`, text, "Restart")) {
      await act(path(name, "restart"), () => `The process of ${name} restarts.`);
    }
  },
};

const close = (id) => act(`api/v1/sessions/${id}/close`, () => `Session ${id} is told to end.`);
const makeEndpoint = endpointPanel(actions);
const makeSession = sessionRow(close);

$("reload").addEventListener("click", () => act("api/v1/reload", ({ message }) => `The configuration was read again.\n${message}`));
$("stop").addEventListener("click", async () => {
  const text = "It accepts nothing more, ends all sessions at the drain's pace, and then its process ends.";
  if (await confirmed("Stop the gateway?", text, "Stop gateway")) await act("api/v1/drain", () => "The gateway stops.");
});
$("filter").addEventListener("change", refresh);

function showStatus(status) {
  const where = status.listeners.map(({ address, tls }) => `${tls ? "wss" : "ws"}://${address}`).join(", ");
  const { memory } = status;
  const held = `${bytes(memory.bytes)} of ${bytes(memory.bytes_max)} held for clients`;
  const evicted = memory.evicted + memory.refused;
  const closed = evicted === 0 ? "" : `, ${short(evicted)} closed for it`;
  tell($("about"), `${status.version} · up ${span(status.uptime_seconds)} · ${where} · ${held}${closed}`);
  const { total, pinned, classic, mux } = status.sessions;
  tell($("now-sessions"), short(total));
  const dialects = [[pinned, "pinned"], [classic, "classic"], [mux, "mux"]].filter(([count]) => count > 0);
  tell($("dialects"), dialects.map(([count, name]) => `${short(count)} ${name}`).join(" · "));
}

function showRates() {
  const { series } = rates;
  const both = (name) => rates.last(`${name}_in`) + rates.last(`${name}_out`);
  tell($("now-opened"), `${short(rates.last("opened"))}/s`);
  tell($("now-messages"), `${short(both("messages"))}/s`);
  tell($("now-bytes"), `${bytes(both("bytes"))}/s`);
  charts.sessions.draw(series.sessions);
  charts.opened.draw(series.opened, series.refused);
  charts.messages.draw(series.messages_in, series.messages_out);
  charts.bytes.draw(series.bytes_in, series.bytes_out);
}

function showEndpoints(endpoints) {
  tell($("endpoints-count"), String(endpoints.length));
  $("uncounted").hidden = endpoints.every((endpoint) => endpoint.reads_messages);
  keep($("endpoints"), endpoints, ({ name }) => name, makeEndpoint);
  const names = [{ value: "", text: "all" }, ...endpoints.map(({ name }) => ({ value: name, text: name }))];
  keep($("filter"), names, ({ value }) => value, ({ value, text }) => {
    const option = make("option", "", text);
    option.value = value;
    option.show = () => {};
    return option;
  });
}

function showSessions({ total, sessions }) {
  tell($("sessions-count"), sessions.length < total ? `the newest ${sessions.length} of ${total}` : String(total));
  keep($("sessions"), sessions, ({ id }) => id, makeSession);
  $("no-sessions").hidden = sessions.length > 0;
}

async function ask() {
  const wanted = $("filter").value;
  const filter = wanted === "" ? "" : `&endpoint=${encodeURIComponent(wanted)}`;
  const [status, { endpoints }, sessions] = await Promise.all([
    get("api/v1/status"),
    get("api/v1/endpoints"),
    get(`api/v1/sessions?limit=${SESSIONS_MAX}${filter}`).catch((error) => {
      // The endpoint may have gone with a reload; the list of them heals the choice.
      if (error.status === 404) return { total: 0, sessions: [] };
      throw error;
    }),
  ]);
  rates.take(endpoints, { sessions: status.sessions.total }, performance.now());
  showStatus(status);
  showRates();
  showEndpoints(endpoints);
  showSessions(sessions);
}

start(ask);
