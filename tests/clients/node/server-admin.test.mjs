// The operator at the admin page of the real server, in headless Chromium.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request as httpRequest } from "node:http";
import { after, afterEach, before, test } from "node:test";
import WebSocket from "ws";
import { Chromium, shoot as shootPage, wantsShots } from "./chromium.mjs";
import { Server, guard, until } from "./server.mjs";

let browser;
let server;
let receiver;
/** The status that the receiver of events answers with. */
let receives = 503;
const sockets = [];

const CANARY = "canary-0f5c2f";

const config = ({ auth = "", more = "" } = {}) => `
[admin]
enabled = true
listen = "127.0.0.1:0"
${auth}
[[targets]]
name = "backend"
attempts = 1
timeout = "2s"
breaker_failures = 1000000
[targets.postback]
url = "http://127.0.0.1:${receiver.address().port}/events?key=${CANARY}"
headers = { X-Key = "${CANARY}" }
${more}`;

before(async () => {
  receiver = createServer((request, response) => {
    request.resume();
    request.on("end", () => response.writeHead(receives).end());
  }).listen(0, "127.0.0.1");
  await once(receiver, "listening");
  server = await Server.start({ config: config(), admin: true });
  browser = await Chromium.start();
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.terminate();
  await browser?.closeAll();
});
after(async () => {
  await browser?.remove();
  await server?.remove();
  receiver?.close();
});

/** The page, as an operator has it. */
async function operator(t, { base = server.admin, part = "", ...options } = {}) {
  const context = await browser.person(t, { viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  await page.goto(part === "" ? base : `${base}#${part}`);
  return page;
}

const live = (page) => page.locator("#link", { hasText: "live" }).waitFor();

/** A user who is online; `ended` resolves to the close code. */
async function user(id) {
  const socket = new WebSocket(`${server.messaging}?id=${encodeURIComponent(id)}`);
  sockets.push(socket);
  const ended = once(socket, "close").then(([code, reason]) => [code, String(reason)]);
  await guard(once(socket, "open"), `the socket of ${id}`);
  await until(`${id} online`, () => server.isOnline(id));
  return { socket, ended };
}

const send = (to, text = "hello") => server.post({ type: "text", sender: 0, recipients: [to], text });
const rows = (page, body) => page.locator(`#${body} tr`);
const rowOf = (page, body, text) => rows(page, body).filter({ has: page.getByRole("link", { name: text, exact: true }) });
const shoot = (page, name) => shootPage(page, `server-${name}`, { fullPage: true });

/** Whether anything sticks out at the right. */
const overflows = (page) => page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);

test("a session is seen, inspected and ended, and its user is blocked and let in again", async (t) => {
  const [ann, bob] = [await user("ann"), await user("bob")];
  const page = await operator(t, { part: "sessions" });
  await rowOf(page, "session-rows", "ann").waitFor();
  await rowOf(page, "session-rows", "bob").getByRole("button", { name: /Disconnect/ }).click();
  assert.deepEqual(await guard(bob.ended, "the end of bob's session"), [4020, "disconnected by the operator"]);
  await rowOf(page, "session-rows", "bob").waitFor({ state: "detached" });

  await page.fill("#find-user-id", "ann");
  await page.press("#find-user-id", "Enter");
  await page.locator("#user-title", { hasText: "User ann" }).waitFor();
  await page.locator("#user-state", { hasText: "online" }).waitFor();
  await page.click("#user-block");
  await page.selectOption("#block-for", "1d");
  await page.fill("#block-reason", "spam & <b>worse</b>");
  await shoot(page, "block");
  await page.locator("#block").getByRole("button", { name: "Block" }).click();
  assert.deepEqual(await guard(ann.ended, "the end of ann's session"), [4403, "spam & <b>worse</b>"]);
  await page.locator("#user-state", { hasText: "blocked" }).waitFor();
  await page.locator("#user-stat", { hasText: "spam & <b>worse</b>" }).waitFor();
  await page.click(".tabs a[href='#sessions']");
  await rowOf(page, "block-rows", "ann").getByRole("button", { name: /Lift/ }).click();
  await page.locator("#no-blocks:visible").waitFor();
  await user("ann");
});

test("what waits is told without its text, and removed after a question", async (t) => {
  for (let count = 0; count < 3; count += 1) await send("away one", "a secret between us");
  const page = await operator(t, { part: "mailboxes" });
  const answers = [];
  page.on("response", async (response) => answers.push(await response.text().catch(() => "")));
  const row = rowOf(page, "mailbox-rows", "away one");
  await row.waitFor();
  assert.match(await row.innerText(), /\b3\b/);
  await row.getByRole("link").click();
  await until("three messages", async () => (await rows(page, "user-messages").count()) === 3);
  assert.match(await page.locator("#user-mailbox").innerText(), /^3, .*B, the next expires in/);
  await shoot(page, "user");
  await page.click("#user-purge");
  await page.locator("#confirm").getByRole("button", { name: "Cancel" }).click();
  assert.equal(await rows(page, "user-messages").count(), 3);
  await page.click("#user-purge");
  await page.locator("#confirm").getByRole("button", { name: "Purge" }).click();
  await page.locator(".notice", { hasText: "3 messages for away one were removed" }).waitFor();
  await page.locator("#user-no-messages:visible").waitFor();
  assert.ok(answers.length > 0 && answers.every((text) => !text.includes("secret between")));
});

test("lists are in pages, and nobody is missed between them", async (t) => {
  const ids = Array.from({ length: 150 }, (_, index) => `pager-${index}`);
  await server.post({ type: "text", sender: 0, recipients: ids, text: "hello" });
  const page = await operator(t, { part: "mailboxes" });
  await until("a full page", async () => (await rows(page, "mailbox-rows").count()) === 100);
  const seen = new Set(await rows(page, "mailbox-rows").locator("a").allInnerTexts());
  await page.locator("#mailboxes-pages").getByRole("button", { name: "Next page" }).click();
  await page.locator("#mailboxes-pages", { hasText: "Page 2" }).waitFor();
  for (const name of await rows(page, "mailbox-rows").locator("a").allInnerTexts()) seen.add(name);
  assert.ok(ids.every((id) => seen.has(id)));
  assert.equal(await page.locator("#mailboxes-pages").getByRole("button", { name: "Next page" }).isDisabled(), true);
  for (const id of ids) await server.call("DELETE", `/messages?user=${id}`);
});

test("a target that fails is seen, and its dead letters are replayed or forgotten", async (t) => {
  receives = 503;
  for (const text of ["not for the operator", "nor this"]) {
    await server.post({ type: "text", sender: 7, recipients: ["target user"], text });
  }
  const page = await operator(t, { part: "events" });
  const answers = [];
  page.on("response", async (response) => answers.push(await response.text().catch(() => "")));
  await until("two letters", async () => (await rows(page, "letter-rows").count()) >= 2);
  await page.locator("#events-mark:visible").waitFor();
  await shoot(page, "events");
  await rows(page, "letter-rows").first().getByRole("button", { name: /Forget/ }).click();
  await page.locator("#confirm").getByRole("button", { name: "Forget" }).click();
  await page.locator(".notice", { hasText: /was removed/ }).waitFor();
  receives = 200;
  await page.click("#replay-all");
  await page.locator("#confirm").getByRole("button", { name: "Replay" }).click();
  await page.locator("#no-letters:visible").waitFor();
  assert.ok(answers.length > 0 && answers.every((text) => !/not for the operator|nor this/.test(text)));
  await server.call("DELETE", `/messages?user=${encodeURIComponent("target user")}`);
});

test("the configuration in force is shown, and no secret in it", async (t) => {
  const page = await operator(t, { part: "configuration" });
  await page.locator("#key-rows tr", { hasText: "server.limits.headers_max" }).waitFor();
  await page.check("#keys-set");
  await page.locator("#key-rows tr", { hasText: "server.limits.headers_max" }).waitFor({ state: "detached" });
  const text = await page.locator("#key-rows").innerText();
  assert.match(text, /targets\[0\]\.name/);
  assert.match(text, /http:\/\/127\.0\.0\.1:\d+\/events\?…/);
  assert.match(text, /\(hidden\)/);
  await shoot(page, "configuration");
  for (const path of ["/v1/config", "/v1/status", "/v1/events", "/v1/mailboxes", "/sessions", "/metrics"]) {
    const answer = await fetch(new URL(path, server.admin)).then((response) => response.text());
    assert.ok(!answer.includes(CANARY), path);
  }
});

test("a message is traced, by its user and by its id", async (t) => {
  const page = await operator(t, { part: "trace" });
  const find = async (what) => {
    await page.fill("#trace-what", what);
    await page.press("#trace-what", "Enter");
  };
  await find("5A32EA72-38F4D5DC-3541-00000008");
  await page.locator("#trace-problem", { hasText: "nothing is known" }).waitFor();
  await server.post({ type: "text", sender: 5, recipients: [6], text: "hidden from the operator", data: null });
  await find("6");
  const found = page.locator("#trace-found");
  await found.getByText("waiting", { exact: true }).waitFor();
  const id = (await found.innerText()).match(/[0-9A-F]{8}-[0-9A-F]{8}-[0-9A-F]{4}-[0-9A-F]{8}/)[0];
  assert.doesNotMatch(await page.content(), /hidden from the operator/);
  await find(id);
  await found.getByText("no live session").waitFor();
  await shoot(page, "trace");
  await server.call("DELETE", "/messages?user=6");
});

test("a server with a token asks for it, and says when it is wrong", async (t) => {
  const guarded = await Server.start({ config: config({ auth: '[admin.auth]\ntype = "bearer"\nvalue = "s3cret"\n' }), admin: true });
  t.after(() => guarded.remove());
  for (const path of ["/v1/status", "/v1/config", "/sessions", "/metrics"]) {
    assert.equal((await fetch(new URL(path, guarded.admin))).status, 401, path);
  }
  const page = await operator(t, { base: guarded.admin });
  await page.locator("#sign-in").waitFor();
  await page.fill("#token", "guess");
  await page.press("#token", "Enter");
  await page.locator("#sign-in-problem", { hasText: "not the right one" }).waitFor();
  await shoot(page, "sign-in");
  await page.fill("#token", "s3cret");
  await page.press("#token", "Enter");
  await live(page);
  await page.reload();
  await live(page);
});

test("pages of other origins and other names learn and change nothing", async () => {
  const call = (method, headers, path = "/sessions?user=nobody") =>
    new Promise((resolve, reject) => {
      const { hostname, port } = new URL(server.admin);
      const request = httpRequest({ hostname, port, method, path, headers }, (response) => {
        response.resume();
        resolve([response.statusCode, response.headers]);
      });
      request.on("error", reject);
      request.end();
    });
  const status = async (...args) => (await call(...args))[0];
  const own = new URL(server.admin).host;
  const json = { "content-type": "application/json" };
  assert.equal(await status("DELETE", { ...json }), 200);
  assert.equal(await status("DELETE", { "x-tidewire-admin": "1" }), 200);
  assert.equal(await status("DELETE", {}), 403, "as a form could send it");
  assert.equal(await status("POST", { "content-type": "text/plain" }, "/blocks?user=nobody"), 403);
  assert.equal(await status("DELETE", { ...json, origin: "http://evil.example" }), 403);
  assert.equal(await status("GET", { origin: "null" }), 403);
  assert.equal(await status("GET", { host: "evil.example", origin: "http://evil.example" }), 421, "a name that was rebound");
  assert.equal(await status("GET", { host: own, origin: `http://${own}` }), 200);
  assert.equal(await status("POST", json, "/send-message"), 404, "nobody writes as a user here");
  const [, headers] = await call("GET", {}, "/admin/");
  assert.match(headers["content-security-policy"], /default-src 'self'.*frame-ancestors 'none'/);
  const [moved, where] = await call("GET", {}, "/");
  assert.deepEqual([moved, where.location], [303, "admin/"]);
});

test("the page works below a path of a proxy", async (t) => {
  const target = new URL(server.admin);
  const proxy = createServer((request, response) => {
    const path = request.url.replace(/^\/ops\/chat/, "");
    const headers = { ...request.headers, host: target.host };
    delete headers.origin;
    const passed = httpRequest({ hostname: target.hostname, port: target.port, method: request.method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    passed.on("error", () => response.destroy());
    request.pipe(passed);
  }).listen(0, "127.0.0.1");
  await once(proxy, "listening");
  t.after(() => proxy.close());
  await user("proxied");
  const page = await operator(t, { base: `http://127.0.0.1:${proxy.address().port}/ops/chat/admin/`, part: "sessions" });
  await rowOf(page, "session-rows", "proxied").waitFor();
  await live(page);
});

test("figures of a server that is away are dimmed and its buttons are off", async (t) => {
  await user("stays");
  const page = await operator(t, { part: "sessions" });
  await rowOf(page, "session-rows", "stays").waitFor();
  await rowOf(page, "session-rows", "stays").getByRole("button", { name: /Block/ }).click();
  const api = /127\.0\.0\.1:\d+\/(v1|sessions|blocks|stat|messages)/;
  await page.route(api, (route) => route.abort());
  await page.locator("body.gone").waitFor();
  await page.locator("#link", { hasText: /not reachable, figures of \d/ }).waitFor();
  const all = await page.locator("main button").count();
  assert.equal(await page.locator("main button:disabled").count(), all);
  assert.ok((await page.locator("main").evaluate((main) => Number(getComputedStyle(main).opacity))) < 0.6);
  assert.equal(await page.locator("dialog[open]").count(), 0, "there is nothing to decide");
  await shoot(page, "away");
  await page.unroute(api);
  await page.locator("body:not(.gone)").waitFor();
  await rowOf(page, "session-rows", "stays").getByRole("button", { name: /Disconnect/ }).click();
  await rowOf(page, "session-rows", "stays").waitFor({ state: "detached" });
});

test("the keyboard reaches everything, and keeps its place while figures change", async (t) => {
  await user("key");
  const page = await operator(t);
  await live(page);
  const focused = () => page.evaluate(() => document.activeElement.textContent.trim());
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "Overview");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await until("the title", async () => /^Sessions/.test(await focused()));
  await rowOf(page, "session-rows", "key").waitFor();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await until("the user's link", async () => (await focused()) === "key");
  const other = await user("zed");
  await rowOf(page, "session-rows", "zed").waitFor();
  assert.equal(await focused(), "key");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await rowOf(page, "session-rows", "key").waitFor({ state: "detached" });
  await until("the neighbour", async () => (await focused()) !== "");
  assert.notEqual(await page.evaluate(() => document.activeElement.tagName), "BODY");
  other.socket.terminate();
});

test("a server that goes tells its health, and the page fits every window", async (t) => {
  const people = [];
  for (const id of ["ann", "bob", "carol", "dave.with.a.rather.long.name@example.org"]) people.push(await user(id));
  for (let count = 0; count < 30; count += 1) await send(`away-${count % 4}`, "x".repeat(200));
  const looks = [
    ["light", { colorScheme: "light" }],
    ["dark", { colorScheme: "dark" }],
    ["phone", { colorScheme: "light", viewport: { width: 390, height: 800 } }],
    ["phone-dark", { colorScheme: "dark", viewport: { width: 390, height: 800 } }],
    ["tablet", { colorScheme: "light", viewport: { width: 820, height: 900 } }],
  ];
  const pages = await Promise.all(looks.map(([, options]) => operator(t, options)));
  const points = () => pages[0].evaluate(() => (document.querySelector("#chart-messages .line.one").getAttribute("d") ?? "").split("L").length);
  await until("lines in the charts", async () => {
    await send("ann", "hello");
    await send("away-1", "hello");
    return (await points()) > (wantsShots ? 12 : 2);
  });
  for (const [index, [name]] of looks.entries()) {
    const page = pages[index];
    for (const part of ["overview", "sessions", "user/away-1", "mailboxes", "events", "trace", "configuration"]) {
      await page.evaluate((hash) => (location.hash = hash), part);
      await page.locator(`#${part.split("/")[0]}:visible`).waitFor();
      await live(page);
      if (part === "sessions") await rowOf(page, "session-rows", "ann").waitFor();
      if (part === "mailboxes") await rowOf(page, "mailbox-rows", "away-1").waitFor();
      if (part === "configuration") await rows(page, "key-rows").first().waitFor();
      assert.equal(await overflows(page), false, `${name} ${part}`);
      await shoot(page, `${name}-${part.split("/")[0]}`);
    }
  }
  for (const { socket } of people) socket.terminate();
  for (let count = 0; count < 4; count += 1) await server.call("DELETE", `/messages?user=away-${count}`);
});
