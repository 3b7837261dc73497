#!/usr/bin/env node
/**
 * Set-up, and runs a TypeScript entry point of this repository on a machine that has only Node 20 or later, npm and
 * git:
 *
 *   node scripts/run.mjs <entry.ts> [arguments…]
 *
 * Installs or builds what is missing or outdated first, and says so: the exact packages of the lock file, the Node 24
 * runtime that is one of them (it runs TypeScript sources as they are and has node:sqlite), the compiled contracts, and
 * the programs of `dist/bin`. This file is plain JavaScript because it runs before any of that exists.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { buildPrograms, PROGRAMS, packageSources } from "./build-programs.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const modules = join(root, "node_modules");
const RUNTIME_MAJOR = 24;
const SIGN_OF_LIFE_SECONDS = 15;
/** node:sqlite and type stripping are in use but print a warning at every start. */
const NODE_FLAGS = ["--disable-warning=ExperimentalWarning", "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON"];

const runtimePackage = `node-${process.platform === "win32" ? "win" : process.platform}-${process.arch}`;

function say(line) {
  process.stderr.write(`tallystick: ${line}\n`);
}

function fail(line, hint) {
  process.stderr.write(`tallystick: error: ${line}\n${hint ? `tallystick: hint: ${hint}\n` : ""}`);
  process.exit(1);
}

function major(version) {
  return Number(version.replace(/^v/, "").split(".")[0]);
}

/** The Node 24 binary among the packages, or that of this process if it is recent enough. */
function runtimePath() {
  const packaged = join(modules, runtimePackage, "bin", process.platform === "win32" ? "node.exe" : "node");
  if (existsSync(packaged)) return packaged;
  return major(process.version) >= RUNTIME_MAJOR ? process.execPath : undefined;
}

function npmCommand() {
  return process.platform === "win32" ? "npm.cmd" : "npm";
}

/**
 * Runs a program until it ends. Installing and compiling print nothing for minutes on a slow machine, so this says
 * every 15 seconds that they go on.
 *
 * @returns whether it succeeded
 */
async function succeeds(doing, command, args, options) {
  const begin = Date.now();
  const timer = setInterval(
    () => say(`… still ${doing}, ${Math.round((Date.now() - begin) / 1000)} s`),
    SIGN_OF_LIFE_SECONDS * 1000,
  );
  try {
    return await new Promise((done) => {
      const child = spawn(command, args, options);
      child.once("error", (error) => {
        say(error.message);
        done(false);
      });
      child.once("close", (code) => done(code === 0));
    });
  } finally {
    clearInterval(timer);
  }
}

/**
 * Packages exactly as locked, installed by an npm that runs on the new runtime: an older one silently skips platform
 * packages that ask for it.
 */
async function installPackages() {
  const lock = readFileSync(join(root, "package-lock.json"));
  const wanted = createHash("sha256").update(lock).digest("hex");
  const stamp = join(modules, ".tallystick-lock");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  say("installing the packages of the lock file (once; it takes some minutes on a slow machine)…");
  const npmCi = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  const version = JSON.parse(readFileSync(join(root, "scripts", "toolchain", "package.json"), "utf8"))
    .optionalDependencies[runtimePackage];
  const options = { cwd: root, stdio: ["ignore", 2, 2], shell: process.platform === "win32" };
  let done;
  if (major(process.version) >= RUNTIME_MAJOR) {
    done = await succeeds("installing", npmCommand(), npmCi, options);
  } else if (version) {
    const npx = npmCommand().replace("npm", "npx");
    done = await succeeds(
      "installing",
      npx,
      ["--loglevel=error", "-y", "-p", `${runtimePackage}@${version}`, "--", "npm", ...npmCi],
      options,
    );
  } else {
    fail(
      `no packaged Node ${RUNTIME_MAJOR} for ${process.platform}-${process.arch}`,
      `install Node ${RUNTIME_MAJOR} and run this again`,
    );
  }
  if (!done)
    fail("npm could not install the packages", "look at its messages above; the npm registry must be reachable");
  writeFileSync(stamp, wanted);
}

/**
 * Makes `npx tallystick` work inside the checkout, as it does where the package is installed: a script that starts the
 * program of `dist/bin` with the runtime that was found here, because the Node that runs npx may be too old for it.
 */
function writeCommands() {
  const windows = process.platform === "win32";
  const folder = join(modules, ".bin");
  mkdirSync(folder, { recursive: true });
  for (const name of PROGRAMS) {
    const program = join(root, "dist", "bin", `${name}.js`);
    const script = windows
      ? `@"${runtimePath()}" "${program}" %*\r\n`
      : `#!/bin/sh\nexec ${quoted(runtimePath())} ${quoted(program)} "$@"\n`;
    const file = join(folder, windows ? `${name}.cmd` : name);
    if (existsSync(file) && readFileSync(file, "utf8") === script) continue;
    // npm links a package's commands: what a link points to must not be written over.
    rmSync(file, { force: true });
    writeFileSync(file, script, { mode: 0o755 });
  }
}

/** One word of a shell command. */
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function contractSources(directory) {
  return readdirSync(directory, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(directory, entry.name);
      return entry.isDirectory() ? contractSources(path) : [path];
    });
}

/** One digest of the paths and contents of files. */
function digestOf(paths) {
  const hash = createHash("sha256");
  for (const path of paths) hash.update(path.slice(root.length)).update("\0").update(readFileSync(path)).update("\0");
  return hash.digest("hex");
}

/** Compiles the contracts when a source, the configuration or a package has changed since the last time. */
async function compileContracts() {
  const wanted = digestOf([
    ...contractSources(join(root, "contracts")),
    join(root, "hardhat.config.ts"),
    join(root, "scripts", "solidity.ts"),
    join(root, "scripts", "product-types.ts"),
    join(root, "package-lock.json"),
  ]);
  const stamp = join(root, "artifacts", ".tallystick-sources");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  say("compiling the contracts (once; it takes some minutes on a slow machine)…");
  const hardhat = join(
    dirname(createRequire(join(root, "package.json")).resolve("hardhat/package.json")),
    "dist",
    "src",
    "cli.js",
  );
  const done = await succeeds("compiling", runtimePath(), [...NODE_FLAGS, hardhat, "build", "--quiet", "--no-tests"], {
    cwd: root,
    stdio: ["ignore", "ignore", "inherit"],
    env: environment(),
  });
  if (!done) fail("the contracts did not compile", "run `npx hardhat build` to see why");
  writeFileSync(stamp, wanted);
}

/** Builds the programs when a source or a package has changed since the last time. */
async function updatePrograms() {
  const wanted = digestOf([
    ...packageSources(),
    join(root, "scripts", "build-programs.mjs"),
    join(root, "package.json"),
    join(root, "package-lock.json"),
  ]);
  const stamp = join(modules, ".tallystick-programs");
  const built = PROGRAMS.every((name) => existsSync(join(root, "dist", "bin", `${name}.js`)));
  if (built && existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  await buildPrograms();
  writeFileSync(stamp, wanted);
}

/**
 * Child processes find the packaged runtime first, keep compiled modules, and start the programs that were just built
 * (`scripts/programs.ts`); Hardhat does not ask about telemetry.
 */
function environment() {
  const path = `${dirname(runtimePath())}${process.platform === "win32" ? ";" : ":"}${join(modules, ".bin")}`;
  return {
    ...process.env,
    PATH: `${path}${process.platform === "win32" ? ";" : ":"}${process.env.PATH ?? ""}`,
    NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(modules, ".cache", "compiled"),
    TALLYSTICK_PROGRAMS: join(root, "dist", "bin"),
    HARDHAT_DISABLE_TELEMETRY: "true",
  };
}

async function prepare() {
  await installPackages();
  if (!runtimePath()) fail("the packaged Node runtime is missing", "delete node_modules and run this again");
  await compileContracts();
  await updatePrograms();
  writeCommands();
}

const [entry, ...rest] = process.argv.slice(2);
await prepare();
if (entry) {
  const child = spawn(runtimePath(), [...NODE_FLAGS, entry, ...rest], {
    cwd: root,
    stdio: "inherit",
    env: environment(),
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("exit", (code, signal) => process.exit(signal ? 128 + 15 : (code ?? 1)));
}
