// The examples, as a user runs them: in the versions of Node that test/versions holds (`npm ci` there; without it only in
// this one), and in Chromium, which browser.test.mjs starts. NODE_VERSIONS_REQUIRED=1 fails without them.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { promisify } from "node:util";
import { FakeGateway } from "./fake-gateway.mjs";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const run = promisify(execFile);
const OWN_WEBSOCKET_SINCE = 22;

const versions = [{ name: "this Node", program: process.execPath, major: Number(process.versions.node.split(".")[0]) }];
for (const major of [18, 20, 22]) {
  versions.push({ name: `Node ${major}`, program: path(`versions/node_modules/node-${major}-${process.arch}/bin/node`), major });
}

for (const { name, program, major } of versions) {
  const isThere = existsSync(program);
  const skip = isThere || process.env.NODE_VERSIONS_REQUIRED === "1" ? false : "not installed in test/versions";
  test(`the examples run in ${name}`, { skip }, async (t) => {
    const { stdout: version } = await run(program, ["--version"]);
    assert.ok(version.startsWith(`v${major}.`), version);
    const fake = await FakeGateway.start();
    t.after(() => fake.stop());
    fake.echo();
    const examples = [["echo.mjs", "hello from a module\n"], ["echo.cjs", "hello from CommonJS\n"]];
    if (major >= OWN_WEBSOCKET_SINCE) examples.push(["builtin.mjs", "hello from Node itself\n"]);
    for (const [example, printed] of examples) {
      const { stdout, stderr } = await run(program, [path(`../examples/${example}`), fake.url]);
      assert.deepEqual([stdout, stderr], [printed, ""], example);
      const refused = run(program, [path(`../examples/${example}`), fake.url, "nothing"]);
      await assert.rejects(refused, (error) => error.code === 1 && /404: no such endpoint/.test(error.stderr));
    }
  });
}

test("the README shows the examples as they are", async () => {
  const readme = await readFile(path("../README.md"), "utf8");
  for (const example of ["echo.mjs", "echo.cjs", "page.html"]) {
    const text = await readFile(path(`../examples/${example}`), "utf8");
    assert.ok(readme.includes(`\n${text}\`\`\`\n`), example);
  }
});
