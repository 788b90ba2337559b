// The pages of the library's programs in headless Chromium: the chat, and the description of the cache's API.
//
// HTTP_EXAMPLES names the folder of the examples `http_server` and `ws_chat_server`.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { Chromium, shoot } from "./chromium.mjs";

const folder = process.env.HTTP_EXAMPLES;
const skip = folder === undefined && "HTTP_EXAMPLES is not set";

let browser;

before(async () => {
  if (!skip) browser = await Chromium.start();
});
afterEach(async () => browser?.closeAll());
after(async () => browser?.remove());

/** Starts a program on a free port; gives its process and the address of its page. */
async function start(t, name) {
  const program = spawn(join(folder, name), ["0"], { stdio: ["pipe", "pipe", "inherit"] });
  t.after(async () => {
    program.kill();
    if (program.exitCode === null && program.signalCode === null) await once(program, "exit");
  });
  let output = "";
  // It goes on printing, and somebody has to take it.
  await new Promise((resolve, reject) => {
    program.once("exit", () => reject(new Error(`${name} has ended: ${output}`)));
    program.stdout.on("data", (chunk) => {
      output += chunk;
      if (output.includes("Press Enter")) resolve();
    });
  });
  return { program, url: /website: (\S+)/.exec(output)[1].replace("localhost", "127.0.0.1") };
}

test("people chat on the page, clear it, leave and come back", { skip }, async (t) => {
  const { program, url } = await start(t, "ws_chat_server");
  const context = await browser.person(t, { viewport: { width: 800, height: 600 } });
  const pages = [await context.newPage(), await context.newPage()];
  const line = (page, text) => page.locator("#log li", { hasText: text }).first();
  for (const page of pages) {
    await page.goto(url);
    assert.equal(await page.locator("#send").isDisabled(), true);
    await page.click("#connect");
    await line(page, "Hello from WebSocket chat!").waitFor();
  }
  const [alice, bob] = pages;
  await bob.fill("#text", "<b>hello</b> from Bob");
  await bob.press("#text", "Enter");
  for (const page of pages) await line(page, "<b>hello</b> from Bob").waitFor();
  program.stdin.write("from the console\n");
  await line(alice, "(admin) from the console").waitFor();
  await shoot(alice, "chat-page");
  await alice.click("#clear");
  assert.equal(await alice.locator("#log li").count(), 0);
  await alice.click("#disconnect");
  await line(alice, "disconnected (1000)").waitFor();
  await alice.click("#connect");
  await line(alice, "Hello from WebSocket chat!").waitFor();
  await bob.fill("#text", "!");
  await bob.click("#send");
  await line(bob, "disconnected (1000)").waitFor();
  assert.equal(await bob.locator("#connect").isEnabled(), true);
});

test("the description of the API can be tried out", { skip }, async (t) => {
  const { url } = await start(t, "http_server");
  const context = await browser.person(t, { viewport: { width: 1000, height: 900 } });
  const page = await context.newPage();
  const elsewhere = [];
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin && !request.url().startsWith("data:")) {
      elsewhere.push(request.url());
    }
  });
  await page.goto(url);
  await page.locator(".opblock-get").first().click();
  await page.getByRole("button", { name: "Try it out" }).click();
  await page.getByRole("button", { name: "Execute" }).click();
  await page.locator(".live-responses-table .response-col_status", { hasText: "200" }).waitFor();
  await shoot(page, "api-page");
  assert.deepEqual(elsewhere, []);
});
