// Clients of wsserver against a server that runs by its config.json: a page like the original's sample, opened from the
// disk as it was meant to be, and pairs of users as its benchmark makes them.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { Chromium } from "./chromium.mjs";
import { Peer } from "./peer.mjs";
import { guard, Server, until } from "./server.mjs";

// What the sample page does, without its library from elsewhere: the query has id, friendId, addr and proto; it knows the
// types text, notification_received, b64image and imageUrl, and tells the bot what was read.
const page = `<!doctype html><meta charset="utf-8"><title>WebSocket Test</title>
<img id="image-rcvd" style="display: none">
<textarea id="message-list"></textarea>
<form onsubmit="return send()"><input id="message"><input type="submit" value="Send"></form>
<input type="file" id="file-input">
<button id="typing" onclick="typingMessage()">typing</button><button id="read" onclick="hasReadMessage()">has read</button>
<script>
  document.cookie = "session=auth_token; path=/;";
  const query = new URL(location.href).searchParams;
  const sender = query.get("id"), recipient = query.get("friendId");
  const list = document.getElementById("message-list"), image = document.getElementById("image-rcvd");
  const write = (text) => (list.value += "\\n" + text);
  const socket = new WebSocket((query.get("proto") ?? "ws") + "://" + query.get("addr") + "/chat?id=" + sender);
  socket.onopen = () => write(" >>> Connected");
  socket.onclose = (event) => write(" >>> Service disconnected[" + event.code + "]: " + event.reason);
  socket.onmessage = (event) => {
    const result = JSON.parse(event.data);
    if (result.type === "text") write((parseInt(sender) !== parseInt(result.sender) ? " >>> " : " <<< ") + result.text);
    else if (result.type === "notification_received") list.value += " - received";
    else if (result.type === "b64image") image.src = result.data.blob;
    else if (result.type === "imageUrl") image.src = result.data.url;
    if (image.src) image.style.display = "block";
  };
  function submit(payload) {
    socket.send(JSON.stringify({ sender: parseInt(sender), recipients: [parseInt(recipient)], ...payload }));
    return false;
  }
  function send() {
    const text = document.getElementById("message").value;
    if (text === "") return false;
    return submit(/\\.(png|jpg|gif)/.test(text) ? { text, type: "imageUrl", data: { url: text } } : { text, type: "text" });
  }
  function typingMessage() { return submit({ type: "dogsy_notification_typing" }); }
  function hasReadMessage() { return submit({ recipients: [0], type: "dogsy_notification_has_read", data: { dialogId: 1010 } }); }
  document.getElementById("file-input").onchange = (event) => {
    const reader = new FileReader();
    reader.onloadend = () => submit({ text: "", type: "b64image", data: { blob: reader.result } });
    reader.readAsDataURL(event.target.files[0]);
  };
</script>`;

// As shipped, but for what the test is about; flags of the test say where it listens.
const config = ({ secure, message } = {}) =>
  JSON.stringify({
    server: {
      endpoint: "/chat",
      address: "*",
      port: 8085,
      workers: 2,
      secure: { enabled: false, crtPath: "<insert certificate path here>", keyPath: "<insert private key path here>", ...secure },
      watchdog: { enabled: false, connectionLifetimeSeconds: 600 },
      auth: { type: "noauth", user: "user", password: "password" },
    },
    restApi: { enabled: true, address: "*", port: 8092, auth: { type: "noauth" } },
    chat: { message: { maxSize: "10M", ...message } },
    event: { enabled: false },
  });

let browser;
let folder;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "tidewire-wsserver-"));
  await writeFile(join(folder, "client.html"), page);
  browser = await Chromium.start();
});
afterEach(async () => {
  await Peer.endAll();
  await browser?.closeAll();
});
after(async () => {
  await browser?.remove();
  if (folder) await rm(folder, { recursive: true, force: true });
});

async function start(t, options) {
  const server = await Server.start({ config: config(options) });
  t.after(() => server.remove());
  return server;
}

async function openPage(t, server, id, friendId) {
  const context = await browser.person(t, {});
  const tab = await context.newPage();
  const url = pathToFileURL(join(folder, "client.html"));
  const addr = new URL(server.messaging).host;
  url.search = new URLSearchParams({ id, friendId, addr }).toString();
  await tab.goto(url.href);
  await shows(tab, " >>> Connected");
  return tab;
}

const lines = (tab) => tab.locator("#message-list").inputValue();
const shows = (tab, text) => until(`the line ${text}`, async () => (await lines(tab)).includes(text));

async function say(tab, text) {
  await tab.fill("#message", text);
  await tab.press("#message", "Enter");
}

test("the sample page talks from the disk, with copies and receipts", async (t) => {
  const server = await start(t, { message: { enableDeliveryStatus: true, enableSendBack: true, enableUndeliveredQueue: true } });
  const one = await openPage(t, server, "1", "2");
  const two = await openPage(t, server, "2", "1");
  await say(one, "Hello 👌");
  await shows(two, " >>> Hello 👌");
  await shows(one, " <<< Hello 👌");
  await shows(one, " - received");
  await say(two, "Hi");
  await shows(one, " >>> Hi");
});

test("the sample page passes pictures, notes on typing, and what was read", async (t) => {
  const server = await start(t);
  const one = await openPage(t, server, "1", "2");
  const two = await openPage(t, server, "2", "1");
  const listener = await Peer.connect(server, 2);
  const pixel = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");
  await one.setInputFiles("#file-input", { name: "pixel.png", mimeType: "image/png", buffer: pixel });
  const picture = () => two.locator("#image-rcvd").getAttribute("src");
  await until("the picture", async () => (await picture())?.startsWith("data:image/png;base64,iVBOR"));
  await say(one, "data:image/gif;name=x.gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==");
  await until("the linked picture", async () => (await picture())?.startsWith("data:image/gif"));
  await one.click("#typing");
  const typing = await listener.next((message) => message.type === "dogsy_notification_typing");
  assert.deepEqual([typing.sender, typing.recipients, typing.text, typing.data], [1, [2], "", null]);
  await one.click("#read");
  await say(one, "still here");
  await shows(two, " >>> still here");
  assert.ok(!listener.inbox.some((message) => message.type.endsWith("has_read")), "the bot's messages reach nobody");
  assert.doesNotMatch(await lines(one), /disconnected/);
});

// What the benchmark does per run: 50 users in pairs, each sends its partner two texts of 3435 bytes over wss, whose
// certificate nobody checks, answers no ping and goes.
const users = 50;
const perUser = 2;
const runs = 3;
const text = "Lorem ipsum dolor sit amet, consectetur adipiscing elit.\n".repeat(61).slice(0, 3435);

test("pairs of users exchange the benchmark's texts over wss, run after run", async (t) => {
  const made = spawnSync(process.env.SERVER_BIN, ["certs", "--self-signed", "--dir", join(folder, "tls")], { encoding: "utf8" });
  assert.equal(made.status, 0, made.stderr);
  const secure = { enabled: true, crtPath: join(folder, "tls", "server-cert.pem"), keyPath: join(folder, "tls", "server-key.pem") };
  const server = await start(t, { secure });
  assert.match(server.messaging, /^wss:/);
  for (let run = 0; run < runs; run += 1) {
    const options = { rejectUnauthorized: false, autoPong: false };
    const ids = Array.from({ length: users }, (_, index) => index + 1);
    const peers = await Promise.all(ids.map((id) => Peer.connect(server, id, options)));
    // A connection may take messages a moment after its upgrade; nothing is kept for users who are away.
    await until("all users", async () => (await Promise.all(ids.map((id) => server.isOnline(id)))).every(Boolean));
    const seen = new Set();
    for (const peer of peers) {
      const partner = peer.id % 2 === 1 ? peer.id + 1 : peer.id - 1;
      for (let n = 0; n < perUser; n += 1) peer.say(text, partner);
    }
    for (const peer of peers) {
      for (let n = 0; n < perUser; n += 1) {
        const message = await peer.text();
        assert.equal(message.text, text);
        assert.equal(message.sender, peer.id % 2 === 1 ? peer.id + 1 : peer.id - 1);
        seen.add(message.id);
      }
      assert.deepEqual(peer.inbox, [], "nothing comes twice, nor from the run before");
    }
    assert.equal(seen.size, users * perUser);
    for (const peer of peers) peer.ws.close(1000);
    await guard(Promise.all(peers.map((peer) => peer.closed)), "the end of a run");
    await until("nobody", async () => !(await Promise.all(ids.map((id) => server.isOnline(id)))).some(Boolean));
  }
});
