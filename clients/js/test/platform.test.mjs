// Platforms that lack what browsers and Node have: React Native, embedded engines.
//
// Other inputs of this kind: each missing class alone and all together; a URL without setters; UTF-8 of every length, valid and
// not, against the platform's own.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { promisify } from "node:util";
import { basicDecode, basicEncode } from "../dist/gateway/platform.js";
import { FakeGateway } from "./fake-gateway.mjs";

test("a client needs nothing but the language, timers, URL and a WebSocket", async (t) => {
  const fake = await FakeGateway.start();
  t.after(() => fake.stop());
  fake.echo();
  const bare = fileURLToPath(new URL("bare.mjs", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [bare, fake.url]);
  assert.deepEqual(JSON.parse(stdout), [
    "true InvalidStateError",
    "true InvalidAccessError",
    "true SyntaxError",
    "true SyntaxError",
    "gateway up",
    "open true a 1",
    "room=%C3%B6+%26+%C3%BC&other=1+2",
    "grüße 👋",
    "message true",
    "binary 1,2,3",
    "binary 4",
    "close 3000  true",
    "error 404 rejected with 404: no such endpoint",
    "handled 4, once 1",
  ]);
});

test("UTF-8 of our own is that of the platform", () => {
  const texts = ["", "a", "é", "日本", "👋", "\ufeffa", "\0", "\ud800", "a\udc00b", "\u{10ffff}", "x".repeat(20_000)];
  for (const text of texts) {
    const expected = new TextEncoder().encode(text);
    assert.deepEqual(basicEncode(text), expected);
    assert.equal(basicDecode(expected), new TextDecoder("utf-8", { ignoreBOM: true }).decode(expected));
  }
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const platform = (bytes) => {
    try {
      return decoder.decode(bytes);
    } catch {
      return undefined;
    }
  };
  const parts = [0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff];
  const tails = [[], [0x80], [0xbf], [0x80, 0x80], [0x80, 0x80, 0x41]];
  for (const first of parts) {
    for (const second of parts) {
      for (const tail of tails) {
        const bytes = new Uint8Array([first, second, ...tail]);
        assert.equal(basicDecode(bytes), platform(bytes), String(bytes));
      }
    }
  }
});
