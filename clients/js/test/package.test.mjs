// The package as others import it: by its own name, through `exports`.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";

test("the entry points lead to the same classes", async () => {
  const all = await import("@tidewire/client");
  const gateway = await import("@tidewire/client/gateway");
  const messaging = await import("@tidewire/client/messaging");
  assert.deepEqual(Object.keys(gateway).sort(), ["DownEvent", "EndpointSocket", "FailureEvent", "Gateway"]);
  assert.equal(all.Gateway, gateway.Gateway);
  assert.deepEqual(Object.keys(messaging), []);
});

test("tools that know no `exports` find the same file by `main`", async () => {
  const url = new URL("../package.json", import.meta.url);
  const { main, exports } = JSON.parse(await readFile(url, "utf8"));
  assert.equal(main, exports["."].default);
  createRequire(url).resolve("@tidewire/client");
});
