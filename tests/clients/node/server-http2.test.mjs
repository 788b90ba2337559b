// What `server.http2` and `rest.http2` promise, with Node's own `http2` and curl.
//
//   SERVER_BIN=../../../target/debug/tidewire node --test server-http2.test.mjs
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import http2 from "node:http2";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import { GUARD_MS, Server, guard } from "./server.mjs";

const config = `
[server]
http2 = true
[rest]
http2 = true
[chat]
send_back = true
`;

let server;
before(async () => {
  server = await Server.start({ config });
});
after(() => server.remove());

const message = (user, text) => JSON.stringify({ type: "text", sender: user, recipients: [user], text });

test("a WebSocket over HTTP/2 without TLS is a session like others", async () => {
  const session = http2.connect(server.messaging.replace("ws://", "http://"));
  const [settings] = await guard(once(session, "remoteSettings"), "the settings");
  assert.equal(settings.enableConnectProtocol, true);
  const stream = session.request(
    { ":method": "CONNECT", ":protocol": "websocket", ":path": "/chat?id=8", "sec-websocket-version": "13" },
    { endStream: false },
  );
  const [answer] = await guard(once(stream, "response"), "the answer");
  assert.equal(answer[":status"], 200);
  const payload = Buffer.from(message(8, "over HTTP/2"));
  assert.ok(payload.length < 126);
  stream.write(Buffer.concat([Buffer.from([0x81, 0x80 | payload.length, 0, 0, 0, 0]), payload]));
  let received = "";
  stream.on("data", (chunk) => (received += chunk.toString("latin1")));
  while (!received.includes("over HTTP/2")) await guard(once(stream, "data"), "the copy");
  stream.destroy();
  session.close();
});

test("curl speaks HTTP/2 with the REST API, and HTTP/1.1 as before", async () => {
  for (const [option, version] of [
    ["--http2-prior-knowledge", "2"],
    ["--http1.1", "1.1"],
  ]) {
    const args = ["-sS", option, "-o", "/dev/null", "-w", "%{http_version} %{http_code}", new URL("/health", server.rest).href];
    const { stdout } = await promisify(execFile)("curl", args, { timeout: GUARD_MS });
    assert.equal(stdout, `${version} 200`);
  }
});

test("curl gets a page from the messaging port, which is HTTP/1.1's", async () => {
  const url = server.messaging.replace("ws://", "http://").replace("/chat", "/");
  const args = ["-sS", "--http1.1", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", url];
  const { stdout } = await promisify(execFile)("curl", args, { timeout: GUARD_MS });
  assert.equal(stdout, "1.1 200");
});
