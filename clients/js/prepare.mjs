// Builds the package wherever npm links or packs it. `npm install <this folder>` from elsewhere links it without what
// the build needs, which is then installed first.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL(".", import.meta.url));

function npm(...args) {
  // One string for a shell, which Windows needs to find npm; nothing in it comes from outside.
  const { status } = spawnSync(`npm ${args.join(" ")}`, { cwd: folder, stdio: "inherit", shell: true });
  if (status !== 0) process.exit(status ?? 1);
}

if (!existsSync(new URL("node_modules/typescript", import.meta.url))) {
  npm("ci", "--include=dev", "--ignore-scripts", "--no-audit", "--no-fund");
}
npm("run", "build");
