/**
 * Key records as the agent finds them. Any node's archive will do, since nothing it says is believed before it has been held
 * against contract state; the chain's own logs are the archive of last resort.
 */

import type { ChainReader } from "../chain/deployment.ts";
import { isOwner, type KeyRecord, parseLedgerLog, recordIdOf, verifyArchivedRecord } from "../chain/ledger.ts";
import { chainLogs } from "../chain/logs.ts";
import { readChain } from "../chain/revert.ts";
import { TallystickError } from "../core/errors.ts";
import { fromHex } from "../core/hex.ts";
import { parseRecordPayload, type RecordPayload } from "../core/key-record.ts";
import type { ArchivedRecord, NbmClient } from "./nbm-client.ts";
import { type AgentLogger, SILENT } from "./progress.ts";

/** A record that contract state confirms. */
export interface VerifiedRecord {
  readonly recordId: string;
  readonly record: KeyRecord;
  readonly payload: RecordPayload;
  /** The node that archived it, or `chain`. */
  readonly source: string;
  /** Notes of later owners, sealed to themselves, by lower-case account. */
  readonly ownerNotes: ReadonlyMap<string, Uint8Array>;
}

/** What one archive did when it was asked. */
export interface ArchiveReport {
  readonly source: string;
  readonly records: number;
  readonly error?: TallystickError;
}

export interface ArchiveAnswer {
  readonly records: VerifiedRecord[];
  readonly reports: ArchiveReport[];
}

type Filter = { readonly fileTag: string } | { readonly account: string };

interface Candidate {
  readonly record: KeyRecord;
  readonly source: string;
}

export class Archives {
  readonly #chain: ChainReader;
  readonly #nodes: readonly NbmClient[];
  readonly #logger: AgentLogger;

  constructor(chain: ChainReader, nodes: readonly NbmClient[], logger: AgentLogger = SILENT) {
    this.#chain = chain;
    this.#nodes = nodes;
    this.#logger = logger;
  }

  /**
   * Records of a file or of an account (recorded by it, or joined later), from all archives together.
   *
   * @returns each record once, confirmed by contract state; what is not confirmed is left out and logged. Empty when no archive
   *   knows one; `reports` tells what each archive said.
   * @throws TallystickError CHAIN_UNAVAILABLE
   */
  async find(filter: Filter): Promise<ArchiveAnswer> {
    const answers = await Promise.all(this.#nodes.map((node) => this.#ask(node, filter)));
    const reports = answers.map(({ report }) => report);
    const found = await this.#confirm(answers.flatMap(({ records }) => records));
    if (found.length > 0 || !("fileTag" in filter)) return { records: found, reports };
    const logged = await this.#fromLogs(filter.fileTag);
    return {
      records: await this.#confirm(logged),
      reports: [...reports, { source: "chain", records: logged.length }],
    };
  }

  async #ask(node: NbmClient, filter: Filter): Promise<{ records: (Candidate & Owner)[]; report: ArchiveReport }> {
    const records: (Candidate & Owner)[] = [];
    try {
      for await (const archived of node.records(filter)) records.push(toCandidate(archived, node.name));
      return { records, report: { source: node.name, records: records.length } };
    } catch (error) {
      if (!(error instanceof TallystickError)) throw error;
      this.#logger.debug({ node: node.url, code: error.code }, `${error.message}; asking other archives`);
      return { records, report: { source: node.name, records: records.length, error } };
    }
  }

  /** Holds every distinct version against contract state. */
  async #confirm(candidates: readonly (Candidate & Owner)[]): Promise<VerifiedRecord[]> {
    const byRecord = new Map<string, (Candidate & Owner)[]>();
    for (const candidate of candidates) {
      const id = recordIdOf(candidate.record.account, candidate.record.fileTag);
      byRecord.set(id, [...(byRecord.get(id) ?? []), candidate]);
    }
    const confirmed: VerifiedRecord[] = [];
    for (const [recordId, versions] of byRecord) {
      const right = await this.#firstRight(versions);
      if (right === undefined) continue;
      const ownerNotes = await this.#ownersOf(right.record, versions);
      confirmed.push({ recordId, ...right, ownerNotes });
    }
    return confirmed;
  }

  async #firstRight(
    versions: readonly Candidate[],
  ): Promise<Omit<VerifiedRecord, "recordId" | "ownerNotes"> | undefined> {
    for (const { record, source } of versions) {
      try {
        await verifyArchivedRecord(this.#chain, record, source);
        return { record, payload: parseRecordPayload(record.payload), source };
      } catch (error) {
        if (!(error instanceof TallystickError) || error.code === "CHAIN_UNAVAILABLE") throw error;
        this.#logger.warn({ archive: source, code: error.code }, `${error.message}; looking in another archive`);
      }
    }
    return undefined;
  }

  /** Notes of the owners that archives name, of those that are owners on chain. */
  async #ownersOf(record: KeyRecord, versions: readonly Owner[]): Promise<Map<string, Uint8Array>> {
    const notes = new Map<string, Uint8Array>();
    for (const { owner, note } of versions) {
      if (owner === undefined || note === undefined || notes.has(owner)) continue;
      if (await isOwner(this.#chain, record, owner)) notes.set(owner, note);
    }
    return notes;
  }

  async #fromLogs(fileTag: string): Promise<(Candidate & Owner)[]> {
    const { deployment, provider } = this.#chain;
    const head = await readChain("reading the block number", () => provider.getBlockNumber());
    const filter = { address: deployment.contracts.keyLedger, topics: [null, fileTag] };
    const candidates: (Candidate & Owner)[] = [];
    const added: { recordId: string; owner: string; note: Uint8Array }[] = [];
    for await (const log of chainLogs(this.#chain, filter, deployment.deployedAtBlock, head)) {
      const event = parseLedgerLog(log);
      if (event?.kind === "KeyRecorded") candidates.push({ record: event.record, source: "chain" });
      if (event?.kind === "OwnerAdded") added.push(event);
    }
    const owners = added.flatMap(({ recordId, owner, note }) => {
      const version = candidates.findLast(({ record }) => recordIdOf(record.account, record.fileTag) === recordId);
      return version === undefined ? [] : [{ ...version, owner: owner.toLowerCase(), note }];
    });
    // The newest version comes first: older ones are confirmed by nothing any more.
    return [...candidates.reverse(), ...owners];
  }
}

interface Owner {
  /** Lower case; absent for the recorder. */
  readonly owner?: string;
  readonly note?: Uint8Array;
}

function toCandidate(archived: ArchivedRecord, source: string): Candidate & Owner {
  const { account, fileTag, ownershipKey, role, owner, note } = archived;
  const record: KeyRecord = {
    account,
    fileTag,
    ownershipKey,
    committeeId: BigInt(archived.committeeId),
    keyTime: BigInt(archived.keyTime),
    payload: fromHex(archived.payload),
  };
  return role === "owner" ? { record, source, owner: owner.toLowerCase(), note: fromHex(note) } : { record, source };
}
