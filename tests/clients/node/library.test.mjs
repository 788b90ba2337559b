// The library's server with the clients of `ws` and Chromium, the library's client with a server made with `ws`; both
// with and without compression.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import WebSocket, { WebSocketServer } from "ws";
import { clientBinary, EchoServer, runClient, serverBinary } from "./library.mjs";
import { guard } from "./server.mjs";

const MIB = 1 << 20;
const skipServer = serverBinary ? false : "LIBRARY_SERVER is not set";
const skipClient = clientBinary ? false : "LIBRARY_CLIENT is not set";

/** Text as people compress it: what repeats too much is a bomb to the library (`DeflateConfig::ratio_max`). */
function text(length) {
  const lines = Array.from({ length: length / 20 + 1 }, (_, i) => `${(i * 7919) % 100_003}: tide and wire, `);
  return Buffer.from(lines.join("").slice(0, length));
}
const PAYLOADS = [0, 1, 125, 126, 127, 65535, 65536, MIB].flatMap((length) => [
  { data: text(length), binary: false },
  { data: randomBytes(length), binary: true },
]);
PAYLOADS.push({ data: Buffer.from("κόσμε 潮 😀 ".repeat(2000)), binary: false });

const servers = {};
before(async () => {
  if (skipServer) return;
  servers.plain = await EchoServer.start();
  servers.deflate = await EchoServer.start("--deflate");
});
after(() => Object.values(servers).forEach((server) => server.stop()));

/** What compression `ws` may be asked for. */
const OFFERS = {
  none: false,
  defaults: { threshold: 0 },
  "no context takeover": { threshold: 0, clientNoContextTakeover: true, serverNoContextTakeover: true },
  "small windows": { threshold: 0, clientMaxWindowBits: 9, serverMaxWindowBits: 9 },
};

async function open(url, perMessageDeflate) {
  const ws = new WebSocket(url, { perMessageDeflate });
  await guard(once(ws, "open"), `the upgrade of ${url}`);
  return ws;
}

async function received(ws) {
  const over = new AbortController();
  const { signal } = over;
  const closed = once(ws, "close", { signal }).then(([code, reason]) => {
    throw new Error(`closed ${code} ${reason}`);
  });
  closed.catch(() => {});
  try {
    const [bytes, isBinary] = await guard(Promise.race([once(ws, "message", { signal }), closed]), "a message");
    return { bytes, isBinary };
  } finally {
    over.abort();
  }
}

for (const kind of ["plain", "deflate"]) {
  for (const [name, offer] of Object.entries(OFFERS)) {
    test(`ws client, ${name}, server ${kind}`, { skip: skipServer }, async () => {
      const ws = await open(servers[kind].url, offer);
      const compressed = kind === "deflate" && offer !== false;
      assert.equal(ws.extensions.includes("permessage-deflate"), compressed);
      for (const { data, binary } of PAYLOADS) {
        for (const fragments of [1, 3]) {
          const size = Math.ceil(data.length / fragments) || 1;
          for (let i = 0; i < fragments; i += 1) {
            if (i > 0) ws.ping(`between ${i}`);
            ws.send(data.subarray(i * size, (i + 1) * size), { binary, fin: i === fragments - 1, compress: compressed });
          }
          const { bytes, isBinary } = await received(ws);
          assert.equal(isBinary, binary);
          assert.ok(data.equals(bytes), `${bytes.length} bytes came back for ${data.length}`);
        }
      }
      for (const payload of [Buffer.alloc(0), randomBytes(125)]) {
        const pong = once(ws, "pong", { signal: AbortSignal.timeout(30_000) });
        // Pongs of the pings between fragments come before.
        ws.ping(payload);
        let [got] = await pong;
        while (!got.equals(payload)) [got] = await guard(once(ws, "pong"), "the pong");
      }
      ws.close(4321, "enough");
      const [code] = await guard(once(ws, "close"), "the close");
      assert.equal(code, 4321);
    });
  }

  test(`ws client, close codes, server ${kind}`, { skip: skipServer }, async () => {
    for (const code of [1000, 1001, 1003, 1007, 1008, 1011, 3000, 4999]) {
      const ws = await open(servers[kind].url, true);
      ws.close(code, "r".repeat(123));
      assert.equal((await guard(once(ws, "close"), "the close"))[0], code);
    }
    const ws = await open(servers[kind].url, true);
    ws.close();
    assert.equal((await guard(once(ws, "close"), "the close"))[0], 1005);
  });

  test(`ws client, broken text, server ${kind}`, { skip: skipServer }, async () => {
    for (const compress of [false, true]) {
      const ws = await open(servers[kind].url, { threshold: 0 });
      ws.send(Buffer.from([0x61, 0xff]), { binary: false, compress });
      assert.equal((await guard(once(ws, "close"), "the close"))[0], 1007);
    }
  });

  test(`ws client, many at once, server ${kind}`, { skip: skipServer }, async () => {
    const work = Array.from({ length: 50 }, async (_, i) => {
      const ws = await open(servers[kind].url, true);
      const data = Buffer.from(`client ${i}, `.repeat(500));
      for (let round = 0; round < 20; round += 1) {
        ws.send(data, { binary: false });
        assert.ok(data.equals((await received(ws)).bytes));
      }
      ws.close(1000);
      await guard(once(ws, "close"), "the close");
    });
    await Promise.all(work);
  });
}

test("ws client, what inflates to more than a hundred times its size is refused", { skip: skipServer }, async () => {
  const ws = await open(servers.deflate.url, { threshold: 0 });
  ws.send(Buffer.alloc(MIB), { binary: true });
  assert.equal((await received(ws)).bytes.length, MIB, "the first MiB is free");
  ws.send(Buffer.alloc(2 * MIB), { binary: true });
  assert.equal((await guard(once(ws, "close"), "the close"))[0], 1009);
});

test("Chromium, compressed and plain", { skip: skipServer }, async () => {
  const profile = await mkdtemp(join(tmpdir(), "tidewire-browser-"));
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    env: { ...process.env, HOME: profile },
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
  });
  try {
    const page = await browser.newPage();
    for (const kind of ["plain", "deflate"]) {
      const work = page.evaluate(async (url) => {
        const ws = new WebSocket(url);
        ws.binaryType = "arraybuffer";
        await new Promise((resolve, reject) => {
          ws.onopen = resolve;
          ws.onerror = () => reject(new Error("not opened"));
        });
        const echo = (data) =>
          new Promise((resolve, reject) => {
            ws.onmessage = (event) => resolve(event.data);
            ws.onclose = (event) => reject(new Error(`closed ${event.code}`));
            ws.send(data);
          });
        for (const length of [0, 1, 125, 126, 65535, 65536, 1 << 20]) {
          const text = Array.from({ length: length / 12 + 1 }, (_, i) => `${(i * 7919) % 100_003}: tide 潮 `).join("").slice(0, length);
          if ((await echo(text)) !== text) throw new Error(`text of ${length}`);
          const bytes = Uint8Array.from({ length }, () => Math.random() * 256);
          const back = new Uint8Array(await echo(bytes));
          if (back.length !== length || back.some((byte, i) => byte !== bytes[i])) throw new Error(`bytes of ${length}`);
        }
        const closed = new Promise((resolve) => (ws.onclose = resolve));
        ws.close(4000, "enough");
        const { code, wasClean } = await closed;
        return { code, wasClean, extensions: ws.extensions };
      }, servers[kind].url);
      const { code, wasClean, extensions } = await guard(work, "the page");
      assert.deepEqual({ code, wasClean }, { code: 4000, wasClean: true });
      assert.equal(extensions.includes("permessage-deflate"), kind === "deflate");
    }
  } finally {
    await browser.close();
    await rm(profile, { recursive: true, force: true });
  }
});

/** Sends in fragments, and expects the whole back. */
async function exchange(ws, { data, binary }, fragments) {
  const size = Math.ceil(data.length / fragments) || 1;
  for (let i = 0; i < fragments; i += 1) {
    if (i > 0) ws.ping("between");
    ws.send(data.subarray(i * size, (i + 1) * size), { binary, fin: i === fragments - 1 });
  }
  const { bytes, isBinary } = await received(ws);
  assert.equal(isBinary, binary);
  assert.ok(data.equals(bytes), `${bytes.length} bytes came back for ${data.length}`);
}

async function closing(ws, code, reason) {
  ws.close(code, reason);
  const [answer] = await guard(once(ws, "close"), "the client's close");
  assert.equal(answer, code ?? 1005);
}

/** What is done with the library's client, in order; it asks for as many cases as there are. */
const CASES = [
  ...PAYLOADS.flatMap((payload) => [1, 5].map((fragments) => async (ws) => {
    await exchange(ws, payload, fragments);
    await closing(ws, 1000);
  })),
  async (ws) => {
    for (const payload of PAYLOADS) await exchange(ws, payload, 2);
    await closing(ws, 1001, "r".repeat(123));
  },
  async (ws) => {
    const payload = randomBytes(125);
    ws.ping(payload);
    assert.deepEqual((await guard(once(ws, "pong"), "the pong"))[0], payload);
    await closing(ws);
  },
  ...[1003, 1008, 1011, 1012, 1013, 3000, 4999].map((code) => (ws) => closing(ws, code, "because")),
  async (ws) => {
    ws.send(Buffer.from([0xce]), { binary: false });
    assert.equal((await guard(once(ws, "close"), "the close"))[0], 1007);
  },
  async (ws) => ws.terminate(),
];

for (const [name, offer] of Object.entries(OFFERS)) {
  for (const options of [[], ["--deflate"]]) {
    test(`ws server, ${name}, client ${options.join(" ") || "plain"}`, { skip: skipClient }, async () => {
      const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: offer });
      await once(server, "listening");
      const compressed = new Set();
      const done = [];
      server.on("connection", (ws, request) => {
        const url = new URL(request.url, "ws://localhost");
        compressed.add(ws.extensions.includes("permessage-deflate"));
        if (url.pathname === "/getCaseCount") ws.send(String(CASES.length), () => ws.close());
        else if (url.pathname === "/runCase") {
          const number = Number(url.searchParams.get("case"));
          const work = CASES[number - 1](ws).catch((error) => {
            ws.terminate(); // so that the client goes on
            throw new Error(`case ${number}`, { cause: error });
          });
          work.catch(() => {}); // looked at below
          done.push(work);
        } else ws.close();
      });
      try {
        await runClient(`ws://127.0.0.1:${server.address().port}`, ...options);
        assert.equal((await guard(Promise.all(done), "the cases")).length, CASES.length);
        assert.deepEqual([...compressed], [offer !== false && options.length > 0]);
      } finally {
        for (const ws of server.clients) ws.terminate();
        server.close();
      }
    });
  }
}
