// WebSocket over HTTP/2 (RFC 8441) with Node's own `http2` client and frames made by hand.
//
// Needs the address of the example server, which is no part of the released binary:
//   cargo run -p tidewire --features http2 --example http2_echo -- 127.0.0.1:9001
//   TIDEWIRE_HTTP2=http://127.0.0.1:9001 node --test http2.test.mjs
import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import { test } from "node:test";

const address = process.env.TIDEWIRE_HTTP2;
const skip = address ? false : "TIDEWIRE_HTTP2 is not set";

async function connect() {
  const session = http2.connect(address, { rejectUnauthorized: false });
  const [settings] = await once(session, "remoteSettings");
  assert.equal(settings.enableConnectProtocol, true);
  return session;
}

async function open(session, path, headers = {}) {
  const stream = session.request(
    { ":method": "CONNECT", ":protocol": "websocket", ":path": path, "sec-websocket-version": "13", ...headers },
    { endStream: false },
  );
  const [answer] = await once(stream, "response");
  return { stream, status: answer[":status"] };
}

/** A masked frame, as clients send them; payloads up to 65535 bytes. */
function frame(opcode, payload, mask = Buffer.from([1, 2, 3, 4])) {
  const length =
    payload.length < 126
      ? Buffer.from([0x80 | payload.length])
      : Buffer.from([0x80 | 126, payload.length >> 8, payload.length & 255]);
  const masked = Buffer.from(payload.map((byte, at) => byte ^ mask[at % 4]));
  return Buffer.concat([Buffer.from([0x80 | opcode]), length, mask, masked]);
}

/** What a server sends for the same. */
function expected(opcode, payload) {
  const length =
    payload.length < 126
      ? Buffer.from([payload.length])
      : Buffer.from([126, payload.length >> 8, payload.length & 255]);
  return Buffer.concat([Buffer.from([0x80 | opcode]), length, payload]);
}

async function read(stream, bytes) {
  const chunks = [];
  let count = 0;
  while (count < bytes) {
    const chunk = stream.read();
    if (chunk === null) {
      await once(stream, "readable");
      continue;
    }
    chunks.push(chunk);
    count += chunk.length;
  }
  return Buffer.concat(chunks);
}

test("many sockets on one connection echo and close", { skip, timeout: 30_000 }, async () => {
  const session = await connect();
  const sockets = await Promise.all(Array.from({ length: 20 }, () => open(session, "/echo")));
  for (const [number, { stream, status }] of sockets.entries()) {
    assert.equal(status, 200);
    for (const payload of [Buffer.from(`hello ${number}`), Buffer.alloc(60_000, number)]) {
      const answer = expected(2, payload);
      stream.write(frame(2, payload));
      assert.deepEqual(await read(stream, answer.length), answer);
    }
    stream.write(frame(8, Buffer.from([3, 232])));
    assert.deepEqual(await read(stream, 4), expected(8, Buffer.from([3, 232])));
    stream.end();
    stream.resume();
    await once(stream, "close");
    assert.equal(stream.rstCode, http2.constants.NGHTTP2_NO_ERROR);
  }
  session.close();
});

test("refusals are HTTP statuses", { skip, timeout: 30_000 }, async () => {
  const session = await connect();
  for (const [path, headers, status] of [
    ["/other", {}, 404],
    ["/echo", { "sec-websocket-version": "8" }, 400],
  ]) {
    const answer = await open(session, path, headers);
    assert.equal(answer.status, status);
    answer.stream.close();
  }
  session.close();
});
