// People at the web chat of the real server, in headless Chromium.

import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { createServer } from "node:http";
import { after, afterEach, before, test } from "node:test";
import { Chromium, shoot } from "./chromium.mjs";
import { Peer } from "./peer.mjs";
import { newDataDir, Server } from "./server.mjs";

const config = "[chat]\nsend_back = true\ndelivery_status = true\n";

let server;
let browser;

before(async () => {
  server = await Server.start({ config });
  browser = await Chromium.start();
});
afterEach(async () => {
  Peer.endAll();
  await browser?.closeAll();
});
after(async () => {
  await browser?.remove();
  await server?.remove();
});

const person = (t, options = {}) => browser.person(t, { viewport: { width: 1100, height: 720 }, ...options });

async function open(context, query, base = server.web) {
  const page = await context.newPage();
  await page.goto(new URL(query, base).href);
  return page;
}

async function connected(page) {
  await page.locator("#link", { hasText: /^Connected$/ }).waitFor();
}

async function say(page, text) {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
}

const bubble = (page, text) => page.locator(".message", { has: page.locator(".body", { hasText: text }) });

test("two people choose their ids and exchange messages", async (t) => {
  const alice = await open(await person(t), "");
  await shoot(alice, "sign-in");
  await alice.fill("#me-field", "alice");
  await alice.press("#me-field", "Enter");
  await connected(alice);
  const two = await open(await person(t, { colorScheme: "dark" }), "?me=2");
  await connected(two);

  await alice.fill("#find", "2");
  await alice.press("#find", "Enter");
  await say(alice, "Hello over there!");
  await two.locator('.person[data-id="alice"] .badge', { hasText: "1" }).waitFor();
  assert.match(await two.title(), /^\(1\) /);
  await two.click('.person[data-id="alice"]');
  await bubble(two, "Hello over there!").waitFor();
  await bubble(alice, "Hello over there!").and(alice.locator('[data-state="delivered"]')).waitFor();

  await two.fill("#text", "Two");
  await two.press("#text", "Shift+Enter");
  await two.locator("#text").pressSequentially("lines");
  await two.press("#text", "Enter");
  const answer = bubble(alice, "Two");
  assert.equal(await answer.locator(".body").textContent(), "Two\nlines");
  await shoot(alice, "conversation-light");
  await shoot(two, "conversation-dark");
});

test("what came while a page was closed is there when it opens again", async (t) => {
  const home = await person(t);
  const first = await open(home, "?me=anna&to=ben");
  await connected(first);
  const ben = await open(await person(t), "?me=ben&to=anna");
  await connected(ben);
  await say(ben, "before");
  await bubble(first, "before").waitFor();
  await ben.locator("#peer-status", { hasText: /^Online$/ }).waitFor();
  await first.close();
  await ben.locator("#peer-status", { hasText: /^Offline/ }).waitFor();
  await say(ben, "meanwhile 1");
  await say(ben, "meanwhile 2");
  await bubble(ben, "meanwhile 2").and(ben.locator('[data-state="accepted"]')).waitFor();

  const again = await open(home, "");
  await again.click('.person[data-id="ben"]');
  await bubble(again, "meanwhile 2").waitFor();
  assert.deepEqual(await again.locator(".message .body").allTextContents(), ["before", "meanwhile 1", "meanwhile 2"]);
  await bubble(ben, "meanwhile 2").and(ben.locator('[data-state="delivered"]')).waitFor();
  await again.reload();
  await bubble(again, "meanwhile 2").waitFor();
  assert.equal(await again.locator(".message").count(), 3, "a reload shows every message once");
});

test("dots show who is online", async (t) => {
  const page = await open(await person(t), "?me=watcher");
  await connected(page);
  const peer = await Peer.connect(server, "visitor");
  const dot = page.locator('.person[data-id="visitor"] .avatar.online');
  await dot.waitFor();
  await page.click('.person[data-id="visitor"]');
  await page.locator("#peer-status", { hasText: /^Online$/ }).waitFor();
  await peer.close();
  await dot.waitFor({ state: "detached" });
  await page.locator('.person[data-id="visitor"]').waitFor();
});

test("dark and light follow the system until the person chooses", async (t) => {
  const context = await person(t, { colorScheme: "dark" });
  const page = await open(context, "?me=owl");
  const brightness = () =>
    page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0));
  assert.ok((await brightness()) < 150, "dark by the system");
  await page.emulateMedia({ colorScheme: "light" });
  assert.ok((await brightness()) > 600, "light by the system");
  await page.click("#theme");
  assert.ok((await brightness()) < 150, "dark by choice");
  await page.reload();
  assert.ok((await brightness()) < 150, "the choice is remembered");
});

test("a phone shows the list or the conversation, and back works", async (t) => {
  const page = await open(await person(t, { viewport: { width: 360, height: 700 } }), "?me=phone");
  await connected(page);
  await page.fill("#find", "friend");
  await page.press("#find", "Enter");
  await page.locator("#conversation").waitFor();
  assert.ok(!(await page.locator("#talks").isVisible()));
  await say(page, "from a small screen, with-a-word-that-is-much-too-long-for-it-".repeat(3));
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360, "nothing sticks out sideways");
  await shoot(page, "phone");
  await page.goBack();
  await page.locator('.person[data-id="friend"]').waitFor();
  await page.click('.person[data-id="friend"]');
  await page.click("#back");
  await page.locator('.person[data-id="friend"]').waitFor();
});

test("markup in names and texts stays text", async (t) => {
  const attack = "<img src=x onerror=\"window.broken=1\"><script>window.broken=1</script>";
  const name = `"><img src=x onerror=window.broken=1>`;
  const page = await open(await person(t), "?me=careful");
  await connected(page);
  const attacker = await Peer.connect(server, name);
  attacker.send({ type: "text", sender: name, recipients: ["careful"], text: attack });
  attacker.send({ type: "<b>bold</b>", sender: name, recipients: ["careful"], text: "javascript:window.broken=1" });
  await page.locator(".person .name", { hasText: name }).click();
  await bubble(page, "javascript:").waitFor();
  assert.deepEqual(await page.locator(".message .body").allTextContents(), [attack, "javascript:window.broken=1"]);
  assert.equal(await page.locator("#peer-name").textContent(), name);
  assert.equal(await page.locator("main img, #app img, #app script, #app b, .message a").count(), 0);
  assert.equal(await page.evaluate(() => window.broken), undefined);
  const policy = (await fetch(server.web)).headers.get("content-security-policy") ?? "";
  assert.match(policy, /default-src '(self|none)'/);
  assert.match(policy, /frame-ancestors 'none'/);
  assert.doesNotMatch(policy, /unsafe/);
  await shoot(page, "markup");
});

test("a page of another origin cannot connect", async (t) => {
  const foreign = createServer((request, response) => {
    response.setHeader("content-type", "text/html");
    response.end("<!doctype html><title>elsewhere</title>");
  });
  await new Promise((resolve) => foreign.listen(0, "127.0.0.1", resolve));
  t.after(() => foreign.close());
  const page = await open(await person(t), "", `http://127.0.0.1:${foreign.address().port}/`);
  const outcome = await page.evaluate(
    (url) =>
      new Promise((resolve) => {
        const socket = new WebSocket(url);
        socket.onopen = () => resolve("open");
        socket.onclose = () => resolve("refused");
      }),
    `${server.messaging}?id=1`,
  );
  assert.equal(outcome, "refused");
});

test("a reader who scrolled up is left in peace", async (t) => {
  const page = await open(await person(t), "?me=reader&to=writer");
  await connected(page);
  const writer = await Peer.connect(server, "writer");
  for (let n = 1; n <= 60; n += 1) writer.say(`line ${n}`, "reader");
  await bubble(page, "line 60").waitFor();
  const top = () => page.evaluate(() => document.getElementById("scroll").scrollTop);
  assert.ok((await top()) > 0, "new messages are followed while at the end");
  await page.evaluate(() => (document.getElementById("scroll").scrollTop = 0));
  await page.locator("#jump:visible").waitFor();
  writer.say("line 61", "reader");
  await page.locator("#jump", { hasText: "1 new message" }).waitFor();
  assert.equal(await top(), 0);
  await page.click("#jump");
  await page.locator("#jump").waitFor({ state: "hidden" });
  assert.ok(await bubble(page, "line 61").isVisible());
});

test("an unauthorized person is told so, and only an own click tries again", async (t) => {
  const context = await person(t);
  let attempts = 0;
  // The refusal is played here, so that the page itself needs no credentials.
  await context.routeWebSocket(/\/chat\?/, async (socket) => {
    attempts += 1;
    await socket.close({ code: 4050, reason: "Unauthorized" });
  });
  const page = await open(context, "?me=stranger");
  await page.locator("#banner", { hasText: "Unauthorized" }).waitFor();
  await shoot(page, "unauthorized");
  await page.getByRole("button", { name: "Try again" }).click();
  await page.waitForFunction(() => document.getElementById("link").textContent === "Disconnected");
  assert.equal(attempts, 2);
});

test("an id the server refuses leads back to the choice with its reason", async (t) => {
  const page = await open(await person(t), "?me=99999999999999999999999");
  await page.locator("#me-problem", { hasText: "Passed invalid id" }).waitFor();
});

test("a refused message says why and can be sent again", async (t) => {
  const small = await Server.start({ config: `${config}[mailbox]\nuser_messages_max = 1\n` });
  t.after(() => small.remove());
  const page = await open(await person(t), "?me=1&to=2", small.web);
  await connected(page);
  await say(page, "fits");
  await say(page, "too many");
  const refused = bubble(page, "too many").and(page.locator('[data-state="refused"]'));
  await refused.waitFor();
  assert.notEqual((await refused.locator(".refusal span").textContent()).trim(), "");
  await shoot(page, "refused");
  const reader = await Peer.connect(small, 2);
  assert.equal((await reader.text()).text, "fits");
  await refused.getByRole("button", { name: "Try again" }).click();
  assert.equal((await reader.text()).text, "too many");
  await bubble(page, "too many").and(page.locator('[data-state="delivered"]')).waitFor();
});

test("a lost server is announced, and what was written meanwhile is sent on return", async (t) => {
  const dataDir = await newDataDir();
  t.after(() => rm(dataDir, { recursive: true, force: true }));
  const first = await Server.start({ config, dataDir });
  t.after(() => first.remove());
  const page = await open(await person(t), "?me=1&to=2", first.web);
  await connected(page);
  const { port } = new URL(first.web);
  await first.end();
  await page.locator("#banner:visible").waitFor();
  await say(page, "written while away");
  await bubble(page, "written while away").and(page.locator('[data-state="waiting"]')).waitFor();
  await shoot(page, "reconnecting");
  const second = await Server.start({ config, dataDir, port });
  t.after(() => second.remove());
  await connected(page);
  await page.locator("#banner").waitFor({ state: "hidden" });
  const reader = await Peer.connect(second, 2);
  assert.equal((await reader.text()).text, "written while away");
});
