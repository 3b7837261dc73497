/**
 * Finds key records. Any node's archive can be asked, since each record is verified against contract state before it is
 * used; the logs of the chain are the last resort. An archive that lies costs a bounded number of chain requests, and
 * one that does not answer costs a few seconds.
 */

import type { ChainReader } from "../../chain/deployment.ts";
import {
  hasRole,
  headerOf,
  type KeyRecord,
  parseLedgerLog,
  recordIdOf,
  verifyArchivedRecord,
} from "../../chain/ledger.ts";
import { chainLogs } from "../../chain/logs.ts";
import { readChain } from "../../chain/revert.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { fromHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import { parseRecordPayload, type RecordPayload } from "../../core/record/key-record.ts";
import { type AgentLogger, SILENT } from "../progress.ts";
import type { ArchivedRecord, NbmClient, RecordFilter } from "./nbm-client.ts";

/** A record that contract state confirms. */
export interface VerifiedRecord {
  readonly recordId: string;
  readonly record: KeyRecord;
  readonly payload: RecordPayload;
  /** A later owner has joined. */
  readonly shared: boolean;
  /** The node that archived it, or `chain`. */
  readonly source: string;
  /**
   * Notes with which the account that was asked for joined the record (its self envelopes), by the archive that gave
   * them: contract state confirms the owner, not its note. Empty when it is no later owner, and when no account was
   * asked for.
   */
  readonly ownerNotes: ReadonlyMap<string, Uint8Array>;
}

/** How one archive answered. */
export interface ArchiveReport {
  readonly source: string;
  readonly records: number;
  readonly error?: TallystickError;
}

export interface ArchiveAnswer {
  readonly records: VerifiedRecord[];
  readonly reports: ArchiveReport[];
}

export interface ArchivesOptions {
  readonly logger?: AgentLogger;
  /**
   * Number of answers of which one is honest: n − k + 1. The other archives then have `graceSeconds` left. All by
   * default.
   */
  readonly enough?: number;
  readonly graceSeconds?: number;
}

interface Candidate {
  readonly record: KeyRecord;
  readonly source: string;
  /** Absent for the recorder. */
  readonly laterOwner?: { readonly account: string; readonly note: Uint8Array };
}

type Confirmed = Omit<VerifiedRecord, "shared"> & { shared: boolean; readonly ownerNotes: Map<string, Uint8Array> };

const GRACE_SECONDS = 3;
/** After so many entries that contract state refutes, the rest of an archive's entries is left out. */
const MAXIMUM_REFUTED = 16;

export class Archives {
  readonly #chain: ChainReader;
  readonly #nodes: readonly NbmClient[];
  readonly #logger: AgentLogger;
  readonly #enough: number;
  readonly #graceSeconds: number;

  constructor(chain: ChainReader, nodes: readonly NbmClient[], options: ArchivesOptions = {}) {
    this.#chain = chain;
    this.#nodes = nodes;
    this.#logger = options.logger ?? SILENT;
    this.#enough = options.enough ?? nodes.length;
    this.#graceSeconds = options.graceSeconds ?? GRACE_SECONDS;
  }

  /**
   * Records of a file, of an account (recorded by it, or joined later), or of both, from all archives together.
   *
   * @returns each record once, confirmed by contract state; what is not confirmed is left out and logged. Empty when no
   *   archive knows one; `reports` tells what each archive said.
   * @throws TallystickError CHAIN_UNAVAILABLE
   */
  async find(filter: RecordFilter): Promise<ArchiveAnswer> {
    const answers = await this.#askAll(filter);
    const candidates = answers.flatMap((answer) => answer.candidates);
    return {
      records: await this.#confirm(candidates, filter.account),
      reports: answers.map(({ report }) => report),
    };
  }

  /**
   * The same; from the chain's logs when no archive shows a record that is confirmed, which takes long on an old chain.
   */
  async findOrScan(filter: RecordFilter & { readonly fileTag: string }): Promise<ArchiveAnswer> {
    const found = await this.find(filter);
    if (found.records.length > 0) return found;
    const logged = await this.#fromLogs(filter);
    return {
      records: await this.#confirm(logged, filter.account),
      reports: [...found.reports, { source: "chain", records: logged.length }],
    };
  }

  /** Asks all archives; does not wait for the last ones once an honest one must be among those that have answered. */
  async #askAll(filter: RecordFilter): Promise<{ candidates: Candidate[]; report: ArchiveReport }[]> {
    const patience = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let answered = 0;
    const ask = async (node: NbmClient) => {
      const answer = await this.#ask(node, filter, patience.signal);
      if (answer.report.error === undefined) answered += 1;
      if (answered >= this.#enough) timer ??= setTimeout(() => patience.abort(), this.#graceSeconds * 1000);
      return answer;
    };
    try {
      return await Promise.all(this.#nodes.map(ask));
    } finally {
      clearTimeout(timer);
    }
  }

  async #ask(
    node: NbmClient,
    filter: RecordFilter,
    signal: AbortSignal,
  ): Promise<{ candidates: Candidate[]; report: ArchiveReport }> {
    const candidates: Candidate[] = [];
    const report = () => ({ source: node.name, records: candidates.length });
    try {
      for await (const archived of node.records(filter, signal)) candidates.push(toCandidate(archived, node.name));
      return { candidates, report: report() };
    } catch (cause) {
      const error = signal.aborted ? tooSlow(node.name) : cause;
      if (!(error instanceof TallystickError)) throw error;
      this.#logger.debug({ node: node.url, code: error.code }, `${error.message}; asking other archives`);
      return { candidates, report: { ...report(), error } };
    }
  }

  /** Holds every distinct record, and who joined it, against contract state. */
  async #confirm(candidates: readonly Candidate[], account: string | undefined): Promise<VerifiedRecord[]> {
    const records = new Map<string, Confirmed | "refuted" | "malformed">();
    const owners = new Map<string, boolean>();
    const refuted = new Map<string, number>();
    const confirmed = new Set<Confirmed>();
    for (const { record, source, laterOwner } of candidates) {
      const times = refuted.get(source) ?? 0;
      if (times >= MAXIMUM_REFUTED) continue;
      const recordId = recordIdOf(headerOf(record));
      const found = records.get(recordId) ?? (await this.#verify(record, source));
      records.set(recordId, found);
      if (found === "malformed") continue;
      // Of a record that somebody has joined, only the account that was asked for is of further interest.
      if (found !== "refuted" && laterOwner !== undefined && !(account === undefined && found.shared)) {
        const owner = account ?? laterOwner.account;
        const key = `${recordId} ${owner}`;
        const isOwner = owners.get(key) ?? (await hasRole(this.#chain, recordId, owner, "owner"));
        owners.set(key, isOwner);
        if (!isOwner) {
          refuted.set(source, times + 1);
          continue;
        }
        found.shared = true;
        if (account !== undefined && !found.ownerNotes.has(source)) found.ownerNotes.set(source, laterOwner.note);
      }
      if (found === "refuted") refuted.set(source, times + 1);
      else confirmed.add(found);
    }
    return [...confirmed];
  }

  async #verify(record: KeyRecord, source: string): Promise<Confirmed | "refuted" | "malformed"> {
    let verdict: "refuted" | "malformed" = "refuted";
    try {
      const recordId = await verifyArchivedRecord(this.#chain, record, source);
      // From here on the recorder is at fault and not the archive.
      verdict = "malformed";
      const payload = parseRecordPayload(record.payload);
      return { recordId, record, payload, shared: false, source, ownerNotes: new Map() };
    } catch (error) {
      if (!(error instanceof TallystickError) || error.code === "CHAIN_UNAVAILABLE") throw error;
      this.#logger.warn({ archive: source, code: error.code }, `${error.message}; looking in another archive`);
      return verdict;
    }
  }

  async #fromLogs({ fileTag, account }: RecordFilter & { readonly fileTag: string }): Promise<Candidate[]> {
    const { deployment, provider } = this.#chain;
    const head = await readChain("reading the block number", () => provider.getBlockNumber());
    const filter = { address: deployment.contracts.keyLedger, topics: [null, fileTag] };
    const isAsked = (one: string) => account === undefined || isAddressEqual(one, account);
    const records = new Map<string, KeyRecord>();
    const joined: { recordId: string; account: string; note: Uint8Array }[] = [];
    for await (const log of chainLogs(this.#chain, filter, deployment.deployedAtBlock, head)) {
      const event = parseLedgerLog(log);
      if (event?.kind === "KeyRecorded") records.set(event.recordId, event.record);
      if (event?.kind === "OwnerAdded" && isAsked(event.owner)) joined.push({ ...event, account: event.owner });
    }
    const recorded = [...records.values()]
      .filter((record) => isAsked(record.account))
      .map((record) => ({ record, source: "chain" }));
    const owned = joined.flatMap(({ recordId, account: owner, note }) => {
      const record = records.get(recordId);
      return record === undefined ? [] : [{ record, source: "chain", laterOwner: { account: owner, note } }];
    });
    return [...recorded, ...owned];
  }
}

function toCandidate(archived: ArchivedRecord, source: string): Candidate {
  const { account, fileTag, ownershipKey, role, owner, note } = archived;
  const record: KeyRecord = {
    account,
    fileTag,
    ownershipKey,
    committeeId: BigInt(archived.committeeId),
    keyTime: BigInt(archived.keyTime),
    payload: fromHex(archived.payload),
  };
  const laterOwner = { account: owner, note: fromHex(note) };
  return role === "owner" ? { record, source, laterOwner } : { record, source };
}

function tooSlow(source: string): TallystickError {
  return new TallystickError(`${source} had not listed its records when the others had`, {
    code: "TIMED_OUT",
    party: source,
    check: "record archives",
    retryable: true,
  });
}
