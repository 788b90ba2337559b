// Many endpoints over one connection: our JavaScript client, and the library's example client, through `tidewire gateway` to
// backends of the npm package `ws`. GATEWAY_CLIENT names the binary of the example `gateway_client`.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Backend, BackendProcess } from "./backend.mjs";
import { Gateway } from "./gateway.mjs";
import { Program } from "./program.mjs";

const folder = fileURLToPath(new URL("../../../clients/js/", import.meta.url));
const notBuilt = !existsSync(join(folder, "dist/index.js")) && "clients/js is not built";
const example = process.env.GATEWAY_CLIENT;

describe("mux", () => {
  const things = [];
  const keep = (thing) => {
    things.push(thing);
    return thing;
  };
  let gateway;
  let second;

  before(async () => {
    const first = keep(await Backend.start({ name: "first" }));
    second = keep(await BackendProcess.start({ name: "second" }));
    gateway = keep(
      await Gateway.start(`
[endpoints.echo]
upstreams = ["${first.url}"]
[endpoints.endpoint1]
upstreams = ["${first.url}"]
[endpoints.endpoint2]
upstreams = ["${second.url}"]
ejection = { enabled = false }
resume = { backoff_max = "200ms" }
`),
    );
  });

  after(async () => {
    for (const thing of things.reverse()) await thing.remove();
  });

  test("the JavaScript client's own tests", { skip: notBuilt }, async () => {
    // Not a part of this run, but one of its own.
    const env = { GATEWAY_URL: gateway.url, GATEWAY_REQUIRED: "1", NODE_TEST_CONTEXT: undefined };
    const program = new Program(process.execPath, ["--test", join(folder, "test/live.test.mjs")], { env });
    const { code } = await program.exited;
    assert.equal(code, 0, program.lines.join("\n"));
  });

  test("m07: the example client opens what its file expects, and is told when a backend is down and up", { skip: !example && "GATEWAY_CLIENT is not set" }, async () => {
    const names = join(gateway.folder, "expected_configuration.txt");
    await writeFile(names, "Endpoint1\nEndpoint2\nEndpoint3\n");
    const program = keep(new Program(example, [names, gateway.url]));
    program.remove = () => program.end();
    const prints = (line) => program.line((text) => text === line, line);
    await prints("Endpoint1 is open");
    await prints("Endpoint2 is open");
    await prints("Endpoint3 is expected, but the gateway does not know it");
    program.type("endpoint1: hello");
    program.type("endpoint2: κόσμε");
    await prints("Endpoint1: hello");
    await prints("Endpoint2: κόσμε");

    const { port } = second;
    await second.kill();
    await program.line((text) => text.startsWith("Endpoint2 is down"), "the news");
    program.type("endpoint2: sent while down");
    program.type("endpoint1: not held up");
    await prints("Endpoint1: not held up");
    second = keep(await BackendProcess.start({ name: "second", port }));
    await prints("Endpoint2 is up again");
    await prints("Endpoint2: sent while down");
    program.closeInput();
    assert.deepEqual(await program.exited, { code: 0, signal: null });
  });
});
