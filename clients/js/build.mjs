// dist: modules and types as tsc writes them; in dist/cjs the same for `require` and for bundlers that know neither
// `exports` nor private fields; two files for pages. The folders `gateway` and `messaging` lead such bundlers to the parts.

import { spawnSync } from "node:child_process";
import { readdir, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL(".", import.meta.url));

function tsc(...args) {
  const { status } = spawnSync(process.execPath, ["node_modules/typescript/bin/tsc", ...args], { cwd: root, stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}

await rm(new URL("dist", import.meta.url), { recursive: true, force: true });
tsc();
tsc("--emitDeclarationOnly", "--outDir", "dist/cjs");

const sources = await readdir(new URL("src", import.meta.url), { recursive: true });
const entryPoints = sources.filter((name) => name.endsWith(".ts")).map((name) => `src/${name}`);
const common = { absWorkingDir: root, logLevel: "warning" };
// File by file, so that a class is the same by whichever entry point it is reached.
await build({ ...common, entryPoints, outdir: "dist/cjs", format: "cjs", target: "es2018" });
await writeFile(new URL("dist/cjs/package.json", import.meta.url), '{ "type": "commonjs" }\n');

const page = { ...common, entryPoints: ["src/index.ts"], bundle: true, minify: true, target: "es2022" };
await build({ ...page, format: "esm", outfile: "dist/tidewire.min.mjs" });
await build({ ...page, format: "iife", globalName: "Tidewire", outfile: "dist/tidewire.min.js" });
