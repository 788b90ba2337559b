// Headless Chromium for a test file: one browser with a profile of its own, a context per person.
//
// CHROMIUM names another browser binary; SHOTS_DIR names a directory that gets screenshots.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { GUARD_MS } from "./server.mjs";

const shots = process.env.SHOTS_DIR ?? "";

/** Whether pictures are wanted. */
export const wantsShots = shots !== "";

export class Chromium {
  #browser;
  #profile;
  #contexts = [];

  static async start() {
    const started = new Chromium();
    if (wantsShots) await mkdir(shots, { recursive: true });
    started.#profile = await mkdtemp(join(tmpdir(), "tidewire-browser-"));
    // Nothing the browser does for itself may reach for a network.
    const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"];
    try {
      started.#browser = await chromium.launch({
        executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
        env: { ...process.env, HOME: started.#profile },
        args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", ...quiet],
      });
    } catch (error) {
      await started.remove();
      throw error;
    }
    return started;
  }

  /** One person's browser; its pages share what is stored. Page errors and broken rules of the CSP fail the test. */
  async person(t, options) {
    const context = await this.#browser.newContext(options);
    this.#contexts.push(context);
    context.setDefaultTimeout(GUARD_MS);
    const problems = [];
    t.after(() => assert.deepEqual(problems, []));
    context.on("weberror", (error) => problems.push(error.error().stack));
    context.on("console", (message) => {
      if (/Content Security Policy/i.test(message.text())) problems.push(message.text());
    });
    return context;
  }

  /** For `afterEach`: everybody leaves. */
  async closeAll() {
    await Promise.all(this.#contexts.splice(0).map((context) => context.close()));
  }

  async remove() {
    await this.#browser?.close();
    await rm(this.#profile, { recursive: true, force: true });
  }
}

/** A picture of the page, where they are wanted. */
export async function shoot(page, name, options = {}) {
  if (wantsShots) await page.screenshot({ path: join(shots, `${name}.png`), ...options });
}
