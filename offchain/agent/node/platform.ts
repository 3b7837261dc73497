/** The agent's ports on this machine: files by path, and catalogue, preparations and lock in a home folder. */

import { hostname, userInfo } from "node:os";
import { systemClock } from "../clock.ts";
import type { DataStages } from "../pipeline/data-stages.ts";
import type { AgentPlatform } from "../platform.ts";
import { agentDatabasePath } from "./agent-database.ts";
import { SqliteCatalogue } from "./catalogue.ts";
import { SqliteDataSetJournal } from "./data-set-journal.ts";
import { fileCachePath, SqliteFileCache } from "./file-cache.ts";
import { FolderLock } from "./home-lock.ts";
import { nodeTransport } from "./http-transport.ts";
import { openLocalFiles } from "./local-files.ts";
import { FolderPreparations } from "./preparations.ts";
import { openWorkerStages } from "./worker-stages.ts";
import { WrongAnswerFiles } from "./wrong-answer-files.ts";

/**
 * @param homeDir made if it is absent.
 * @param stages threads that were started ahead; the first put or get takes them
 * @throws DiskFullError, DiskFailedError, UnknownVersionError when the catalogue cannot be opened
 */
export function nodePlatform(homeDir: string, stages?: DataStages): AgentPlatform {
  let ahead = stages;
  const database = agentDatabasePath(homeDir);
  const catalogue = new SqliteCatalogue(database);
  const dataSets = new SqliteDataSetJournal(database);
  const fileCache = new SqliteFileCache(fileCachePath(homeDir));
  return {
    catalogue,
    dataSets,
    preparations: new FolderPreparations(homeDir),
    lock: new FolderLock(homeDir),
    files: openLocalFiles(homeDir),
    fileCache,
    wrongAnswers: new WrongAnswerFiles(homeDir),
    http: { transport: nodeTransport },
    clock: systemClock,
    origin: { host: hostname(), user: userName() },
    openStages: () => {
      const started = ahead;
      ahead = undefined;
      return started ?? openWorkerStages();
    },
    close: async () => {
      await ahead?.close();
      fileCache.close();
      await dataSets.close();
      await catalogue.close();
    },
  };
}

/** Empty for a user that the system has no entry for, as in some containers. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return "";
  }
}
