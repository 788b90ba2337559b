// People at the web chat of the real server, in headless Chromium.

import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { createServer, request as httpRequest } from "node:http";
import { connect } from "node:net";
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
  await Peer.endAll();
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

test("an id the server refuses leads back to the choice with its reason, and is not offered again", async (t) => {
  const context = await person(t);
  // Played here: the page itself refuses what it knows the server to refuse.
  await context.routeWebSocket(/\/chat\?/, (socket) => socket.close({ code: 4000, reason: "Passed invalid id: id=nobody. " }));
  const page = await open(context, "?me=nobody&to=2");
  await page.locator("#me-problem", { hasText: "Passed invalid id" }).waitFor();
  assert.equal(await page.locator(".chip").count(), 0);
  await shoot(page, "refused-id");
  await page.goto(server.web);
  await page.locator("#sign-in:visible").waitFor();
  assert.deepEqual(await page.evaluate(() => Object.keys(localStorage).filter((key) => key.includes("nobody"))), []);
});

test("ids that people have are ids: long numbers, telephone numbers, names in either normal form", async (t) => {
  const number = "123456789012345678901";
  const page = await open(await person(t), `?me=${number}`);
  await connected(page);
  await page.fill("#find", "+491511234567");
  await page.press("#find", "Enter");
  await say(page, "called you");
  const phone = await Peer.connect(server, "+491511234567");
  assert.equal((await phone.text()).sender, number);
  await page.fill("#find", "Jo\u0308rg K");
  await page.press("#find", "Enter");
  await say(page, "to the composed one");
  const joerg = await Peer.connect(server, "Jörg K");
  assert.equal((await joerg.text()).text, "to the composed one");
  // 2^53 + 1 and its neighbour are two users.
  const large = await Peer.connect(server, "9007199254740993");
  large.send(`{"type":"text","sender":9007199254740993,"recipients":["${number}"],"text":"answer me"}`);
  await page.locator('.person[data-id="9007199254740993"]').click();
  await say(page, "to you alone");
  await large.next((message) => message.text === "to you alone");
});

/** A proxy in front of `target` under the path `prefix`; `dropCredentials`: as Safari treats WebSockets. */
async function proxy(t, target, { prefix = "", dropCredentials = false } = {}) {
  const { hostname, port } = new URL(target);
  const path = (url) => (url.startsWith(prefix) ? url.slice(prefix.length) || "/" : null);
  const front = createServer((request, response) => {
    const inner = path(request.url);
    if (inner === null) return response.writeHead(404).end();
    const forward = httpRequest({ hostname, port, path: inner, method: request.method, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    request.pipe(forward);
  });
  front.on("upgrade", (request, socket) => {
    const inner = path(request.url);
    if (inner === null) return socket.destroy();
    const upstream = connect(Number(port), hostname, () => {
      const fields = [];
      for (let n = 0; n < request.rawHeaders.length; n += 2) {
        const [name, value] = request.rawHeaders.slice(n, n + 2);
        if (!(dropCredentials && /^(authorization|cookie)$/i.test(name))) fields.push(`${name}: ${value}\r\n`);
      }
      upstream.write(`GET ${inner} HTTP/1.1\r\n${fields.join("")}\r\n`);
      socket.pipe(upstream).pipe(socket);
    });
    for (const end of [socket, upstream]) end.on("error", () => [socket, upstream].forEach((other) => other.destroy()));
  });
  await new Promise((resolve) => front.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    front.closeAllConnections();
    front.close();
  });
  return `http://127.0.0.1:${front.address().port}${prefix}/`;
}

test("the page works under a path of a proxy, and with another endpoint", async (t) => {
  const other = await Server.start({ config: `${config}[server]\nendpoint = "/ws/talk"\n` });
  t.after(() => other.remove());
  const address = await proxy(t, other.web, { prefix: "/tools/chat" });
  for (const [me, base] of [["direct", other.web], ["proxied", address]]) {
    const page = await open(await person(t), `?me=${me}&to=2`, base);
    await connected(page);
    await say(page, `from ${me}`);
    await bubble(page, `from ${me}`).and(page.locator('[data-state="accepted"]')).waitFor();
  }
});

test("a browser that sends no basic credentials with a WebSocket gets in by a ticket", async (t) => {
  const guarded = await Server.start({ config: `${config}[server.auth]\ntype = "basic"\nuser = "u"\npassword = "p"\n` });
  t.after(() => guarded.remove());
  const address = await proxy(t, guarded.web, { dropCredentials: true });
  const context = await person(t, { httpCredentials: { username: "u", password: "p" } });
  const page = await open(context, "?me=1&to=1", address);
  await connected(page);
  await say(page, "I am in");
  await bubble(page, "I am in").and(page.locator('[data-state="delivered"]')).waitFor();
  // Each connection has a ticket of its own.
  await page.reload();
  await connected(page);
  // Without credentials there is no ticket.
  assert.equal((await fetch(new URL("webchat/ticket", address), { method: "POST" })).status, 401);
});

test("a browser connects with a token and with names of subprotocols that the server does not know", async (t) => {
  const guarded = await Server.start({ config: `${config}[server]\nallowed_origins = ["*"]\n[server.auth]\ntype = "bearer"\nvalue = "a/b+c=="\n` });
  t.after(() => guarded.remove());
  const elsewhere = createServer((request, response) => response.setHeader("content-type", "text/html").end("<!doctype html>"));
  await new Promise((resolve) => elsewhere.listen(0, "127.0.0.1", resolve));
  t.after(() => elsewhere.close());
  const page = await open(await person(t), "", `http://127.0.0.1:${elsewhere.address().port}/`);
  const dial = (subprotocols) =>
    page.evaluate(
      ([url, subprotocols]) =>
        new Promise((resolve) => {
          const socket = new WebSocket(url, subprotocols);
          let agreed = null;
          socket.onopen = () => (agreed = socket.protocol);
          socket.onmessage = () => resolve(`in as ${agreed}`);
          socket.onclose = ({ code }) => resolve(`${code} ${agreed}`);
          socket.addEventListener("open", () => socket.send('{"type":"text","sender":"1","recipients":["1"],"text":"x"}'));
        }),
      [`${guarded.messaging}?id=1`, subprotocols],
    );
  const token = `tidewire.bearer.${encodeURIComponent("a/b+c==")}`;
  assert.equal(await dial(["tidewire.classic", token]), "in as tidewire.classic");
  assert.equal(await dial([token, "v12.stomp", "mqtt"]), "in as v12.stomp");
  assert.equal(await dial([token]), `in as ${token}`);
  assert.equal(await dial(["mqtt"]), "4050 mqtt");
  assert.equal(await dial(["tidewire.classic", "tidewire.bearer.wrong"]), "4050 tidewire.classic");
  assert.equal(await dial(["tidewire.v99"]), "1006 null", "a name of ours that is not spoken is not answered");
});

test("whom else a message was sent to and what data it has is shown", async (t) => {
  for (const [name, options] of Object.entries({
    "group-light": { colorScheme: "light" },
    "group-phone-dark": { colorScheme: "dark", viewport: { width: 360, height: 700 } },
  })) {
    const page = await open(await person(t, options), `?me=${name}&to=sender`);
    await page.locator("#link", { hasText: /^Connected$/ }).waitFor({ state: "attached" });
    const sender = await Peer.connect(server, "sender");
    const data = { ref: "r", place: { lat: 52.5, lon: 13.4 }, tags: ["a", "b"] };
    sender.send({ type: "text", sender: "sender", recipients: [name, "carol", 7, "da\u202eve"], text: "see you there", data });
    const shown = bubble(page, "see you there");
    assert.equal(await shown.locator(".others").textContent(), "Also to carol, 7, da⟨U+202E⟩ve");
    await shown.locator("summary").click();
    assert.deepEqual(JSON.parse(await shown.locator("pre").textContent()), data);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), page.viewportSize().width);
    await shoot(page, name);
    sender.say("nothing besides", name);
    const plain = bubble(page, "nothing besides");
    await plain.waitFor();
    assert.equal(await plain.locator(".others, .data").count(), 0);
    await page.reload();
    await bubble(page, "see you there").locator(".others").waitFor({ state: "attached" });
  }
});

test("the Tab key visits what is seen in its order, and the list of people is one stop", async (t) => {
  const page = await open(await person(t), "?me=tabs&to=peer-3");
  await connected(page);
  const peers = await Promise.all([1, 2, 3, 4, 5].map((n) => Peer.connect(server, `peer-${n}`)));
  for (const [n, peer] of peers.entries()) peer.say(`hello ${n}`, "tabs");
  await page.waitForFunction(() => document.querySelectorAll("#talks .person").length === 5);
  const focused = () => page.evaluate(() => document.activeElement.dataset.id ?? document.activeElement.id);
  await page.focus("#theme");
  const visited = [];
  for (let n = 0; n < 7; n += 1) {
    visited.push(await focused());
    await page.keyboard.press("Tab");
  }
  // The button beside the field has nothing to do while that is empty.
  assert.deepEqual(visited, ["theme", "leave", "find", "peer-3", "forget", "scroll", "text"]);
  await page.focus("#find");
  await page.keyboard.press("ArrowDown");
  const first = await focused();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowUp");
  assert.equal(await focused(), first);
  await page.keyboard.press("End");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.activeElement.id === "text");
  await page.keyboard.press("Escape");
  assert.match(await focused(), /^peer-/);
});

test("on a phone nothing opens the keyboard but a touch", async (t) => {
  const phone = { viewport: { width: 360, height: 700 }, hasTouch: true, isMobile: true };
  const page = await open(await person(t, phone), "");
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.tagName);
  assert.equal(await focused(), "BODY");
  await shoot(page, "phone-sign-in");
  await page.fill("#me-field", "pocket");
  await page.press("#me-field", "Enter");
  await page.locator("#link", { hasText: /^Connected$/ }).waitFor();
  assert.equal(await focused(), "people");
  await shoot(page, "phone-list");
  await page.fill("#find", "friend");
  await page.press("#find", "Enter");
  await page.locator("#conversation:visible").waitFor();
  assert.equal(await focused(), "scroll");
  await page.tap("#back");
  assert.equal(await page.evaluate(() => document.activeElement.dataset.id), "friend");
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
