// The browser bundles in headless Chromium, against the fake gateway. CHROMIUM names another binary than /usr/bin/chromium.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { WebSocketServer } from "ws";
import { FakeGateway } from "./fake-gateway.mjs";

const dist = (name) => readFile(new URL(`../dist/${name}`, import.meta.url));
const PAGE = "<!doctype html><title>client</title><script src='/tidewire.min.js'></script>";

let browser;
let profile;
let files;

before(async () => {
  const javascript = "text/javascript";
  files = {
    "/": { type: "text/html", body: PAGE },
    "/example": { type: "text/html", body: await readFile(new URL("../examples/page.html", import.meta.url)) },
    "/tidewire.min.js": { type: javascript, body: await dist("tidewire.min.js") },
    "/tidewire.min.mjs": { type: javascript, body: await dist("tidewire.min.mjs") },
  };
  profile = await mkdtemp(join(tmpdir(), "tidewire-browser-"));
  // Nothing the browser does for itself may reach for a network.
  const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"];
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    env: { ...process.env, HOME: profile },
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", ...quiet],
  });
});
after(async () => {
  await browser?.close();
  if (profile) await rm(profile, { recursive: true, force: true });
});

/** A page with the bundle in `Tidewire`, served by a fake gateway. What goes wrong in the page fails the test. */
async function open(t) {
  const fake = await FakeGateway.start({ files });
  const page = await browser.newPage();
  const problems = [];
  page.on("pageerror", (error) => problems.push(error.stack));
  await page.goto(fake.page);
  t.after(async () => {
    await page.close();
    await fake.stop();
    assert.deepEqual(problems, []);
  });
  return { fake, page };
}

test("the bundle gives sockets with text, Blob and ArrayBuffer, also to relative addresses", async (t) => {
  const { fake, page } = await open(t);
  fake.echo();
  const result = await page.evaluate(async () => {
    const gateway = new Tidewire.Gateway("/mux");
    const socket = gateway.endpoint("echo", { protocols: ["a", "b"], query: { room: "ö" } });
    const received = [];
    let wake;
    socket.onmessage = (event) => {
      received.push(event.data);
      wake?.();
    };
    const until = async (count) => {
      while (received.length < count) await new Promise((resolve) => (wake = resolve));
    };
    await new Promise((resolve) => (socket.onopen = resolve));
    socket.send("text");
    socket.send(new Blob([new Uint8Array(200_000).fill(7)]));
    await until(3);
    socket.binaryType = "arraybuffer";
    socket.send(new Uint8Array([1, 2, 3]).subarray(1));
    await until(4);
    const [query, text, blob, buffer] = received;
    const blobBytes = new Uint8Array(await blob.arrayBuffer());
    const closed = new Promise((resolve) => (socket.onclose = resolve));
    socket.close(3000, "done");
    const { code, reason, wasClean } = await closed;
    gateway.close();
    return {
      url: socket.url.replace(location.host, "HOST"),
      protocol: socket.protocol,
      query,
      text,
      blob: [blob instanceof Blob, blobBytes.length, blobBytes.every((byte) => byte === 7)],
      buffer: [buffer instanceof ArrayBuffer, ...new Uint8Array(buffer)],
      close: [code, reason, wasClean],
    };
  });
  assert.deepEqual(result, {
    url: "ws://HOST/mux#echo?room=%C3%B6",
    protocol: "b",
    query: "room=%C3%B6",
    text: "text",
    blob: [true, 200_000, true],
    buffer: [true, 2, 3],
    close: [3000, "", true],
  });
});

test("an endpoint's socket and the browser's WebSocket do the same", async (t) => {
  const { fake, page } = await open(t);
  fake.echo();
  const plain = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  await once(plain, "listening");
  t.after(() => plain.close());
  plain.on("connection", (ws) => ws.on("message", (data, binary) => ws.send(data, { binary })));

  const [ours, browsers] = await page.evaluate(async (url) => {
    /** What can be seen of a socket's life, as values that can be compared. */
    async function life(make, { early }) {
      const seen = [];
      const attempt = (what) => {
        try {
          return String(what());
        } catch (error) {
          return `${error.constructor.name} ${error.name}`;
        }
      };
      const socket = make();
      const events = ["open", "message", "error", "close"];
      const next = (type) => new Promise((resolve) => socket.addEventListener(type, resolve, { once: true }));
      for (const type of events) {
        socket.addEventListener(type, (event) => {
          seen.push([type, type === "error" ? "" : event.constructor.name, socket.readyState, event.target === socket]);
          if (type === "close") seen.push([event.code, event.wasClean]);
          if (type === "message") seen.push([typeof event.data, event.data.constructor.name, event.data.size, event.data.byteLength]);
        });
      }
      seen.push([socket.readyState, socket.protocol, socket.extensions, socket.binaryType, socket.onopen, socket.bufferedAmount]);
      seen.push([socket.CONNECTING, socket.OPEN, socket.CLOSING, socket.CLOSED]);
      seen.push(attempt(() => socket.send("x")), attempt(() => socket.close(999)), attempt(() => socket.close(1000, "x".repeat(124))));
      if (early) {
        socket.close();
        seen.push(socket.readyState);
        await next("close");
        return seen;
      }
      await next("open");
      for (const code of [1001, 2999, 5000, null, "abc"]) seen.push(attempt(() => socket.close(code)));
      socket.binaryType = "nonsense";
      for (const message of ["ö€😀", new Blob(["blob"]), new Uint8Array(5), new Uint16Array(3).buffer, 12, null]) {
        const echo = next("message");
        socket.send(message);
        seen.push(socket.bufferedAmount);
        await echo;
        seen.push(socket.bufferedAmount);
        socket.binaryType = "arraybuffer";
      }
      socket.send("not lost");
      socket.close("3001", "bye");
      seen.push(socket.readyState, attempt(() => socket.send("12345")));
      socket.close();
      await next("close");
      seen.push(socket.readyState, socket.bufferedAmount > 0);
      return seen;
    }
    const gateway = new Tidewire.Gateway(location.href);
    const lives = [];
    for (const make of [() => gateway.endpoint("echo"), () => new WebSocket(url)]) {
      lives.push([await life(make, { early: false }), await life(make, { early: true })]);
    }
    gateway.close();
    return lives;
  }, `ws://127.0.0.1:${plain.address().port}/`);
  assert.deepEqual(ours, browsers);
  assert.ok(ours[0].length > 30, "something was compared");
});

test("the connection is lost and made again: down, kept messages, up", async (t) => {
  const { fake, page } = await open(t);
  const told = page.evaluate(async () => {
    const gateway = new Tidewire.Gateway(location.href, { reconnect: { minMs: 1, maxMs: 5 } });
    const socket = gateway.endpoint("chat", { reopen: true });
    const log = [];
    for (const type of ["open", "down", "up", "close"]) socket.addEventListener(type, () => log.push(type));
    socket.addEventListener("down", () => socket.send("kept"), { once: true });
    const message = await new Promise((resolve) => (socket.onmessage = ({ data }) => resolve(data)));
    gateway.close();
    return { log, message };
  });
  const first = await fake.accept();
  const { stream } = await first.next("open");
  first.send("accept", stream);
  first.terminate();
  (await fake.accept()).echo();
  assert.deepEqual(await told, { log: ["open", "down", "up"], message: "kept" });
});

test("h5: garbage closes the connection with 4002, since a page may not use 1002, and throws nothing", async (t) => {
  const { fake, page } = await open(t);
  const closed = page.evaluate(async () => {
    const socket = new Tidewire.Gateway(location.href, { reconnect: false }).endpoint("x");
    const { code, reason } = await new Promise((resolve) => (socket.onclose = resolve));
    return { code, reason };
  });
  const link = await fake.accept();
  link.raw("text");
  assert.deepEqual(await link.closed, { code: 4002, reason: "expected binary messages only" });
  assert.deepEqual(await closed, { code: 1006, reason: "protocol error: expected binary messages only" });
});

test("the module bundle works in a module and in a worker", async (t) => {
  const { fake, page } = await open(t);
  fake.echo();
  const results = await page.evaluate(async () => {
    const { Gateway } = await import("/tidewire.min.mjs");
    const inPage = await new Promise((resolve) => {
      const socket = new Gateway(location.href).endpoint("echo", { query: "page" });
      socket.onmessage = ({ data }) => resolve(data);
    });
    const code = `
      import { Gateway } from "${location.origin}/tidewire.min.mjs";
      new Gateway("${location.href}").endpoint("echo", { query: "worker" }).onmessage = ({ data }) => postMessage(data);
    `;
    const worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })), { type: "module" });
    const inWorker = await new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = () => reject(new Error("the worker failed"));
    });
    return [inPage, inWorker];
  });
  assert.deepEqual(results, ["page", "worker"]);
});

test("the example of a page sends, shows answers, and says when the gateway is away", async (t) => {
  const { fake, page } = await open(t);
  await page.goto(`${fake.page}example`);
  const link = await fake.accept();
  link.echo();
  const state = page.locator("#state");
  await page.locator("#state", { hasText: /^connected$/ }).waitFor();
  await page.locator("#text").fill("grüße");
  await page.locator("#send").click();
  await page.locator("#answers li", { hasText: "grüße" }).waitFor();
  link.terminate();
  (await fake.accept()).echo();
  await page.locator("#state", { hasText: /^connected$/ }).waitFor();
  assert.equal(await state.textContent(), "connected");
});

test("a client that waits for a long time connects at once when the browser is online again", async (t) => {
  const { fake, page } = await open(t);
  const told = page.evaluate(async () => {
    // The wait is a random part of ten minutes, at its longest.
    Math.random = () => 1;
    const gateway = new Tidewire.Gateway(location.href, { reconnect: { minMs: 600_000, maxMs: 600_000 } });
    const socket = gateway.endpoint("chat", { reopen: true });
    const next = (type) => new Promise((resolve) => socket.addEventListener(type, resolve, { once: true }));
    const down = next("down");
    await next("open");
    const { retryMs } = await down;
    document.title = "waiting";
    await next("up");
    gateway.close();
    return retryMs;
  });
  const first = await fake.accept();
  first.echo();
  await page.waitForTimeout(1_100); // attempts that the surroundings ask for are a second apart
  await page.context().setOffline(true);
  first.terminate();
  await page.waitForFunction(() => document.title === "waiting");
  await page.context().setOffline(false);
  (await fake.accept()).echo();
  assert.equal(await told, 600_000);
});
