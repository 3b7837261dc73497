/**
 * Finds the deployment file: which contracts, committee and provider the agent uses. A file that the user did not name
 * decides where data and money go, so it must belong to the user, and it must describe a development chain on this
 * machine.
 */

import { existsSync, lstatSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { type Deployment, NoDeploymentError, parseDeployment } from "../../chain/deployment.ts";
import { systemErrorCode, systemReason } from "../../store/disk/disk-errors.ts";
import { DEVELOPMENT_CHAIN_ID, isLoopback } from "../network-facts.ts";
import { requirePinnedNetwork } from "./network-pin.ts";

/** Written by `npm run devnet`, found from any folder below. */
const DEVNET_FILE = join(".tallystick", "devnet.json");
const HOME_FILE = "deployment.json";
const GROUP_OR_WORLD_WRITABLE = 0o022;

export interface FoundDeployment {
  readonly file: string;
  readonly deployment: Deployment;
  /** Files that were found on the way and not used, each with the reason. */
  readonly ignored: readonly string[];
}

export interface DeploymentPlaces {
  /** Named by the user; nothing else is looked at then. */
  readonly named?: string | undefined;
  readonly homeDir: string;
  /** Default: the process's working directory. */
  readonly workingDirectory?: string;
}

/**
 * Looks for the deployment and takes the first that exists: the named file, TALLYSTICK_DEPLOYMENT, `deployment.json` in
 * the home folder, `.tallystick/devnet.json` in the working directory or above. The last counts only when the file and
 * its folder belong to the user alone and it describes a development chain on this machine.
 *
 * @throws NoDeploymentError when there is none, or it cannot be read or is malformed; UnknownVersionError
 * @throws TallystickError WRONG_NETWORK when the home folder was first used with another network
 */
export function findDeployment(places: DeploymentPlaces): FoundDeployment {
  const fromEnvironment = process.env.TALLYSTICK_DEPLOYMENT;
  const named = places.named ?? (fromEnvironment === "" ? undefined : fromEnvironment);
  const homeFile = join(places.homeDir, HOME_FILE);
  const file = [named === undefined ? homeFile : resolve(named)].find(isThere);
  const found =
    file !== undefined
      ? { file, deployment: parseDeployment(readJson(file)), ignored: [] }
      : named === undefined
        ? findDevnet(places.workingDirectory ?? process.cwd(), homeFile)
        : undefined;
  if (found === undefined) throw noDeployment(resolve(named ?? homeFile), []);
  requirePinnedNetwork(places.homeDir, found.deployment);
  return found;
}

/** @throws NoDeploymentError when the system does not let this user see whether there is one */
function isThere(file: string): boolean {
  try {
    statSync(file);
    return true;
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(systemErrorCode(error) ?? "")) return false;
    throw unreadable(file, error);
  }
}

function findDevnet(workingDirectory: string, homeFile: string): FoundDeployment {
  const ignored: string[] = [];
  for (const file of devnetFiles(workingDirectory)) {
    if (!existsSync(file)) continue;
    const refusal = writableByOthers(dirname(file)) ?? writableByOthers(file);
    if (refusal !== undefined) {
      ignored.push(`${file}: ${refusal}`);
      continue;
    }
    const deployment = parseDeployment(readJson(file));
    if (isDevelopmentNetwork(deployment)) return { file, deployment, ignored };
    ignored.push(`${file}: it does not describe a development chain on this machine`);
  }
  throw noDeployment(`${DEVNET_FILE} here or above, or ${homeFile}`, ignored);
}

/** @returns why others could have written a file or folder; undefined when only this user could */
function writableByOthers(path: string): string | undefined {
  // Systems without user ids have no owner to compare.
  const user = process.getuid?.();
  if (user === undefined) return undefined;
  // Not followed: whoever made a link chose its target.
  const { uid, mode } = lstatSync(path);
  if (uid !== user) return `${path} belongs to another user`;
  if ((mode & 0o170000) === 0o120000) return `${path} is a symbolic link`;
  if ((mode & GROUP_OR_WORLD_WRITABLE) !== 0) return `other users may write to ${path}`;
  return undefined;
}

function isDevelopmentNetwork({ chainId, rpcUrl, providers }: Deployment): boolean {
  return chainId === DEVELOPMENT_CHAIN_ID && [rpcUrl, ...providers.map(({ url }) => url)].every(isLoopback);
}

function noDeployment(expected: string, ignored: readonly string[]): NoDeploymentError {
  return new NoDeploymentError("no deployment file found", {
    check: "deployment file",
    expected,
    ...(ignored.length === 0 ? {} : { received: `ignored ${ignored.join("; ")}` }),
    hint: "start a network with `npm run devnet`, or name a deployment file with --deployment or TALLYSTICK_DEPLOYMENT",
  });
}

function devnetFiles(from: string): string[] {
  const files: string[] = [];
  for (let folder = resolve(from); ; folder = dirname(folder)) {
    files.push(join(folder, DEVNET_FILE));
    if (dirname(folder) === folder) return files;
  }
}

function readJson(file: string): unknown {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw unreadable(file, error);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new NoDeploymentError(`deployment file ${file} is not JSON`, {
      check: "deployment file",
      expected: "a JSON document",
      received: error instanceof Error ? error.message : String(error),
      hint: "take the file that the deployment wrote, unchanged",
    });
  }
}

function unreadable(file: string, error: unknown): NoDeploymentError {
  return new NoDeploymentError(`deployment file ${file} cannot be read: ${systemReason(error)}`, {
    check: "deployment file",
    expected: "a file that this user may read",
    received: systemErrorCode(error) ?? String(error),
    hint: "correct its permissions and those of its folders, or name another with --deployment",
  });
}
