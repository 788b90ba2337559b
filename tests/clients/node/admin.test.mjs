// The operator at the admin page of the real gateway, in headless Chromium.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, afterEach, before, test } from "node:test";
import WebSocket from "ws";
import { bytes, short, span } from "../../../web/components/format.js";
import { Rates } from "../../../web/components/rates.js";
import { Backend } from "./backend.mjs";
import { Chromium, shoot as shootPage, wantsShots } from "./chromium.mjs";
import { Gateway } from "./gateway.mjs";
import { guard, until } from "./server.mjs";

let browser;
let backends;
let gateway;
const sockets = [];

/** Three endpoints; of the second one, nobody listens at one upstream, which is checked. */
function config({ auth = "" } = {}) {
  return `
[admin]
enabled = true
address = "127.0.0.1:0"
${auth}
[endpoints.chat]
aliases = ["talk"]
upstreams = ["${backends[0].url}room"]

[endpoints.feed]
upstreams = ["${backends[1].url}feed", "ws://127.0.0.1:9/feed"]
[endpoints.feed.health]
enabled = true
interval = "1s"
timeout = "900ms"

[endpoints.games]
upstreams = ["${backends[1].url}"]
extensions = "per-hop"
`;
}

before(async () => {
  backends = [await Backend.start(), await Backend.start()];
  gateway = await Gateway.start(config());
  browser = await Chromium.start();
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.terminate();
  await browser?.closeAll();
});
after(async () => {
  await browser?.remove();
  await gateway?.remove();
  for (const backend of backends ?? []) await backend.remove();
});

/** The page, as an operator has it. */
async function operator(t, { base = gateway.admin, ...options } = {}) {
  const context = await browser.person(t, { viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  await page.goto(base);
  return page;
}

/** A client of an endpoint; `ended` resolves to its close code. */
async function client(endpoint) {
  const socket = new WebSocket(`${gateway.url}?ROUTENAME=${endpoint}`);
  sockets.push(socket);
  const ended = once(socket, "close").then(([code]) => code);
  await guard(once(socket, "open"), `a socket of ${endpoint}`);
  return { socket, ended };
}

async function echoes({ socket }) {
  const answer = once(socket, "message");
  socket.send("still there?");
  await guard(answer, "an echo");
}

const panel = (page, name) => page.locator(".endpoint", { has: page.getByRole("heading", { name, exact: true }) });
const rows = (page) => page.locator("#sessions tr");

const shoot = (page, name) => shootPage(page, name, { fullPage: true });

/** Whether anything sticks out at the right. */
const overflows = (page) => page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);

test("the page shows what runs, and drains one endpoint alone", async (t) => {
  const clients = [await client("chat"), await client("chat"), await client("feed"), await client("games")];
  const page = await operator(t);
  await page.locator("#link", { hasText: "live" }).waitFor();
  await until("rows of all sockets", async () => (await rows(page).count()) === 4);
  await panel(page, "feed").locator(".pill", { hasText: "unhealthy" }).first().waitFor();
  assert.equal(await panel(page, "chat").locator("tbody tr").count(), 1);
  assert.match(await panel(page, "chat").innerText(), /also talk/);

  await panel(page, "chat").getByRole("button", { name: "Drain" }).first().click();
  await page.locator("#confirm").getByRole("button", { name: "Cancel" }).click();
  await echoes(clients[0]);
  await panel(page, "chat").getByRole("button", { name: "Drain" }).first().click();
  await page.locator("#confirm").getByRole("button", { name: "Drain" }).click();
  assert.equal(await guard(clients[0].ended, "the first close"), 1012);
  assert.equal(await guard(clients[1].ended, "the second close"), 1012);
  await page.locator(".notice", { hasText: "2 sessions of chat end" }).waitFor();
  await until("two rows less", async () => (await rows(page).count()) === 2);
  await echoes(clients[2]);
  await echoes(clients[3]);
});

test("a session is closed and an upstream is switched off and on", async (t) => {
  const [kept, closed] = [await client("chat"), await client("feed")];
  const page = await operator(t);
  await until("both rows", async () => (await rows(page).count()) === 2);
  await page.selectOption("#filter", "feed");
  await until("one row", async () => (await rows(page).count()) === 1);
  await rows(page).getByRole("button", { name: /Close session/ }).click();
  assert.equal(await guard(closed.ended, "the close"), 1001);
  await page.locator("#no-sessions:visible").waitFor();
  await echoes(kept);

  const chat = panel(page, "chat");
  await chat.getByRole("button", { name: "Switch off" }).click();
  await chat.locator("tbody .pill", { hasText: "switched off" }).waitFor();
  const refused = new WebSocket(`${gateway.url}?ROUTENAME=chat`);
  const [error] = await guard(once(refused, "error"), "the refusal");
  assert.match(error.message, /503/);
  await echoes(kept);
  await chat.getByRole("button", { name: "Switch on" }).click();
  await chat.locator("tbody .pill", { hasText: "in use" }).waitFor();
  await echoes(await client("chat"));
});

test("a gateway with a token asks for it, and says when it is wrong", async (t) => {
  const guarded = await Gateway.start(config({ auth: '[admin.auth]\ntype = "bearer"\nvalue = "s3cret"\n' }));
  t.after(() => guarded.remove());
  const page = await operator(t, { base: guarded.admin });
  const dialog = page.locator("#sign-in");
  await dialog.waitFor();
  await shoot(page, "sign-in");
  await page.fill("#token", "guess");
  await page.press("#token", "Enter");
  await page.locator("#sign-in-problem", { hasText: "not the right one" }).waitFor();
  await page.fill("#token", "s3cret");
  await page.press("#token", "Enter");
  await page.locator("#link", { hasText: "live" }).waitFor();
  assert.equal(await panel(page, "chat").count(), 1);
  await page.reload();
  await page.locator("#link", { hasText: "live" }).waitFor();
});

test("a gateway with user and password uses the browser's own question", async (t) => {
  const guarded = await Gateway.start(config({ auth: '[admin.auth]\ntype = "basic"\nuser = "ops"\npassword = "pw"\n' }));
  t.after(() => guarded.remove());
  const page = await operator(t, { base: guarded.admin, httpCredentials: { username: "ops", password: "pw" } });
  await page.locator("#link", { hasText: "live" }).waitFor();
});

test("the page fits wide and narrow windows, light and dark", async (t) => {
  const clients = [];
  for (const endpoint of ["chat", "chat", "feed", "games", "games"]) clients.push(await client(endpoint));
  const looks = [
    ["light", { colorScheme: "light" }],
    ["dark", { colorScheme: "dark" }],
    ["narrow", { colorScheme: "light", viewport: { width: 400, height: 800 } }],
    ["narrow-dark", { colorScheme: "dark", viewport: { width: 400, height: 800 } }],
    ["tablet", { colorScheme: "light", viewport: { width: 820, height: 900 } }],
  ];
  const pages = await Promise.all(looks.map(([, options]) => operator(t, options)));
  // Enough answers for lines in the charts, while something is going on.
  const points = () => pages[0].evaluate(() => (document.querySelector("#chart-bytes .line.one").getAttribute("d") ?? "").split("L").length);
  await until("lines in the charts", async () => {
    for (const one of clients) await echoes(one);
    return (await points()) > (wantsShots ? 14 : 2);
  });
  for (const [index, [name]] of looks.entries()) {
    const page = pages[index];
    await until("rows", async () => (await rows(page).count()) === clients.length);
    assert.equal(await overflows(page), false, name);
    await shoot(page, name);
  }
  const moved = await pages[0].locator("#now-messages").innerText();
  assert.match(moved, /\/s$/);
});

test("the process of an endpoint is shown and restarted", async (t) => {
  const page = await operator(t);
  const restarted = [];
  // What the gateway says of a process is played here, so that none has to crash.
  await page.route("**/api/v1/endpoints", async (route) => {
    const response = await route.fetch();
    const json = await response.json();
    json.endpoints[0].process = { phase: "crash_loop", pid: null, restarts: 5, last_exit: "exit status: 3" };
    await route.fulfill({ response, json });
  });
  await page.route("**/api/v1/endpoints/chat/restart", async (route) => {
    restarted.push(route.request().headers()["content-type"]);
    await route.fulfill({ status: 202, json: { begun: "restart" } });
  });
  const chat = panel(page, "chat");
  await chat.locator(".process .pill", { hasText: "crash loop" }).waitFor();
  await chat.getByRole("button", { name: "Restart process" }).click();
  await shoot(page, "restart");
  await page.locator("#confirm").getByRole("button", { name: "Restart" }).click();
  await page.locator(".notice", { hasText: "restarts" }).waitFor();
  assert.deepEqual(restarted, ["application/json"]);
  assert.equal(await panel(page, "feed").locator(".process:visible").count(), 0);
});

test("what goes wrong is told", async (t) => {
  const page = await operator(t);
  await page.locator("#link", { hasText: "live" }).waitFor();
  await page.route("**/api/v1/reload", (route) => route.fulfill({ status: 422, json: { status: 422, error: "gateway.toml: endpoints.<b>x</b>: found nothing" } }));
  await page.click("#reload");
  // As text: no element is made of it.
  await page.locator(".notice.bad", { hasText: "endpoints.<b>x</b>: found nothing" }).waitFor();
  await shoot(page, "notice");
});

test("a gateway that goes is told, and one that comes back is found", async (t) => {
  const page = await operator(t);
  await page.locator("#link", { hasText: "live" }).waitFor();
  await page.route("**/api/**", (route) => route.abort());
  await page.locator("#link", { hasText: /not reachable, figures of \d/ }).waitFor();
  await page.unroute("**/api/**");
  await page.locator("#link", { hasText: "live" }).waitFor();
});

test("figures of a gateway that is away are dimmed and its buttons are off", async (t) => {
  await client("chat");
  const page = await operator(t);
  await until("a row", async () => (await rows(page).count()) === 1);
  const off = () => page.locator("main button:disabled, .actions button:disabled").count();
  const all = await page.locator("main button, .actions button").count();
  const opacity = () => page.locator("main").evaluate((main) => Number(getComputedStyle(main).opacity));
  const before = await off();
  assert.ok(before < all && (await opacity()) === 1);
  await page.getByRole("button", { name: "Stop gateway" }).click();
  await page.route("**/api/**", (route) => route.abort());
  await page.locator("body.gone").waitFor();
  assert.equal(await off(), all);
  assert.ok((await opacity()) < 0.6);
  assert.equal(await page.locator("#confirm:visible").count(), 0, "there is nothing to confirm");
  await shoot(page, "away");
  await page.unroute("**/api/**");
  await page.locator("body:not(.gone)").waitFor();
  assert.equal(await off(), before);
  assert.equal(await opacity(), 1);
  await rows(page).getByRole("button", { name: /Close session/ }).click();
  await until("the row has gone", async () => (await rows(page).count()) === 0);
});

test("an endpoint whose sockets are relayed as bytes says what is counted", async (t) => {
  const both = [await client("chat"), await client("games")];
  const page = await operator(t);
  for (const one of both) await echoes(one);
  const facts = (name) => panel(page, name).locator(".facts");
  await until("messages of games", async () => /[1-9][\d.]*k? messages/.test(await facts("games").innerText()));
  assert.match(await facts("chat").innerText(), /messages of pinned sockets are not counted/);
  assert.doesNotMatch(await facts("chat").innerText(), /[\dk] messages/);
  assert.doesNotMatch(await facts("games").innerText(), /not counted/);
  assert.match(await page.locator("#uncounted:visible").innerText(), /without relayed sockets/);
  assert.match(await page.locator("#about").innerText(), /B of .*B held for clients/);
});

test("numbers are short, and rates come from what was added", () => {
  assert.deepEqual([0, 0.26, 9.96, 999, 1000, 12345, 999_600, 1e9, NaN].map(short), ["0", "0.3", "10", "999", "1.00k", "12.3k", "1.00M", "1.00G", "–"]);
  assert.deepEqual([12, 1500].map(bytes), ["12 B", "1.50 kB"]);
  assert.deepEqual([0, 59, 3600, 200, 90_000].map(span), ["0 s", "59 s", "1 h", "3 min 20 s", "1 d 1 h"]);
  const rates = new Rates(["opened", "refused"], ["sessions"]);
  const counters = (opened) => ({ opened, refused: 0, messages_in: 0, messages_out: 0, bytes_in: 0, bytes_out: 0 });
  rates.take([{ name: "a", counters: counters(100) }], { sessions: 1 }, 0);
  assert.ok(Number.isNaN(rates.last("opened")));
  rates.take([{ name: "a", counters: counters(110) }, { name: "new", counters: counters(50) }], { sessions: 1 }, 2000);
  assert.equal(rates.last("opened"), 5);
  rates.take([{ name: "a", counters: counters(3) }], { sessions: 1 }, 3000);
  assert.equal(rates.last("opened"), 0, "a gateway that began anew gives no negative rate");
  assert.deepEqual(rates.series.sessions, [1, 1, 1]);
});
