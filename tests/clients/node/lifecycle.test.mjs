// Stops, kills and starts: what was accepted is there again.

import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { afterEach, test } from "node:test";
import { Peer } from "./peer.mjs";
import { newDataDir, Server } from "./server.mjs";

afterEach(() => Peer.endAll());

const config = "[chat]\nsend_back = true\n";
const COUNT = 200;
const texts = Array.from({ length: COUNT }, (_, i) => `message ${i}`);

/** Sends to a user who is away, ends the server by `signal` once all is accepted, and reads after the next start. */
async function checkSurvival(t, signal, checkEnd) {
  const dataDir = await newDataDir();
  const first = await Server.start({ config, dataDir });
  t.after(async () => {
    await first.remove();
    await rm(dataDir, { recursive: true, force: true });
  });
  const sender = await Peer.connect(first, 1);
  const bystander = await Peer.connect(first, 2);
  for (const text of texts) sender.say(text, 3);
  // The copy comes back once the message is accepted.
  assert.deepEqual(await sender.texts(COUNT), texts);
  const exit = await first.end(signal);
  await checkEnd({ exit, closes: [await sender.end(), await bystander.end()] });

  const second = await Server.start({ config, dataDir });
  t.after(() => second.remove());
  const reader = await Peer.connect(second, 3);
  assert.deepEqual(await reader.texts(COUNT), texts);
}

test("SIGTERM tells everybody 1001, exits 0 and loses nothing", (t) =>
  checkSurvival(t, "SIGTERM", ({ exit, closes }) => {
    assert.deepEqual(closes.map(({ code }) => code), [1001, 1001]);
    assert.deepEqual(exit, { code: 0, signal: null });
  }));

test("SIGKILL loses nothing that was accepted", (t) =>
  checkSurvival(t, "SIGKILL", ({ exit }) => assert.equal(exit.signal, "SIGKILL")));

test("a message delivered before the stop is not delivered again", async (t) => {
  const dataDir = await newDataDir();
  const first = await Server.start({ config, dataDir });
  t.after(async () => {
    await first.remove();
    await rm(dataDir, { recursive: true, force: true });
  });
  const sender = await Peer.connect(first, 1);
  const reader = await Peer.connect(first, 2);
  sender.say("once", 2);
  assert.equal((await reader.text()).text, "once");
  await reader.close();
  await first.end("SIGTERM");
  const second = await Server.start({ config, dataDir });
  t.after(() => second.remove());
  const again = await Peer.connect(second, 2);
  again.say("marker", 2);
  assert.equal((await again.text()).text, "marker");
});
