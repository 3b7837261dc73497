/**
 * `recover`: the catalogue of a new device from the recovery phrase alone. Every record that this account owns is found
 * in the archives and held against contract state, as are those of its predecessors; its self envelope holds data id
 * and key; the root recipe is fetched, which shows that the provider still has the data. Data sets of other devices are
 * found on chain, to be audited.
 */

import { type Replacement, readReplacement } from "../../chain/account-directory.ts";
import type { Deployment } from "../../chain/deployment.ts";
import { TallystickError } from "../../core/errors.ts";
import type { CataloguedPut } from "../catalogue.ts";
import type { AgentContext } from "../context.ts";
import { recoverDataSets } from "../data-sets/recovery.ts";
import type { VerifiedRecord } from "../keys/archives.ts";
import { madeBefore, type OwnedRecord, openSelf, ownedBy } from "../keys/file-key.ts";
import { openStoredRoot } from "./open-root.ts";
import { readListing } from "./read-content.ts";

export interface RecoverOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called after each data id. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

export interface RecoverReport {
  /** In the catalogue now. */
  readonly recovered: readonly CataloguedPut[];
  /** Data sets of other devices that were found, with what private audits of them need. */
  readonly dataSets: number;
  /** Why data sets could not be looked for: the chain's endpoint does not give its old logs. */
  readonly dataSetsFailure?: TallystickError;
  /** On the ledger, but not readable at the moment. */
  readonly failed: readonly { readonly recordId: string; readonly dataId?: string; readonly error: TallystickError }[];
  /** When another account took this one's place: what opens no session any more cannot be recovered whole. */
  readonly replacement?: Replacement;
  /** What each archive answered. */
  readonly archives: readonly { readonly archive: string; readonly answer: string }[];
}

/**
 * Rebuilds the catalogue. What cannot be read now is reported, not thrown, so that one damaged put does not hide the
 * others.
 *
 * @throws TallystickError UNREACHABLE when no archive answered; CHAIN_UNAVAILABLE
 */
export async function recover(context: AgentContext, options: RecoverOptions = {}): Promise<RecoverReport> {
  const archives = await context.archives();
  const { records, reports } = await archives.find({ account: context.account.address });
  const owned = ownedBy(records, context.identity);
  for (const predecessor of await context.predecessors()) {
    const before = await archives.find({ account: predecessor.account });
    owned.push(...ownedBy(await madeBefore(context, before.records, predecessor), predecessor.identity));
  }
  const answers = reports.map(({ source, records: count, error }) => ({
    archive: source,
    answer: error === undefined ? `${count} records` : error.code,
  }));
  if (reports.every(({ error }) => error !== undefined)) throw noArchive(answers);
  const recovered: CataloguedPut[] = [];
  const failed: { recordId: string; dataId?: string; error: TallystickError }[] = [];
  const files = filesOf(owned);
  for (const [done, ofFile] of files.entries()) {
    options.signal?.throwIfAborted();
    const outcome = openAny(context.deployment, ofFile);
    if ("dataId" in outcome) {
      const { dataId, found } = outcome;
      try {
        const put = await describe(context, dataId, found.record.keyTime, options.signal);
        await context.catalogue.savePut(put);
        recovered.push(put);
      } catch (error) {
        if (!(error instanceof TallystickError)) throw error;
        failed.push({ recordId: found.recordId, dataId, error });
      }
    } else failed.push(outcome);
    options.onProgress?.(done + 1, files.length);
  }
  const replacement = await readReplacement(await context.chain(), context.account.address);
  const isReplaced = replacement === undefined ? {} : { replacement };
  return { recovered, failed, archives: answers, ...isReplaced, ...(await findDataSets(context)) };
}

/** Keys do not need logs, so they are recovered without what does. */
async function findDataSets(context: AgentContext): Promise<Pick<RecoverReport, "dataSets" | "dataSetsFailure">> {
  try {
    return { dataSets: await recoverDataSets(context) };
  } catch (error) {
    if (!(error instanceof TallystickError) || error.code !== "CHAIN_UNAVAILABLE") throw error;
    context.logger.warn({ code: error.code }, `${error.message}: data sets of other devices were not looked for`);
    return { dataSets: 0, dataSetsFailure: error };
  }
}

/** Records by the file that they are of, the newest first: an account may have several of one. */
function filesOf(records: readonly OwnedRecord[]): OwnedRecord[][] {
  const files = new Map<string, OwnedRecord[]>();
  for (const owned of [...records].sort((a, b) => Number(b.found.record.keyTime - a.found.record.keyTime))) {
    const ofFile = files.get(owned.found.record.fileTag);
    if (ofFile === undefined) files.set(owned.found.record.fileTag, [owned]);
    else ofFile.push(owned);
  }
  return [...files.values()];
}

/** The data id from the first of a file's records that opens; why the first one did not, when none does. */
function openAny(
  deployment: Deployment,
  records: readonly OwnedRecord[],
): { readonly dataId: string; readonly found: VerifiedRecord } | { recordId: string; error: TallystickError } {
  let failure: { recordId: string; error: TallystickError } | undefined;
  for (const { found, role, holder } of records) {
    try {
      const { dataId, fileKey } = openSelf(deployment, holder, found, role);
      fileKey.fill(0);
      return { dataId, found };
    } catch (error) {
      if (!(error instanceof TallystickError)) throw error;
      failure ??= { recordId: found.recordId, error };
    }
  }
  if (failure === undefined) throw new TallystickError("a file without records", { code: "INTERNAL" });
  return failure;
}

/** Description of a put, with the names from its listing. */
async function describe(
  context: AgentContext,
  dataId: string,
  keyTime: bigint,
  signal: AbortSignal | undefined,
): Promise<CataloguedPut> {
  const { root, recordId, role } = await openStoredRoot(context, dataId, signal);
  const providers = context.providers();
  const names: string[] = [];
  for await (const { path } of readListing(root, providers, signal)) if (!path.includes("/")) names.push(path);
  // The time of the record is that of the put. Somebody else's record, joined later, may claim any time.
  const now = Math.floor(context.platform.clock.now() / 1000);
  const storedAt = (await context.catalogue.put(dataId))?.storedAt ?? Math.min(Number(keyTime), now);
  return {
    dataId,
    name: names.join(", "),
    entryCount: root.entryCount,
    totalBytes: root.totalBytes,
    domain: root.domain,
    recordId,
    role,
    storedAt,
  };
}

function noArchive(archives: readonly { archive: string; answer: string }[]): TallystickError {
  return new TallystickError("no archive of key records answered", {
    code: "UNREACHABLE",
    party: "archives",
    check: "record archives",
    received: archives.map(({ archive, answer }) => `${archive}: ${answer}`).join("; "),
    hint: "wait until a key node is up, then run the command again",
    retryable: true,
    details: { archives },
  });
}
