// What is left of a gateway that was closed. In a file of its own, since timers of other tests would count too.

import assert from "node:assert/strict";
import { test } from "node:test";
import { opened, settle } from "./pretend.mjs";

test("a closed gateway leaves no timer behind that keeps the process alive", async () => {
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  const before = timers();
  const { gateway, connection } = await opened({ endpoint: { reopen: true }, gateway: { keepAlive: true } });
  const restarted = gateway.endpoint("restarted", { reopen: true });
  connection.frame("accept", 2);
  connection.frame("close", 2, { code: 1012 });
  assert.equal(restarted.readyState, 1);
  connection.drop();
  assert.ok(timers() > before);
  gateway.close();
  await settle();
  assert.equal(timers(), before);
});
