/**
 * The agent's ports in a page: catalogue and preparations in IndexedDB, Web Locks, `fetch`. A page has no files by
 * path.
 */

import { fetchTransport } from "../../http/transport.ts";
import { systemClock } from "../clock.ts";
import type { AgentPlatform } from "../platform.ts";
import { PageCatalogue } from "./catalogue.ts";
import { PageDataSetJournal } from "./data-set-journal.ts";
import { databaseName, PageStore } from "./page-store.ts";
import { PagePreparations } from "./preparations.ts";
import { WebLock } from "./web-lock.ts";

/**
 * @param name of the store in the page's origin; made if it is absent
 * @throws InvalidInputError for an empty name or outside a secure context; UnknownVersionError
 * @throws TallystickError DISK_FULL, DISK_FAILED
 */
export async function browserPlatform(name: string): Promise<AgentPlatform> {
  const lock = new WebLock(databaseName(name));
  const store = await PageStore.open(name);
  return {
    catalogue: new PageCatalogue(store),
    dataSets: new PageDataSetJournal(store),
    preparations: new PagePreparations(store),
    lock,
    http: { transport: fetchTransport({ joinsBodies: true }) },
    clock: systemClock,
    // Worker scopes without an address exist.
    origin: { host: globalThis.location?.host ?? "", user: "" },
    close: async () => store.close(),
  };
}
