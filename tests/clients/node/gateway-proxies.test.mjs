// nginx and HAProxy in front of `tidewire gateway` and behind it.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, test } from "node:test";
import { Backend } from "./backend.mjs";
import { Client, Gateway } from "./gateway.mjs";
import { startHaproxyBehind, startHaproxyInFront, startHaproxyHttp, startNginx } from "./proxies.mjs";
import { until } from "./server.mjs";

const things = [];
const keep = (thing) => {
  things.push(thing);
  return thing;
};

after(async () => {
  for (const thing of things.reverse()) await thing.remove();
});

const endpoint = (upstream, rest = "") => `[endpoints.one]\nupstreams = ["${upstream}"]\n${rest}\n`;
const listener = (rest) => ({ listeners: `[[listeners]]\naddress = "127.0.0.1:0"\n${rest}\n` });

/** Client at 127.0.0.2, so that it differs from every proxy. */
const open = (url, options) => Client.open(`${url}?ROUTENAME=one`, { localAddress: "127.0.0.2", ...options });

/** Messages, compression and closes through the whole chain; gives what the backend saw. */
async function exercise(url, backend) {
  const client = await open(url, { perMessageDeflate: { threshold: 0 } });
  const info = await client.info();
  assert.match(info.extensions, /^permessage-deflate/);
  for (const message of ["", "κόσμε", randomBytes(300_000), "x".repeat(300_000)]) assert.deepEqual(await client.ask(message), message);
  client.send("close 4001 enough");
  assert.deepEqual(await client.end(), { code: 4001, reason: "enough" });

  const closing = await open(url);
  await closing.info();
  const count = backend.closes.length;
  await closing.close(4002, "told");
  await until("the close", () => backend.closes.length > count);
  assert.deepEqual(backend.closes.at(-1), { code: 4002, reason: "told" });
  return info.headers;
}

const start = () => Backend.start({ deflate: { threshold: 0 } }).then(keep);

/** The addresses of clients in the access log, once there are so many records. */
async function clients(gateway, count) {
  const records = await until("the access records", async () => {
    const all = await gateway.records();
    return all.length >= count && all;
  });
  return [...new Set(records.map((record) => record.client))];
}

test("behind nginx, whose X-Forwarded-For is believed where it is trusted", async () => {
  const backend = await start();
  const gateway = keep(await Gateway.start(endpoint(backend.url), listener('trusted_proxies = ["127.0.0.1"]')));
  const nginx = keep(await startNginx(gateway.port));
  const headers = await exercise(nginx.url, backend);
  assert.equal(headers["x-forwarded-for"], "127.0.0.2, 127.0.0.1");
  assert.equal(headers["x-forwarded-proto"], "https");
  assert.deepEqual(await clients(gateway, 2), ["127.0.0.2"]);

  // Somebody else who says the same is not believed.
  const liar = await open(gateway.url, { headers: { "X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https" } });
  const told = (await liar.info()).headers;
  assert.deepEqual([told["x-forwarded-for"], told["x-forwarded-proto"]], ["127.0.0.2", "http"]);
  await liar.close(1000);
});

test("behind nginx that nobody trusts, the client is nginx", async () => {
  const backend = await start();
  const gateway = keep(await Gateway.start(endpoint(backend.url)));
  const nginx = keep(await startNginx(gateway.port));
  const headers = await exercise(nginx.url, backend);
  assert.equal(headers["x-forwarded-for"], "127.0.0.1");
  assert.deepEqual(await clients(gateway, 2), ["127.0.0.1"]);
});

test("behind HAProxy, which tells who connects by the PROXY protocol", async () => {
  const backend = await start();
  const gateway = keep(await Gateway.start(endpoint(backend.url), listener('proxy_protocol = ["127.0.0.1"]')));
  const haproxy = keep(await startHaproxyInFront(gateway.port));
  const headers = await exercise(haproxy.url, backend);
  assert.equal(headers["x-forwarded-for"], "127.0.0.2");
  assert.deepEqual(await clients(gateway, 2), ["127.0.0.2"]);
  // Whoever comes past the balancer is not let in.
  await assert.rejects(open(gateway.url));
  await assert.rejects(Client.open(gateway.url, { localAddress: "127.0.0.1" }));
});

test("in front of nginx", async () => {
  const backend = await start();
  const nginx = keep(await startNginx(backend.port));
  const gateway = keep(await Gateway.start(endpoint(nginx.url, "health = { interval = '500ms', timeout = '400ms' }")));
  const headers = await exercise(gateway.url, backend);
  assert.equal(headers["x-seen-by-nginx"], "127.0.0.1");
  assert.equal(headers["x-forwarded-for"], "127.0.0.2, 127.0.0.1");
  // Without a backend nginx answers 502, which is the gateway's answer then, too.
  await backend.remove();
  await assert.rejects(open(gateway.url), { status: 502 });
});

for (const version of ["v1", "v2"]) {
  test(`in front of HAProxy, which learns from a PROXY header of ${version} who connects`, async () => {
    const backend = await start();
    const haproxy = keep(await startHaproxyBehind(backend.port));
    const gateway = keep(await Gateway.start(endpoint(haproxy.url, `proxy_protocol = "${version}"\nhealth = {}`)));
    const headers = await exercise(gateway.url, backend);
    assert.equal(headers["x-seen-by-haproxy"], "127.0.0.2");
  });
}

test("between HAProxy and HAProxy the address stays what it is", async () => {
  const backend = await start();
  const behind = keep(await startHaproxyBehind(backend.port));
  const config = endpoint(behind.url, 'proxy_protocol = "v2"\nresume = {}');
  const gateway = keep(await Gateway.start(config, listener('proxy_protocol = ["127.0.0.1"]')));
  const front = keep(await startHaproxyInFront(gateway.port));
  const client = await open(front.url);
  const { headers } = await client.info();
  assert.equal(headers["x-seen-by-haproxy"], "127.0.0.2");
  // Here the gateway itself takes part in the close, and answers with the code.
  assert.equal((await client.close(4003, "end")).code, 4003);
  await until("the close", () => backend.closes.length > 0);
  assert.deepEqual(backend.closes, [{ code: 4003, reason: "end" }]);
});

test("behind nginx each client counts by its own address", async () => {
  const backend = await start();
  const trusting = listener('trusted_proxies = ["127.0.0.1"]');
  const gateway = keep(await Gateway.start(`${endpoint(backend.url)}\n[limits]\nper_ip_max = 2`, trusting));
  const nginx = keep(await startNginx(gateway.port));
  const clients = [];
  for (const last of [2, 3, 4, 5, 6, 2]) clients.push(await open(nginx.url, { localAddress: `127.0.0.${last}` }));
  await assert.rejects(open(nginx.url), { status: 503 });
  // What a client says of itself in front of nginx is not its address.
  await assert.rejects(open(nginx.url, { headers: { "X-Forwarded-For": "6.6.6.6", Forwarded: "for=6.6.6.6" } }), { status: 503 });
  for (const client of clients) assert.equal(await client.ask("still there"), "still there");
  for (const client of clients) await client.close(1000);
});

test("pages connect through nginx that does TLS, and learn what is missing where nobody trusts it", async () => {
  const backend = await start();
  const trusting = keep(await Gateway.start(endpoint(backend.url), listener('trusted_proxies = ["127.0.0.1"]')));
  const direct = keep(await Gateway.start(endpoint(backend.url)));
  const origin = "https://localhost";
  const headers = { Host: "localhost" };
  for (const fields of [{}, { "X-Forwarded-Proto": '"https, http"' }, { Forwarded: '"for=203.0.113.9;proto=https"' }]) {
    const nginx = keep(await startNginx(trusting.port, { fields: { ...fields } }));
    const page = await open(nginx.url, { origin, headers });
    assert.equal(await page.ask("hello"), "hello");
    await page.close(1000);
  }
  const nginx = keep(await startNginx(direct.port));
  await assert.rejects(open(nginx.url, { origin, headers }), (error) => error.status === 403 && /endpoints\.one\.origins.*trusted_proxies/.test(error.body));
});

for (const probe of ["GET /healthz", "HEAD /healthz", "OPTIONS /healthz"]) {
  test(`HAProxy probes the gateway's own port with ${probe}, in HTTP/1.0`, async () => {
    const backend = await start();
    const gateway = keep(await Gateway.start(endpoint(backend.url), listener('trusted_proxies = ["127.0.0.1"]')));
    const haproxy = keep(await startHaproxyHttp(gateway.port, { probe }));
    const client = await open(haproxy.url);
    assert.equal((await client.info()).headers["x-forwarded-for"], "127.0.0.2, 127.0.0.1");
    await client.close(1000);
  });
}

test("HAProxy that writes Forwarded tells who asks", async () => {
  const backend = await start();
  const trusting = listener('trusted_proxies = ["127.0.0.1"]\nforwarded_fields = "forwarded"');
  const gateway = keep(await Gateway.start(endpoint(backend.url), trusting));
  const told = 'http-request set-header Forwarded "for=%[src];proto=https;host=chat.example"';
  const haproxy = keep(await startHaproxyHttp(gateway.port, { probe: "GET /healthz", fields: [told] }));
  const client = await open(haproxy.url, { origin: "https://chat.example", headers: { "X-Forwarded-For": "6.6.6.6" } });
  const { headers } = await client.info();
  assert.deepEqual(
    ["for", "proto", "host"].map((name) => headers[`x-forwarded-${name}`]),
    ["127.0.0.2, 127.0.0.1", "https", "chat.example"],
  );
  await client.close(1000);
});
