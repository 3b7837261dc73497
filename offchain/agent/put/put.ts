/**
 * `put`: whatever number of paths becomes one root recipe, one key record on the ledger and, unless told otherwise, one agreement
 * with the provider. Each step is idempotent and the order is fixed (data durable, then recorded, then insured), so a run
 * after any interruption does what is missing and nothing twice.
 */

import { basename, resolve } from "node:path";
import { PUBLIC_DOMAIN } from "../../core/crypto/encryption.ts";
import type { ShareRecipient } from "../../core/record/key-record.ts";
import { openPreparedAgreement } from "../agreements/opening.ts";
import { Preparations } from "../agreements/possession.ts";
import { type AgreementOptions, type AgreementReport, requireWishesFit } from "../agreements/terms.ts";
import type { AgentContext } from "../context.ts";
import { bestFirst, type NodeReport } from "../keys/quorum.ts";
import { ensureKeyOwnership, type KeyOwnership } from "../keys/record-key.ts";
import { inTurn } from "../node/home-lock.ts";
import { measure } from "../node/walk.ts";
import type { AgreementProgress, ProgressListener, PutProgress } from "../progress.ts";
import { storeTree } from "./store-tree.ts";

export interface PutOptions {
  /** Dedup domain: only puts of one domain share chunks. Default: everybody's. */
  readonly domain?: string;
  /** Whom the key shares are sealed to. Default: the committee. */
  readonly recipients?: ShareRecipient;
  /** Terms of the agreement; `false` for none. Default: what the provider offers. */
  readonly agreement?: AgreementOptions | false;
  readonly onProgress?: ProgressListener<PutProgress | AgreementProgress> | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PutReport {
  readonly dataId: string;
  /** Base names of the paths. */
  readonly name: string;
  readonly domain: string;
  readonly entries: number;
  /** Plaintext bytes of all files. */
  readonly totalBytes: number;
  /** Distinct objects: chunks, recipe lists, the root. */
  readonly objects: number;
  /** Ciphertext bytes of the distinct objects. */
  readonly storedBytes: number;
  readonly uploadedObjects: number;
  readonly uploadedBytes: number;
  readonly record: KeyOwnership;
  readonly agreement?: AgreementReport;
  /** How the key nodes did. */
  readonly nodes: readonly NodeReport[];
  readonly seconds: number;
}

/**
 * Stores files, folders and links.
 *
 * @throws FileUnreadableError, FileChangedError, InvalidInputError (for wishes the provider does not take as well): nothing has been recorded then
 * @throws TallystickError of nodes, provider or chain, each naming who failed which check; FUNDS when the account cannot pay for the
 *   agreement, with the data stored and its key recorded
 */
export async function put(
  context: AgentContext,
  paths: readonly string[],
  options: PutOptions = {},
): Promise<PutReport> {
  const started = performance.now();
  const { signal, recipients = "committee", domain = PUBLIC_DOMAIN } = options;
  const counter = { readBytes: 0, readEntries: 0 };
  const totals = { objects: 0, bytes: 0, uploadedObjects: 0, uploadedBytes: 0 };
  let measured = { entries: 0, bytes: 0 };
  const tell = (phase: PutProgress["phase"]) =>
    options.onProgress?.({
      operation: "put",
      phase,
      totalEntries: measured.entries,
      totalBytes: measured.bytes,
      ...counter,
      storedObjects: totals.objects,
      uploadedBytes: totals.uploadedBytes,
      deduplicatedBytes: totals.bytes - totals.uploadedBytes,
    });

  tell("scanning");
  measured = await measure(paths, signal);
  const { committee, nodes, oprf } = await context.committee();
  if (options.agreement !== false) {
    const { primary } = context.providers();
    requireWishesFit(context.deployment, await primary.client.offer(), primary, options.agreement ?? {});
  }
  const neededSalts = context.catalogue.agreements().map(({ salt }) => salt);
  const tagger =
    options.agreement === false
      ? undefined
      : await new Preparations(context.homeDir).begin(context.identity.auditSeed, neededSalts);
  try {
    const { dataId, fileKey, root } = await storeTree(paths, {
      oracle: oprf,
      providers: context.providers(),
      domain,
      ...(tagger === undefined ? {} : { observe: (object) => tagger.add(object) }),
      counter,
      totals,
      onChange: () => tell("storing"),
      signal,
    });
    tell("recording");
    const name = paths.map((path) => basename(resolve(path))).join(", ");
    const { entryCount: entries, totalBytes } = root;
    const { record, agreement } = await inTurn(context.homeDir, context.logger, signal, async () => {
      const record = await ensureKeyOwnership(
        {
          chain: await context.chain(),
          account: context.account,
          committee,
          // Who has just evaluated keys will relay; one that hangs would be waited for.
          nodes: bestFirst(nodes, oprf.report()),
          archives: await context.archives(),
          hpkePublicKey: context.identity.hpkePublicKey,
          catalogueKey: context.identity.catalogueKey,
          logger: context.logger,
        },
        dataId,
        fileKey,
        recipients,
      );
      fileKey.fill(0);
      const { recordId, role } = record;
      const storedAt = Math.floor(Date.now() / 1000);
      context.catalogue.savePut({ dataId, name, entryCount: entries, totalBytes, domain, recordId, role, storedAt });

      tell("agreeing");
      const agreement =
        tagger === undefined || options.agreement === false
          ? undefined
          : await openPreparedAgreement(context, dataId, tagger, options.agreement ?? {}, options.onProgress, signal);
      return { record, agreement };
    });
    tell("done");
    return {
      dataId,
      name,
      domain,
      entries,
      totalBytes,
      objects: totals.objects,
      storedBytes: totals.bytes,
      uploadedObjects: totals.uploadedObjects,
      uploadedBytes: totals.uploadedBytes,
      record,
      ...(agreement === undefined ? {} : { agreement }),
      nodes: oprf.report(),
      seconds: (performance.now() - started) / 1000,
    };
  } catch (error) {
    tagger?.discard();
    throw error;
  }
}
