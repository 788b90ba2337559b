// Plain clients through `tidewire gateway` to one endpoint each, with the npm package `ws` at both ends.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { Backend } from "./backend.mjs";
import { Client, Gateway } from "./gateway.mjs";
import { until } from "./server.mjs";

const MIB = 1 << 20;

/** Each endpoint is reached by one sort of condition. */
const ROUTES = `
[[routes]]
endpoint = "path"
path = "/path/*"
[[routes]]
endpoint = "header"
header = { X-Room = "re:[0-9]+" }
by_name = true
[[routes]]
endpoint = "query"
query = { room = "blue" }
by_name = true
[[routes]]
endpoint = "subprotocol"
subprotocol = "v2.*"
[[routes]]
endpoint = "host"
host = "*.example.org"
[[routes]]
endpoint = "cookie"
cookie = { beta = "1" }
`;
const NAMES = ["path", "header", "query", "subprotocol", "host", "cookie"];

describe("pinned", () => {
  const backends = new Map();
  let gateway;

  before(async () => {
    for (const name of NAMES) backends.set(name, await Backend.start({ name }));
    const deflate = { threshold: 0 };
    backends.set("deflate", await Backend.start({ name: "deflate", deflate, protocol: (offered) => [...offered].at(-1) }));
    const endpoints = [...backends].map(([name, { url }]) => `[endpoints.${name}]\nupstreams = ["${url}"]\n`);
    endpoints.push(`[endpoints.hop]\nupstreams = ["${backends.get("deflate").url}"]\nextensions = "per-hop"\n`);
    endpoints.push('[endpoints.dead]\nupstreams = ["ws://127.0.0.1:1/"]\n');
    gateway = await Gateway.start(endpoints.join("") + ROUTES);
  });

  after(async () => {
    await gateway?.remove();
    for (const backend of backends.values()) await backend.remove();
  });

  const by = (name) => `${gateway.url}?ROUTENAME=${name}`;

  test("m29: path, header, query, subprotocol, host and cookie lead to their endpoints", async () => {
    const { url } = gateway;
    const ways = [
      ["path", `${url}path/x`, {}],
      ["header", url, { headers: { "X-Room": "17" } }],
      ["query", `${url}?a=b&room=blue`, {}],
      ["subprotocol", url, { protocols: ["v1.chat", "v2.chat"] }],
      ["host", url, { headers: { Host: "a.example.org" } }],
      ["cookie", url, { headers: { Cookie: "a=b; beta=1" } }],
      ["header", url, { headers: { ROUTENAME: "Header" } }],
      ["query", `${url}?ROUTENAME=QUERY`, {}],
      // The first route that fits counts.
      ["path", `${url}path/x`, { headers: { "X-Room": "17", Cookie: "beta=1" } }],
    ];
    for (const [name, address, options] of ways) {
      const client = await Client.open(address, options);
      assert.equal((await client.info()).name, name, address);
      for (const message of ["κόσμε", "", Buffer.alloc(0), randomBytes(70_000)]) {
        assert.deepEqual(await client.ask(message), message);
      }
      assert.deepEqual(await client.close(1000), { code: 1000, reason: "" });
    }
  });

  test("who fits nowhere, or names nobody, is refused before the upgrade", async () => {
    await assert.rejects(Client.open(by("nobody")), { status: 404 });
    await assert.rejects(Client.open(by("dead")), { status: 502 });
    // A name is no way round the conditions of a route.
    await assert.rejects(Client.open(by("cookie")), { status: 403 });
  });

  test("the backend learns who asks, and not what was meant for the gateway", async () => {
    const client = await Client.open(`${gateway.url}path/x?a=b&ROUTENAME=path`, {
      localAddress: "127.0.0.2",
      headers: { "X-Forwarded-For": "6.6.6.6", "X-Real-IP": "6.6.6.6", "X-Mine": "yes", Host: "name.example" },
    });
    const { headers, url, remoteAddress } = await client.info();
    assert.equal(url, "/?a=b");
    assert.equal(remoteAddress, "127.0.0.1");
    assert.deepEqual(
      [headers["x-forwarded-for"], headers["x-real-ip"], headers["x-forwarded-host"], headers["x-forwarded-proto"]],
      ["127.0.0.2", undefined, "name.example", "http"],
    );
    assert.deepEqual([headers.host, headers["x-mine"], headers.routename], ["name.example", "yes", undefined]);
    await client.close(1000);
  });

  test("subprotocol and permessage-deflate are agreed on end to end", async () => {
    const { relayed } = await compressed("deflate");
    assert.ok(relayed < MIB / 3, `${relayed} bytes were relayed`);
  });

  test("per hop the gateway itself compresses, towards both", async () => {
    await compressed("hop");
  });

  /** 1 MiB there and back, compressed at both ends; not so well that it would be taken for a bomb. */
  async function compressed(name) {
    const options = { perMessageDeflate: { threshold: 0 }, protocols: ["one", "two"] };
    const client = await Client.open(by(name), options);
    assert.equal(client.ws.protocol, "two");
    assert.match(client.ws.extensions, /^permessage-deflate/);
    const { extensions, protocol } = await client.info();
    assert.match(extensions, /^permessage-deflate/);
    assert.equal(protocol, "two");
    let message = "";
    for (let count = 0; message.length < MIB; count += 1) message += `line ${count}: κόσμε\n`;
    const before = client.ws._socket.bytesWritten;
    assert.equal(await client.ask(message), message);
    const relayed = client.ws._socket.bytesWritten - before;
    await client.close(1000);
    return { relayed };
  }

  test("close codes and reasons pass both ways", async () => {
    const { closes } = backends.get("path");
    for (const [code, reason] of [[1000, ""], [1001, "away"], [1008, "no"], [1011, "ö".repeat(61)], [3000, "x"], [4999, "last"]]) {
      const told = await Client.open(by("path"));
      told.send(`close ${code} ${reason}`);
      assert.deepEqual(await told.end(), { code, reason });

      const telling = await Client.open(by("path"));
      const count = closes.length;
      assert.deepEqual(await telling.close(code, reason), { code, reason });
      await until("the close", () => closes.length > count);
      assert.deepEqual(closes.at(-1), { code, reason });
    }
    const silent = await Client.open(by("path"));
    const count = closes.length;
    assert.deepEqual(await silent.close(), { code: 1005, reason: "" });
    await until("the close", () => closes.length > count);
    assert.deepEqual(closes.at(-1), { code: 1005, reason: "" });
  });

  test("who vanishes has vanished for the other side, too", async () => {
    const left = await Client.open(by("path"));
    left.send("terminate");
    assert.deepEqual(await left.end(), { code: 1014, reason: "the backend is gone" });

    const { closes } = backends.get("path");
    const leaving = await Client.open(by("path"));
    await leaving.info();
    const count = closes.length;
    leaving.terminate();
    await until("the end at the backend", () => closes.length > count);
    assert.equal(closes.at(-1).code, 1006);
  });

  for (const name of ["path", "hop"]) {
    test(`a message of 64 MiB takes no memory of the gateway: ${name}`, async (t) => {
      const client = await Client.open(by(name));
      // Buffers of both directions, and what the allocator keeps per thread, are filled by some MiB already.
      for (let warm = 0; warm < 4; warm++) {
        const some = randomBytes(8 * MIB);
        assert.ok(some.equals(await client.ask(some)));
      }
      const before = await gateway.program.memory("VmHWM");
      const message = randomBytes(64 * MIB);
      assert.ok(message.equals(await client.ask(message)), "it came back as it was");
      const grown = (await gateway.program.memory("VmHWM")) - before;
      t.diagnostic(`the gateway grew by ${(grown / MIB).toFixed(1)} MiB to ${((before + grown) / MIB).toFixed(1)} MiB`);
      assert.ok(grown < 16 * MIB, `${grown} bytes`);
      await client.close(1000);
    });
  }
});
