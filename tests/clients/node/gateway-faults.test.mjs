// Backends that die, hang, flap and lie behind bad networks, and what clients of `tidewire gateway` notice of it.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, describe, test } from "node:test";
import { Backend, BackendProcess } from "./backend.mjs";
import { FaultProxy } from "./fault-proxy.mjs";
import { Client, Gateway } from "./gateway.mjs";
import { until } from "./server.mjs";

const things = [];
const keep = (thing) => {
  things.push(thing);
  return thing;
};

after(async () => {
  for (const thing of things.reverse()) await thing.remove();
});

const RESUME = 'resume = { backoff_max = "100ms", replay = "unconfirmed" }\nejection = { enabled = false }';

/** A gateway with the endpoint `one` and a client of it. */
async function start(upstreams, rest = "", top = "") {
  const urls = upstreams.map(({ url }) => `"${url}"`).join(", ");
  const config = `${top}\n[endpoints.one]\nupstreams = [${urls}]\n${rest}\n`;
  const gateway = keep(await Gateway.start(config));
  return { gateway, open: () => Client.open(`${gateway.url}?ROUTENAME=one`) };
}

/**
 * Waits for an echo. With `replay = "unconfirmed"` what a killed backend had echoed, but not confirmed by a pong, comes twice: before it,
 * and only what was echoed already.
 */
async function echoes(client, expected, echoed) {
  for (;;) {
    const message = await client.next(expected);
    if (message === expected) return echoed.add(message);
    assert.ok(echoed.has(message) || message.startsWith('{"name":'), `${message} instead of ${expected}`);
  }
}

const backend = async (name, port) => keep(await BackendProcess.start({ name, port }));

test("a client outlives its backend, which is killed: it goes on with another", async () => {
  const both = [await backend("a"), await backend("b")];
  const { open } = await start(both, RESUME);
  const client = await open();
  const echoed = new Set();
  for (let round = 0; round < 5; round += 1) {
    const { name } = await client.info();
    const index = both.findIndex((one) => one.name === name);
    const { port } = both[index];
    await both[index].kill();
    client.send(`round ${round}`);
    await echoes(client, `round ${round}`, echoed);
    assert.notEqual((await client.info()).name, name);
    both[index] = await backend(name, port);
  }
  assert.equal((await client.close(1000)).code, 1000);
});

test("without resume the client of a killed backend is let go, and the next is served by another", async () => {
  const both = [await backend("a"), await backend("b")];
  const { open } = await start(both);
  const client = await open();
  const { name } = await client.info();
  await both.find((one) => one.name === name).kill();
  assert.equal((await client.end()).code, 1014);
  for (let count = 0; count < 4; count += 1) {
    const next = await open();
    assert.notEqual((await next.info()).name, name);
    await next.close(1000);
  }
});

test("behind a flapping backend everything that is sent arrives, in order", async () => {
  let flapping = await backend("flapping");
  const { open } = await start([flapping], RESUME);
  const client = await open();
  const echoed = new Set();
  let sent = 0;
  for (let round = 0; round < 10; round += 1) {
    const { port } = flapping;
    await flapping.kill();
    for (let count = 0; count < 20; count += 1) client.send(`message ${sent++}`);
    flapping = await backend("flapping", port);
    for (let at = sent - 20; at < sent; at += 1) await echoes(client, `message ${at}`, echoed);
  }
  assert.equal(await client.ask("last"), "last");
});

test("h4: a backend that hangs is found within two intervals; connections go elsewhere, and back later", async (t) => {
  const both = [await backend("a"), await backend("b")];
  const every = 2000;
  const health = `health = { interval = "${every}ms", timeout = "400ms" }\nejection = { enabled = false }\nopening = { timeout = "30s" }`;
  const { gateway, open } = await start(both, health);
  const namesOf = async (count) => {
    const names = [];
    for (let at = 0; at < count; at += 1) {
      const client = await open();
      names.push((await client.info()).name);
      await client.close(1000);
    }
    return names.sort();
  };
  assert.deepEqual(await namesOf(4), ["a", "a", "b", "b"]);
  both[0].signal("SIGSTOP");
  const stopped = Date.now();
  await until("the gateway to find it", () => / unhealthy /.test(gateway.program.errors));
  const found = Date.now() - stopped;
  t.diagnostic(`found after ${found} ms, checked every ${every} ms`);
  assert.ok(found < 2 * every, `${found} ms`);
  assert.deepEqual(await namesOf(6), Array(6).fill("b"));
  both[0].signal("SIGCONT");
  await until("its return", async () => (await namesOf(2)).includes("a"));
});

test("h4: a client of a backend that hangs goes on with another", async () => {
  const both = [await backend("a"), await backend("b")];
  const health = 'health = { interval = "500ms", timeout = "200ms" }';
  const { open } = await start(both, `${RESUME}\n${health}`, '[limits]\nping_interval = "1s"');
  const client = await open();
  const { name } = await client.info();
  const hanging = both.find((one) => one.name === name);
  hanging.signal("SIGSTOP");
  client.send("hello?");
  await echoes(client, "hello?", new Set());
  assert.notEqual((await client.info()).name, name);
  assert.equal((await client.close(1000)).code, 1000);
});

test("a half-open connection to the backend is noticed, and its client goes on", async () => {
  const plain = keep(await Backend.start({ name: "far" }));
  const other = keep(await Backend.start({ name: "near" }));
  const proxy = keep(await FaultProxy.start(plain.port));
  const health = 'health = { interval = "500ms", timeout = "200ms" }';
  const { open } = await start([proxy, other], `${RESUME}\n${health}`, '[limits]\nping_interval = "1s"');
  const both = [await open(), await open()];
  const names = [];
  for (const client of both) names.push((await client.info()).name);
  assert.deepEqual(names.sort(), ["far", "near"]);
  proxy.set({ blackhole: true });
  for (const client of both) {
    client.send("hello?");
  await echoes(client, "hello?", new Set());
    assert.equal((await client.info()).name, "near");
  }
});

test("a connection cut in the middle of a message: the client goes on, the message arrives once", async () => {
  const plain = keep(await Backend.start({ name: "one" }));
  const proxy = keep(await FaultProxy.start(plain.port));
  const { open } = await start([proxy], RESUME);
  const client = await open();
  const message = randomBytes(500_000);
  for (const cutAfter of [1000, 200_000, 400_000]) {
    const { cuts } = proxy;
    proxy.set({ cutAfter });
    client.send(message);
    await until("the cut", () => proxy.cuts > cuts);
    proxy.set({});
    assert.ok(message.equals(await client.next()));
    proxy.reset();
    assert.equal(await client.ask("then"), "then");
  }
});

for (const [what, rest] of [["bytes", ""], ["messages", RESUME]]) {
  test(`a network that cuts everything into pieces, slowly: relayed as ${what}`, async () => {
    const plain = keep(await Backend.start({ name: "one" }));
    const proxy = keep(await FaultProxy.start(plain.port));
    const { open } = await start([proxy], rest);
    proxy.set({ slice: 1 });
    const client = await open();
    for (const message of ["", "κόσμε", randomBytes(3000)]) assert.deepEqual(await client.ask(message), message);
    proxy.set({ slice: 7, latencyMs: 1 });
    const messages = Array.from({ length: 20 }, (_, at) => `${at} κόσμε`);
    for (const message of messages) client.send(message);
    for (const message of messages) assert.equal(await client.next(), message);
    client.send("close 4005 enough");
    assert.deepEqual(await client.end(), { code: 4005, reason: "enough" });
  });
}
