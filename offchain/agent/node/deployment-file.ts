/** Finding the deployment file: which contracts, committee and provider the agent deals with. */

import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { type Deployment, NoDeploymentError, parseDeployment } from "../../chain/deployment.ts";

/** Written by `npm run devnet`, found from any folder below. */
const DEVNET_FILE = join(".tallystick", "devnet.json");
const HOME_FILE = "deployment.json";

export interface FoundDeployment {
  readonly file: string;
  readonly deployment: Deployment;
}

export interface DeploymentPlaces {
  /** Named by the user; nothing else is looked at then. */
  readonly named?: string | undefined;
  readonly homeDir: string;
  /** Default: the process's working directory. */
  readonly workingDirectory?: string;
}

/**
 * Looks for the deployment: the named file, TALLYSTICK_DEPLOYMENT, `.tallystick/devnet.json` in the working directory or above,
 * `deployment.json` in the home folder; the first that exists.
 *
 * @throws NoDeploymentError when there is none, or it cannot be read or is malformed; UnknownVersionError
 */
export function findDeployment(places: DeploymentPlaces): FoundDeployment {
  const fromEnvironment = process.env.TALLYSTICK_DEPLOYMENT;
  const named = places.named ?? (fromEnvironment === "" ? undefined : fromEnvironment);
  const candidates =
    named === undefined
      ? [...devnetFiles(places.workingDirectory ?? process.cwd()), join(places.homeDir, HOME_FILE)]
      : [resolve(named)];
  const file = candidates.find((candidate) => existsSync(candidate));
  if (file === undefined) {
    throw new NoDeploymentError("no deployment file found", {
      check: "deployment file",
      expected: named ?? `${DEVNET_FILE} here or above, or ${candidates.at(-1)}`,
      hint: "start a network with `npm run devnet`, or name a deployment file with --deployment or TALLYSTICK_DEPLOYMENT",
    });
  }
  return { file, deployment: parseDeployment(readJson(file)) };
}

function devnetFiles(from: string): string[] {
  const files: string[] = [];
  for (let folder = resolve(from); ; folder = dirname(folder)) {
    files.push(join(folder, DEVNET_FILE));
    if (dirname(folder) === folder) return files;
  }
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new NoDeploymentError(`deployment file ${file} cannot be read`, {
      check: "deployment file",
      expected: "a readable JSON document",
      received: error instanceof Error ? error.message : String(error),
    });
  }
}
