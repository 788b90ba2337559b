// The package as others import it: by its own name, through `exports`.

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";
import { transform } from "esbuild";

test("the entry points lead to the same classes", async () => {
  const all = await import("@tidewire/client");
  const gateway = await import("@tidewire/client/gateway");
  const messaging = await import("@tidewire/client/messaging");
  assert.deepEqual(Object.keys(gateway).sort(), ["DownEvent", "EndpointSocket", "FailureEvent", "Gateway"]);
  assert.equal(all.Gateway, gateway.Gateway);
  assert.deepEqual(Object.keys(messaging), []);
});

test("tools that know no `exports` find the same file as `require` by `main`, also of the parts", async () => {
  const url = new URL("../package.json", import.meta.url);
  const { main, exports, types } = JSON.parse(await readFile(url, "utf8"));
  assert.equal(main, exports["."].require.default);
  assert.equal(types, exports["."].require.types);
  createRequire(url).resolve("@tidewire/client");
  for (const part of ["gateway", "messaging"]) {
    // Where such a tool looks for `@tidewire/client/gateway`: a folder of this name.
    const folder = new URL(`../${part}/package.json`, import.meta.url);
    const found = JSON.parse(await readFile(folder, "utf8"));
    const named = exports[`./${part}`].require;
    assert.equal(new URL(found.main, folder).href, new URL(named.default, url).href);
    assert.equal(new URL(found.types, folder).href, new URL(named.types, url).href);
  }
});

test("`require` gives the same names as `import`, and one class by all entry points", async () => {
  const require = createRequire(import.meta.url);
  const [all, gateway] = [require("@tidewire/client"), require("@tidewire/client/gateway")];
  assert.deepEqual(Object.keys(all).sort(), Object.keys(await import("@tidewire/client")).sort());
  assert.equal(all.Gateway, gateway.Gateway);
  assert.deepEqual(Object.keys(require("@tidewire/client/messaging")), []);
});

test("every file that `exports`, `main` and `types` name is there and in the package", async () => {
  const url = new URL("../package.json", import.meta.url);
  const { main, exports, types, files } = JSON.parse(await readFile(url, "utf8"));
  const named = [main, types];
  const collect = (entry) => (typeof entry === "string" ? named.push(entry) : Object.values(entry).forEach(collect));
  collect(exports);
  for (const name of named.filter((name) => name !== "./package.json")) {
    await readFile(new URL(name, url));
    assert.ok(files.some((folder) => name.startsWith(`./${folder}/`)), name);
  }
});

test("the files for older bundlers have no syntax newer than 2018", async () => {
  const folder = new URL("../dist/cjs/", import.meta.url);
  for (const name of await readdir(folder, { recursive: true })) {
    if (!name.endsWith(".js")) continue;
    const { warnings } = await transform(await readFile(new URL(name, folder), "utf8"), { target: "es2018", minifySyntax: false });
    assert.deepEqual(warnings, []);
    const text = await readFile(new URL(name, folder), "utf8");
    assert.ok(!/\?\?=|[^.\d]\?\.[A-Za-z#[(]|this\.#|static \{/.test(text), name);
  }
});
