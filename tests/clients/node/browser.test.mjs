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

/** A server as it comes: neither copies nor receipts for everybody. */
async function plainServer(t, config = "") {
  const plain = await Server.start({ config });
  t.after(() => plain.remove());
  return plain;
}

const inState = (page, text, state) => bubble(page, text).and(page.locator(`[data-state="${state}"]`));

test("on a server with its defaults a sender sees accepted, then delivered", async (t) => {
  const plain = await plainServer(t);
  const page = await open(await person(t), "?me=1&to=2", plain.web);
  await connected(page);
  await say(page, "are you there?");
  await inState(page, "are you there?", "accepted").waitFor();
  const other = await Peer.connect(plain, 2);
  await inState(page, "are you there?", "delivered").waitFor();
  const third = await Peer.connect(plain, 1);
  other.say("yes", 1);
  assert.equal((await third.next()).text, "yes", "another connection of the same user hears no receipts");
  await shoot(page, "receipts");
});

test("nobody but the server says what became of a message", async (t) => {
  // Where senders are not checked anybody may even write as the server, or as oneself.
  const plain = await plainServer(t, "[chat]\ncheck_sender = false\n");
  const page = await open(await person(t), "?me=1&to=2", plain.web);
  await connected(page);
  await say(page, "watch this");
  await inState(page, "watch this", "accepted").waitFor();
  const mallory = await Peer.connect(plain, 3);
  const stolen = await page.evaluate(() => JSON.parse(localStorage.getItem("tidewire.chat/1/1/2")).messages[0]);
  for (const sender of [3, 2, 0]) {
    for (const type of ["notification_received", "notification_refused", "notification_accepted"]) {
      for (const text of ["", `session expired, sign in at http://evil.example/${sender}/${type}`]) {
        const data = { code: "busy", message: text, id: stolen.id, ref: stolen.ref, recipient: 2, refused: [{ recipient: 2, code: "busy" }] };
        mallory.send({ type, sender, recipients: [1], text, id: "00000000-00000000-0000-00000000", data });
      }
    }
  }
  mallory.send({ type: "text", sender: 2, recipients: [1], text: "the last one" });
  await bubble(page, "the last one").waitFor();
  await inState(page, "watch this", "accepted").waitFor();
  assert.equal(await page.locator(".refusal").count(), 0);
  await page.click('.person[data-id="3"]');
  assert.equal(await page.locator(".message.theirs").count(), 3, "words are shown as messages of who wrote them");
  await shoot(page, "forged");
});

test("a text of the server's limit is shown, its beginning first, and the page goes on", async (t) => {
  const plain = await plainServer(t);
  const page = await open(await person(t), "?me=1&to=2", plain.web);
  await connected(page);
  const writer = await Peer.connect(plain, 2);
  const text = "A very long story, with \\ and \" and 12345678901234567890. ".repeat(165_000);
  writer.say(text, 1);
  writer.say("the end", 1);
  await bubble(page, "the end").waitFor();
  const long = bubble(page, "A very long story");
  assert.ok((await long.locator(".body").textContent()).length < 5_000);
  await shoot(page, "long-beginning");
  await long.getByRole("button", { name: /^Show all/ }).click();
  await page.waitForFunction((length) => document.querySelector(".body.long")?.textContent.length === length, text.length);
  await shoot(page, "long-all");
  await say(page, "I have read it");
  await inState(page, "I have read it", "delivered").waitFor();
});

test("a text above the server's limit is refused before it is sent", async (t) => {
  const plain = await plainServer(t, '[server.limits]\nmessage_bytes_max = "64K"\n');
  const page = await open(await person(t), "?me=1&to=2", plain.web);
  await connected(page);
  await say(page, "x".repeat(70_000));
  const refused = page.locator('[data-state="refused"]');
  assert.match(await refused.locator(".refusal span").textContent(), /too long: this server takes messages up to 64 KB/);
  await say(page, "a short one");
  await inState(page, "a short one", "accepted").waitFor();
  assert.equal(await page.locator("#link").textContent(), "Connected");
  await shoot(page, "too-long");
});

test("an id with invisible characters is shown as what it is, and can be answered", async (t) => {
  const page = await open(await person(t), "?me=1");
  await connected(page);
  const name = "bob\u202e\u200b";
  const imitator = await Peer.connect(server, name);
  imitator.send({ type: "text", sender: name, recipients: [1], text: "it is me, \u202ebob" });
  await page.locator(".person .name", { hasText: "bob⟨U+202E⟩⟨U+200B⟩" }).click();
  await page.locator("#peer-warning", { hasText: "imitate" }).waitFor();
  await say(page, "who?");
  await imitator.next((message) => message.text === "who?");
  await shoot(page, "imitator");
});

test("pictures of the states in light and dark, on a desk and in a hand", async (t) => {
  const plain = await plainServer(t, "[mailbox]\nuser_messages_max = 2\nsender_share_percent = 100\n");
  for (const [name, options] of Object.entries({
    "states-light": { colorScheme: "light" },
    "states-dark": { colorScheme: "dark" },
    "states-phone-light": { colorScheme: "light", viewport: { width: 360, height: 700 } },
    "states-phone-dark": { colorScheme: "dark", viewport: { width: 360, height: 700 } },
  })) {
    const me = name;
    const peer = `${name}-friend`;
    const page = await open(await person(t, options), `?me=${me}&to=${peer}`, plain.web);
    // A narrow page shows the conversation alone.
    await page.locator("#link", { hasText: /^Connected$/ }).waitFor({ state: "attached" });
    const friend = await Peer.connect(plain, peer);
    await say(page, "delivered: you have it");
    await inState(page, "delivered:", "delivered").waitFor();
    friend.say(`Yes. ${"A long answer that goes on and on. ".repeat(200)}`, me);
    await bubble(page, "Yes.").waitFor();
    await friend.close();
    await page.locator("#peer-status", { hasText: /^Offline/ }).waitFor();
    for (const text of ["accepted: waits for you", "accepted: this one too", "refused: no room"]) await say(page, text);
    await inState(page, "refused:", "refused").waitFor();
    assert.equal(await page.locator(".refusal span").last().textContent(), "The other person’s mailbox is full.");
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), page.viewportSize().width);
    await shoot(page, name);
    // Back to the choice of an id, with the one just used among those to choose from.
    if (!(await page.locator("#leave").isVisible())) await page.click("#back");
    await page.click("#leave");
    await page.locator(".chip", { hasText: me }).waitFor();
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), page.viewportSize().width);
    await shoot(page, `sign-in-${name}`);
    await page.close();
  }
});
