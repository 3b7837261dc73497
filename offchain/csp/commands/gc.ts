/** `tallystick-csp gc`: removes what nobody needs while the daemon does not run; the daemon does so by itself. */

import { pino } from "pino";
import { counted } from "../../core/encoding/counted.ts";
import type { DaemonCommand } from "../../daemon/program.ts";
import { lockFolder } from "../../store/disk/folder-lock.ts";
import { jobLease, withLease } from "../../store/index/leases.ts";
import { openObjectStore } from "../../store/object/open-object-store.ts";
import { ChunkService } from "../chunks/chunk-service.ts";
import { collectGarbage, GARBAGE, type GarbageReport, unusedSince } from "../chunks/garbage.ts";
import { OwnershipChallenges } from "../chunks/ownership-challenges.ts";
import { bindObjectStore } from "../chunks/store-binding.ts";
import type { CspConfig } from "../config.ts";
import { ProviderDatabase } from "../database.ts";

/** No object is uploaded here, so no challenge is prepared. */
const NO_ACCOUNT = `0x${"0".repeat(40)}`;

/** How long a daemon that was killed is waited for: longer than its lease. */
const WAIT_SECONDS = 30;

/**
 * @throws DiskFailedError, also while the daemon runs; DiskFullError, UnknownVersionError; TallystickError CONFLICT
 *   while another process on the database collects garbage
 */
export async function collectProviderGarbage(config: CspConfig, dryRun: boolean): Promise<GarbageReport> {
  const closers: (() => Promise<void>)[] = [];
  try {
    const lock = lockFolder(config.dataDir);
    closers.unshift(async () => lock.close());
    const database = await ProviderDatabase.open(config.database, config.dataDir);
    closers.unshift(() => database.close());
    const store = await openObjectStore(config.store);
    closers.unshift(() => store.close());
    await bindObjectStore(store, database.index);
    const now = Math.floor(Date.now() / 1000);
    const challenges = new OwnershipChallenges(NO_ACCOUNT, new Uint8Array(32));
    const logger = pino({ level: "silent" });
    const chunks = new ChunkService(store, database.index.chunks, challenges, logger, () => now);
    const { leases } = database.index;
    const releasedAt = now - config.releaseGraceSeconds;
    const grace = { graceSeconds: config.gcGraceSeconds, isShared: database.isShared, dryRun };
    const collect = async (mayRemove: () => boolean): Promise<GarbageReport> => {
      const since = await unusedSince(leases, now, grace);
      return collectGarbage(
        { index: database.index.chunks, chunks, store },
        { releasedAt, now, since, dryRun, mayRemove },
      );
    };
    if (dryRun) return await collect(() => true);
    const lease = jobLease(GARBAGE);
    return await withLease(leases, lease, WAIT_SECONDS, () => collect(() => leases.holds(lease)));
  } finally {
    for (const close of closers) await close();
  }
}

export const gcCommand: DaemonCommand<CspConfig> = {
  name: "gc",
  description: "remove objects that no account and no data set needs, while the daemon does not run",
  options: [
    ["--dry-run", "say what would be removed, and remove nothing"],
    ["--json", "print one JSON document"],
  ],
  example: "gc --config csp.json --dry-run",
  run: async (config, options) => {
    const dryRun = options.dryRun === true;
    const report = await collectProviderGarbage(config, dryRun);
    const { objects, bytes, compactedBytes } = report;
    const text = dryRun
      ? `${counted(objects, "object")} of ${counted(bytes, "byte")} would be removed\n`
      : `${counted(objects, "object")} of ${counted(bytes, "byte")} removed, ` +
        `${counted(compactedBytes, "byte")} given back to the disk\n`;
    process.stdout.write(options.json === true ? `${JSON.stringify({ dryRun, ...report })}\n` : text);
    return 0;
  },
};
