/** The agent's ports on this machine: files by path, and catalogue, preparations and lock in a home folder. */

import { systemClock } from "../clock.ts";
import type { AgentPlatform } from "../platform.ts";
import { cataloguePath, SqliteCatalogue } from "./catalogue.ts";
import { FolderLock } from "./home-lock.ts";
import { nodeTransport } from "./http-transport.ts";
import { localFiles } from "./local-files.ts";
import { FolderPreparations } from "./preparations.ts";

/**
 * @param homeDir made if it is absent.
 * @throws DiskFullError, DiskFailedError, UnknownVersionError when the catalogue cannot be opened
 */
export function nodePlatform(homeDir: string): AgentPlatform {
  const catalogue = new SqliteCatalogue(cataloguePath(homeDir));
  return {
    catalogue,
    preparations: new FolderPreparations(homeDir),
    lock: new FolderLock(homeDir),
    files: localFiles,
    http: { transport: nodeTransport },
    clock: systemClock,
    close: () => catalogue.close(),
  };
}
