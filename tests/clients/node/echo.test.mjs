// The echo endpoint returns what it gets, kind and bytes.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import WebSocket from "ws";
import { guard, Server } from "./server.mjs";

let server;
before(async () => (server = await Server.start({ echo: true })));
after(() => server?.remove());

async function check(data, binary, fragments = 1) {
  const ws = new WebSocket(server.echo, { perMessageDeflate: false });
  const echoed = new Promise((resolve, reject) => {
    ws.once("message", (bytes, isBinary) => resolve({ bytes, isBinary }));
    ws.once("close", (code, reason) => reject(new Error(`closed ${code} ${reason}`)));
    ws.once("error", reject);
  });
  ws.once("open", () => {
    const size = Math.ceil(data.length / fragments) || 1;
    for (let i = 0; i < fragments; i += 1) {
      ws.send(data.subarray(i * size, (i + 1) * size), { binary, fin: i === fragments - 1 });
    }
  });
  const { bytes, isBinary } = await guard(echoed, "the echo");
  ws.terminate();
  assert.equal(isBinary, binary);
  assert.ok(data.equals(bytes), `${bytes.length} bytes came back for ${data.length}`);
}

const MIB = 1 << 20;
const text = Buffer.from("tide ~ 潮 ~ ".repeat(MIB)).subarray(0, 16 * 65536 - 2).toString().replaceAll("\ufffd", "");

test("1 MiB of binary", () => check(randomBytes(MIB), true));
test("1 MiB of text", () => check(Buffer.from(text.padEnd(MIB - Buffer.byteLength(text) + text.length, ".")), false));
test("1 MiB in 64 fragments", () => check(randomBytes(MIB), true, 64));
test("nothing at all", () => check(Buffer.alloc(0), false));
