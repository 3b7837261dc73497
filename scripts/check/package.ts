/**
 * Holds the packed package to what its users see: entry points and types that resolve everywhere (publint,
 * are-the-types-wrong), and dependencies that are those its modules import.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { isBuiltin } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lockFolder } from "../../offchain/store/disk/folder-lock.ts";

/** How long another packing may take. */
const PACK_MILLISECONDS = 600_000;

/** Runs a command of the checkout. @returns what it printed when it failed, nothing otherwise */
function failure(root: string, program: string, ...args: string[]): string[] {
  const path = join(root, "node_modules", ".bin", program);
  const { error, status, stdout, stderr } = spawnSync(path, args, { cwd: root, encoding: "utf8" });
  if (error !== undefined) return [`${program}: ${error.message}`];
  return status === 0 ? [] : [`${program}: ${`${stdout}${stderr}`.trim() || `exit ${status}`}`];
}

/** Builds and packs the package into a folder. @returns the tarball @throws Error with npm's messages */
export function packPackage(root: string, folder: string): string {
  // Packing builds `dist` anew: a second run at the same time would remove what the first is about to pack.
  const lock = lockFolder(join(root, "node_modules", ".tallystick-pack"), PACK_MILLISECONDS);
  const { status, stdout, stderr } = spawnSync("npm", ["pack", "--json", "--pack-destination", folder], {
    cwd: root,
    encoding: "utf8",
    shell: process.platform === "win32",
  });
  lock.close();
  if (status !== 0) throw new Error(`npm pack failed: ${stdout}${stderr}`);
  const [name] = readdirSync(folder).filter((file) => file.endsWith(".tgz"));
  if (name === undefined) throw new Error(`npm pack left no tarball: ${stdout}${stderr}`);
  return join(folder, name);
}

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
}

/** The package of an import: `@scope/name/file` is in `@scope/name`. */
function packageOf(specifier: string): string {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

function importsOf(folder: string, ending: RegExp, pattern: RegExp): Set<string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(
    (entry) => entry.isFile() && ending.test(entry.name) && !entry.parentPath.endsWith(join("dist", "bin")),
  );
  const texts = files.map((entry) => readFileSync(join(entry.parentPath, entry.name), "utf8"));
  return new Set(texts.flatMap((text) => [...text.matchAll(pattern)].map(([, first, second = ""]) => first ?? second)));
}

/**
 * The library imports its dependencies, the programs contain theirs: what only programs use is a devDependency, so that
 * whoever installs the SDK does not download it.
 *
 * @param root folder of a built checkout
 */
export function dependencyProblems(root: string): string[] {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Manifest;
  const declared = [...Object.keys(manifest.dependencies), ...Object.keys(manifest.peerDependencies)];
  const scripts = importsOf(
    join(root, "dist"),
    /\.js$/,
    /^(?:import|export) [^;]*?from "([^".#][^"]*)"|import\("([^".#][^"]*)"\)/gm,
  );
  const solidity = importsOf(join(root, "contracts"), /\.sol$/, /from "([^".][^"]*)"/g);
  const used = new Set([...scripts, ...solidity].filter((name) => name !== "" && !isBuiltin(name)).map(packageOf));
  return [
    ...[...used]
      .filter((name) => !declared.includes(name))
      .map((name) => `dist imports ${name}: add it to dependencies`),
    ...declared
      .filter((name) => !used.has(name))
      .map((name) => `nothing in dist imports ${name}: remove it, or move it to devDependencies`),
  ];
}

/** @returns one line for each problem of the package, none when there is none */
export function packageProblems(root: string): string[] {
  const folder = mkdtempSync(join(tmpdir(), "tallystick-pack-"));
  try {
    const tarball = packPackage(root, folder);
    return [
      ...failure(root, "publint", "run", tarball, "--strict"),
      ...failure(root, "attw", tarball, "--profile", "esm-only"),
      ...dependencyProblems(root),
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
