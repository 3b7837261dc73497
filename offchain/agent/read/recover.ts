/**
 * `recover`: the catalogue of a new device from the recovery phrase alone. Every record that carries this account's note is found
 * in the archives and held against contract state; its note, sealed to the account, names the data id; key and root recipe are
 * fetched, which shows that the data can be had.
 */

import { type ManifestChunk, manifestHash } from "../../core/audit/manifest.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import { fileTag, openCatalogueNote } from "../../core/record/key-record.ts";
import { Agreements } from "../agreements/agreements.ts";
import type { CataloguedPut } from "../catalogue.ts";
import type { AgentContext } from "../context.ts";
import type { VerifiedRecord } from "../keys/archives.ts";
import { roleIn } from "../keys/file-key.ts";
import { objectOrder } from "./object-order.ts";
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
  /** Agreements found again, with what private audits of them need. */
  readonly agreements: number;
  /** On the ledger, but not to be had at the moment. */
  readonly failed: readonly { readonly recordId: string; readonly dataId?: string; readonly error: TallystickError }[];
  /** What each archive answered. */
  readonly archives: readonly { readonly archive: string; readonly answer: string }[];
}

/**
 * Rebuilds the catalogue. What cannot be had now is reported, not thrown, so that one damaged put does not hide the others.
 *
 * @throws TallystickError UNREACHABLE when no archive answered; CHAIN_UNAVAILABLE
 */
export async function recover(context: AgentContext, options: RecoverOptions = {}): Promise<RecoverReport> {
  const { records, reports } = await (await context.archives()).find({ account: context.account.address });
  const archives = reports.map(({ source, records: count, error }) => ({
    archive: source,
    answer: error === undefined ? `${count} records` : error.code,
  }));
  if (reports.every(({ error }) => error !== undefined)) throw noArchive(archives);
  const recovered: CataloguedPut[] = [];
  const manifests = new Map<string, string>();
  const failed: { recordId: string; dataId?: string; error: TallystickError }[] = [];
  for (const [done, found] of records.entries()) {
    options.signal?.throwIfAborted();
    let dataId: string | undefined;
    try {
      dataId = dataIdOf(context, found);
      const { put, manifest } = await describe(context, dataId, options.signal);
      manifests.set(manifest, dataId);
      await context.catalogue.savePut(put);
      recovered.push(put);
    } catch (error) {
      if (!(error instanceof TallystickError)) throw error;
      failed.push({ recordId: found.recordId, ...(dataId === undefined ? {} : { dataId }), error });
    }
    options.onProgress?.(done + 1, records.length);
  }
  const agreements = await new Agreements(context).recover(manifests);
  return { recovered, agreements, failed, archives };
}

/** Opens this account's note on a record. @throws IntegrityError when it does not open or names another file */
function dataIdOf(context: AgentContext, found: VerifiedRecord): string {
  const role = roleIn(found, context.account.address);
  // An archive may show a wrong note of an owner who is one: any that opens and names the file will do.
  const notes = role === "recorder" ? [found.payload.catalogueNote] : [...found.ownerNotes.values()];
  let failure: unknown = new TallystickError(`record ${found.recordId} has no note for this account`, {
    code: "NOT_OWNER",
    party: found.source,
    check: "owners on the ledger",
  });
  for (const note of notes) {
    try {
      return namedBy(context, found, note);
    } catch (error) {
      if (!(error instanceof TallystickError)) throw error;
      failure = error;
    }
  }
  throw failure;
}

function namedBy(context: AgentContext, found: VerifiedRecord, note: Uint8Array): string {
  const dataId = openCatalogueNote(context.identity.catalogueKey, fromHex(found.recordId), note);
  if (toHex(fileTag(dataId)) === found.record.fileTag) return dataId;
  throw new TallystickError(`the note on record ${found.recordId} names another file`, {
    code: "INTEGRITY",
    party: `recorder ${found.record.account}`,
    check: "file tag",
    expected: found.record.fileTag,
    received: toHex(fileTag(dataId)),
  });
}

/** What there is to know about a put: names from its listing, and the hash by which its agreements are known on chain. */
async function describe(
  context: AgentContext,
  dataId: string,
  signal: AbortSignal | undefined,
): Promise<{ put: CataloguedPut; manifest: string }> {
  const { root, sealedBytes, recordId, role } = await openStoredRoot(context, dataId, signal);
  const providers = context.providers();
  const names: string[] = [];
  for await (const { path } of readListing(root, providers, signal)) if (!path.includes("/")) names.push(path);
  const chunks: ManifestChunk[] = [];
  for await (const object of objectOrder(dataId, root, sealedBytes, providers, signal)) chunks.push(object);
  const storedAt = (await context.catalogue.put(dataId))?.storedAt ?? Math.floor(context.platform.clock.now() / 1000);
  const put: CataloguedPut = {
    dataId,
    name: names.join(", "),
    entryCount: root.entryCount,
    totalBytes: root.totalBytes,
    domain: root.domain,
    recordId,
    role,
    storedAt,
  };
  return { put, manifest: toHex(manifestHash({ version: 1, chunks })) };
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
