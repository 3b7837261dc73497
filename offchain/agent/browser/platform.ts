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
    origin: { host: pageHost(globalThis), user: "" },
    close: async () => store.close(),
  };
}

/** What snapshots of a page without a host have, such as one that was opened from a file. */
const NO_HOST = "page";

/**
 * The host that snapshots name. A worker that was made of a blob has no host in its address, but the origin of its
 * page.
 */
export function pageHost({ origin, location }: { readonly origin?: string; readonly location?: Location }): string {
  const host = origin !== undefined && URL.canParse(origin) ? new URL(origin).host : location?.host;
  return host === undefined || host === "" ? NO_HOST : host;
}
