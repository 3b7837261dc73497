#!/usr/bin/env node
/**
 * The `tallystick` command. Plain JavaScript, because it may be started by a Node that cannot run TypeScript: it hands
 * over to the Node 24 that the project's packages bring, or runs in place when this Node is recent enough.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { programPath } from "./programs.mjs";
import { RUNTIME_ENVIRONMENT, RUNTIME_FLAGS } from "./runtime.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..", "..");
const platform = process.platform === "win32" ? "win" : process.platform;
const packaged = join(
  root,
  "node_modules",
  `node-${platform}-${process.arch}`,
  "bin",
  platform === "win" ? "node.exe" : "node",
);
const runtime = existsSync(packaged) ? packaged : process.execPath;

if (!existsSync(join(root, "node_modules"))) {
  process.stderr.write(
    `tallystick: error: the packages are not installed\ntallystick: hint: run npm run setup in ${root}\n`,
  );
  process.exit(1);
}
if (runtime === process.execPath && Number(process.versions.node.split(".")[0]) < 24) {
  process.stderr.write(
    "tallystick: error: Node 24 or later is needed on this platform\ntallystick: hint: install it and try again\n",
  );
  process.exit(1);
}
const child = spawn(runtime, [...RUNTIME_FLAGS, programPath("tallystick"), ...process.argv.slice(2)], {
  stdio: "inherit",
  env: { ...RUNTIME_ENVIRONMENT, ...process.env },
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) => process.exit(signal ? 130 : (code ?? 1)));
