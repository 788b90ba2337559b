// nginx and HAProxy in front of the REST API: uploads that are refused, kept connections, health checks.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startHaproxyForHttp, startNginxForHttp } from "./proxies.mjs";
import { Server, until } from "./server.mjs";

const json = { "content-type": "application/json" };
const HEALTH = "option httpchk GET /health";
const things = [];
const keep = (thing) => {
  things.push(thing);
  return thing;
};

let server, web, rest;
before(async () => {
  server = keep(await Server.start());
  [rest, web] = [server.rest, server.web].map((url) => Number(new URL(url).port));
});
after(async () => {
  for (const thing of things.reverse()) await thing.remove();
});

const proxies = {
  nginx: () => startNginxForHttp(rest, "on"),
  "nginx that passes bodies on as they come": () => startNginxForHttp(rest, "off"),
  HAProxy: () => startHaproxyForHttp(rest, HEALTH),
};

for (const [name, start] of Object.entries(proxies)) {
  test(`an upload that is too large is answered with 413 behind ${name}, each time`, async () => {
    const proxy = keep(await start());
    const url = `http://127.0.0.1:${proxy.port}/send-message`;
    const body = new Uint8Array(30_000_000).fill(120);
    for (let attempt = 0; attempt < 6; attempt += 1) {
      const answer = await fetch(url, { method: "POST", headers: json, body });
      assert.equal(answer.status, 413, await answer.text());
    }
    // Whatever became of those connections, the next request is served.
    for (let user = 1; user <= 20; user += 1) {
      const message = JSON.stringify({ type: "text", sender: 0, recipients: [user], text: "hi" });
      const answer = await fetch(url, { method: "POST", headers: json, body: message });
      assert.equal(answer.status, 202, await answer.text());
    }
  });
}

// HAProxy's own default is OPTIONS of / in HTTP/1.0, without Host.
const checks = ["option httpchk", HEALTH, "option httpchk HEAD /health", "option httpchk GET /health HTTP/1.1\\r\\nHost:\\ localhost"];

for (const check of checks) {
  test(`HAProxy finds both listeners healthy by ${check}`, async () => {
    for (const port of [rest, web]) {
      const proxy = keep(await startHaproxyForHttp(port, check));
      const found = await until("a check", async () => {
        const table = await (await fetch(`http://127.0.0.1:${proxy.port}/haproxy;csv`)).text();
        const [names, ...rows] = table.trim().split("\n").map((line) => line.split(","));
        const row = rows.find((row) => row[1] === "one");
        const status = row[names.indexOf("check_status")];
        return status !== "" && !status.endsWith("INI") && status;
      });
      assert.match(found, /^\*? ?L7OK$/);
    }
  });
}
