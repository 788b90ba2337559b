// `tidewire serve` behind nginx and HAProxy.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Client } from "./gateway.mjs";
import { startHaproxyInFront, startHaproxyHttp, startNginx } from "./proxies.mjs";
import { GUARD_MS, Server } from "./server.mjs";

const things = [];
const keep = (thing) => {
  things.push(thing);
  return thing;
};

after(async () => {
  for (const thing of things.reverse()) await thing.remove();
});

const TRUSTING = `[server]\ntrusted_proxies = ["127.0.0.1"]\n[rest]\ntrusted_proxies = ["127.0.0.1"]\n`;
const LIMIT = "[server.limits]\nconnections_per_ip_max = 1\n";

const start = (config = "") => Server.start({ config }).then(keep);
const port = (url) => Number(new URL(url).port);
const chat = (proxy, id, options) => Client.open(`${proxy.url}chat?id=${id}`, { localAddress: "127.0.0.2", ...options });

/** A message to oneself, there and back. */
async function talk(client, id) {
  const message = { type: "text", sender: id, recipients: [id], text: "hello", data: {} };
  const answer = JSON.parse(await client.ask(JSON.stringify(message)));
  assert.equal(answer.text, "hello");
  await client.close(1000);
}

test("a page behind nginx that does TLS connects and calls where nginx is trusted", async () => {
  const server = await start(TRUSTING);
  const nginx = keep(await startNginx(port(server.messaging)));
  const origin = "https://chat.example";
  await talk(await chat(nginx, 1, { origin, headers: { Host: "chat.example" } }), 1);
  await assert.rejects(chat(nginx, 1, { origin: "https://evil.example", headers: { Host: "chat.example" } }), { status: 403 });
  const rest = keep(await startNginx(port(server.rest)));
  const url = rest.url.replace("ws:", "http:");
  const answer = await fetch(`${url}stats`, { headers: { origin: "https://127.0.0.1" }, signal: AbortSignal.timeout(GUARD_MS) });
  assert.equal(answer.status, 200);
});

test("where nobody trusts nginx the refusal names the keys", async () => {
  const server = await start();
  const nginx = keep(await startNginx(port(server.messaging)));
  const refused = (status, hint) => (error) => error.status === status && hint.test(error.body);
  const headers = { Host: "localhost" };
  await assert.rejects(chat(nginx, 1, { origin: "https://localhost", headers }), refused(403, /server\.allowed_origins.*server\.trusted_proxies/));
  await assert.rejects(chat(nginx, 1, { headers: { Host: "chat.example" } }), refused(421, /server\.trusted_proxies/));
});

test("the port that nginx drops from Host is told by X-Forwarded-Host or X-Forwarded-Port", async () => {
  const server = await start(TRUSTING);
  for (const fields of [{ "X-Forwarded-Host": "$http_host" }, { "X-Forwarded-Port": "$server_port" }]) {
    const nginx = keep(await startNginx(port(server.messaging), { scheme: "$scheme", fields }));
    await talk(await chat(nginx, 1, { origin: `http://127.0.0.1:${nginx.port}` }), 1);
  }
});

test("clients of nginx count by their own addresses", async () => {
  const server = await start(`${TRUSTING}${LIMIT}`);
  const nginx = keep(await startNginx(port(server.messaging)));
  const clients = [];
  for (const last of [2, 3, 4]) clients.push(await chat(nginx, last, { localAddress: `127.0.0.${last}` }));
  await assert.rejects(chat(nginx, 9, { headers: { "X-Forwarded-For": "6.6.6.6" } }), { status: 503 });
  for (const client of clients) await client.close(1000);
});

test("HAProxy tells clients by the PROXY protocol", async () => {
  const server = await start(`[server]\nproxy_protocol = ["127.0.0.1"]\n${LIMIT}`);
  const haproxy = keep(await startHaproxyInFront(port(server.messaging)));
  const first = await chat(haproxy, 1, { headers: { Host: "chat.example" } });
  const second = await chat(haproxy, 2, { localAddress: "127.0.0.3" });
  await assert.rejects(chat(haproxy, 3), { status: 503 });
  await second.close(1000);
  await talk(first, 1);
  await assert.rejects(Client.open(`${server.messaging}?id=1`));
});

test("HAProxy adds X-Forwarded-For, and pages connect", async () => {
  const server = await start(TRUSTING);
  const fields = ["option forwardfor", "http-request set-header X-Forwarded-Proto https"];
  const haproxy = keep(await startHaproxyHttp(port(server.messaging), { fields }));
  await talk(await chat(haproxy, 1, { origin: "https://chat.example", headers: { Host: "chat.example" } }), 1);
});
