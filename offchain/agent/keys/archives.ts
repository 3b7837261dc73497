/**
 * Finds key records. Any node's archive can be asked, since each record is verified against contract state before it is
 * used; the logs of the chain are the last resort. An archive that lies costs a bounded number of bytes and of chain
 * requests, and one that does not answer costs a few seconds.
 */

import { zeroPadValue } from "ethers";
import { ledgerAbi } from "../../chain/abis.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import { readHeadNumber } from "../../chain/head.ts";
import {
  hasRole,
  headerOf,
  type KeyRecord,
  type LedgerEvent,
  parseLedgerLog,
  recordIdOf,
  verifyArchivedRecord,
} from "../../chain/ledger.ts";
import { chainLogs } from "../../chain/logs.ts";
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

export interface FindOptions {
  readonly most?: number;
  /** Of a search whose result is of no use any more; it is rejected then. */
  readonly signal?: AbortSignal;
}

type FileOfAccount = RecordFilter & { readonly fileTag: string; readonly account: string };

interface Candidate {
  readonly recordId: string;
  readonly record: KeyRecord;
  readonly payload: RecordPayload;
  readonly source: string;
  /** Absent for the recorder. */
  readonly laterOwner?: { readonly account: string; readonly note: Uint8Array };
}

type Confirmed = Omit<VerifiedRecord, "shared"> & { shared: boolean; readonly ownerNotes: Map<string, Uint8Array> };

const GRACE_SECONDS = 3;
/**
 * After so many entries that are repeated, cannot be read, or are refuted by contract state, the rest of an archive's
 * entries is left out.
 */
const MAXIMUM_BAD = 16;
/** Records of one account, which nobody else can add to. */
const MAXIMUM_OF_ACCOUNT = 100_000;
/** Records that anybody can add to: those that were made first. */
const MAXIMUM_OF_ANYBODY = 16;

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
   * Records that fit the filter, from all archives together. Unless an account is asked for, strangers can add to them:
   * then they are the first 16 of each archive.
   *
   * @param most of each archive, those that were made first; all of an account's unless told
   * @returns each record once, confirmed by contract state; what is not confirmed is left out and logged. Empty when no
   *   archive knows one; `reports` tells what each archive said.
   * @throws TallystickError CHAIN_UNAVAILABLE
   */
  async find(filter: RecordFilter, { most, signal }: FindOptions = {}): Promise<ArchiveAnswer> {
    const bad = new Badness();
    const maximum = most ?? (filter.account === undefined ? MAXIMUM_OF_ANYBODY : MAXIMUM_OF_ACCOUNT);
    const answers = await this.#askAll(filter, maximum, bad, signal);
    signal?.throwIfAborted();
    const candidates = answers.flatMap((answer) => answer.candidates);
    return {
      records: await this.#confirm(candidates, filter.account, bad),
      reports: answers.map(({ report }) => report),
    };
  }

  /**
   * An account's records of a file; from the chain's logs when no archive shows one that is confirmed, which takes long
   * on an old chain. That the endpoint has dropped its logs is reported when enough archives have answered.
   */
  async findOrScan(filter: FileOfAccount): Promise<ArchiveAnswer> {
    const found = await this.find(filter);
    if (found.records.length > 0) return found;
    const report = (records: number) => ({ source: "chain", records });
    try {
      const logged = await this.#fromLogs(filter);
      return {
        records: await this.#confirm(logged, filter.account, new Badness()),
        reports: [...found.reports, report(logged.length)],
      };
    } catch (error) {
      const answered = found.reports.filter(({ error: failure }) => failure === undefined).length;
      const isGone = error instanceof TallystickError && error.code === "CHAIN_UNAVAILABLE";
      if (!isGone || answered < this.#enough) throw error;
      return { records: [], reports: [...found.reports, { ...report(0), error }] };
    }
  }

  /** Asks all archives; does not wait for the last ones once an honest one must be among those that have answered. */
  async #askAll(
    filter: RecordFilter,
    maximum: number,
    bad: Badness,
    unneeded: AbortSignal | undefined,
  ): Promise<{ candidates: Candidate[]; report: ArchiveReport }[]> {
    const patience = new AbortController();
    const signal = unneeded === undefined ? patience.signal : AbortSignal.any([unneeded, patience.signal]);
    let timer: ReturnType<typeof setTimeout> | undefined;
    let answered = 0;
    const ask = async (node: NbmClient) => {
      const answer = await this.#ask(node, filter, maximum, bad, signal);
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
    maximum: number,
    bad: Badness,
    signal: AbortSignal,
  ): Promise<{ candidates: Candidate[]; report: ArchiveReport }> {
    const candidates: Candidate[] = [];
    const seen = new Set<string>();
    const report = () => ({ source: node.name, records: candidates.length });
    try {
      for await (const archived of node.records(filter, maximum, signal)) {
        const candidate = this.#read(archived, node.name);
        const isNew = candidate !== undefined && !seen.has(candidate.recordId);
        if (!isNew && bad.count(node.name)) throw tooBad(node.name);
        if (!isNew) continue;
        seen.add(candidate.recordId);
        candidates.push(candidate);
      }
      return { candidates, report: report() };
    } catch (cause) {
      const error = signal.aborted ? tooSlow(node.name) : cause;
      if (!(error instanceof TallystickError)) throw error;
      this.#logger.debug({ node: node.url, code: error.code }, `${error.message}; asking other archives`);
      return { candidates, report: { ...report(), error } };
    }
  }

  /** An entry of an archive; undefined when its payload is none of a record. */
  #read(archived: ArchivedRecord, source: string): Candidate | undefined {
    const { account, fileTag, ownershipKey, laterOwner } = archived;
    const record: KeyRecord = {
      account,
      fileTag,
      ownershipKey,
      committeeId: BigInt(archived.committeeId),
      keyTime: BigInt(archived.keyTime),
      payload: fromHex(archived.payload),
    };
    const joined = laterOwner === null ? undefined : { account: laterOwner.account, note: fromHex(laterOwner.note) };
    return this.#candidate(record, source, joined);
  }

  #candidate(record: KeyRecord, source: string, laterOwner: Candidate["laterOwner"]): Candidate | undefined {
    const recordId = recordIdOf(headerOf(record));
    try {
      const payload = parseRecordPayload(record.payload);
      return { recordId, record, payload, source, ...(laterOwner === undefined ? {} : { laterOwner }) };
    } catch (error) {
      if (!(error instanceof TallystickError)) throw error;
      this.#logger.warn({ archive: source, recordId, code: error.code }, `${error.message}; left out`);
      return undefined;
    }
  }

  /** Holds every distinct record, and who joined it, against contract state. */
  async #confirm(
    candidates: readonly Candidate[],
    account: string | undefined,
    bad: Badness,
  ): Promise<VerifiedRecord[]> {
    const records = new Map<string, Confirmed | "refuted">();
    const owners = new Map<string, boolean>();
    const confirmed = new Set<Confirmed>();
    for (const candidate of candidates) {
      const { recordId, source, laterOwner } = candidate;
      if (bad.isFull(source)) continue;
      const found = records.get(recordId) ?? (await this.#verify(candidate));
      records.set(recordId, found);
      if (found === "refuted") {
        bad.count(source);
        continue;
      }
      // Of a record that somebody has joined, only the account that was asked for is of further interest.
      if (laterOwner !== undefined && !(account === undefined && found.shared)) {
        const owner = account ?? laterOwner.account;
        const key = `${recordId} ${owner}`;
        const isOwner = owners.get(key) ?? (await hasRole(this.#chain, recordId, owner, "owner"));
        owners.set(key, isOwner);
        if (!isOwner) bad.count(source);
        if (!isOwner && account !== undefined) continue;
        found.shared = isOwner;
        if (account !== undefined) found.ownerNotes.set(source, laterOwner.note);
      }
      confirmed.add(found);
    }
    return [...confirmed];
  }

  async #verify({ record, payload, source }: Candidate): Promise<Confirmed | "refuted"> {
    try {
      const recordId = await verifyArchivedRecord(this.#chain, record, source);
      return { recordId, record, payload, shared: false, source, ownerNotes: new Map() };
    } catch (error) {
      if (!(error instanceof TallystickError) || error.code === "CHAIN_UNAVAILABLE") throw error;
      this.#logger.warn({ archive: source, code: error.code }, `${error.message}; looking in another archive`);
      return "refuted";
    }
  }

  /** Reads what others have recorded of the file only if the account has joined one of them. */
  async #fromLogs({ fileTag, account }: FileOfAccount): Promise<Candidate[]> {
    const records = new Map<string, KeyRecord>();
    const notes = new Map<string, Uint8Array>();
    for await (const event of this.#logged([null, fileTag, zeroPadValue(account, 32)])) {
      if (event.kind === "KeyRecorded") records.set(event.recordId, event.record);
      else notes.set(event.recordId, event.note);
    }
    if (notes.size > 0) {
      const recorded = ledgerAbi().getEvent("KeyRecorded").topicHash;
      for await (const event of this.#logged([recorded, fileTag])) {
        if (event.kind === "KeyRecorded" && notes.has(event.recordId)) records.set(event.recordId, event.record);
      }
    }
    const candidates = [...records].map(([recordId, record]) => {
      const note = notes.get(recordId);
      return this.#candidate(record, "chain", note === undefined ? undefined : { account, note });
    });
    return candidates.filter((candidate) => candidate !== undefined);
  }

  async *#logged(topics: (string | null)[]): AsyncGenerator<LedgerEvent, void, undefined> {
    const { deployment } = this.#chain;
    const head = await readHeadNumber(this.#chain);
    const filter = { address: deployment.contracts.keyLedger, topics };
    for await (const log of chainLogs(this.#chain, filter, deployment.deployedAtBlock, head)) {
      const event = parseLedgerLog(log);
      if (event !== undefined) yield event;
    }
  }
}

/** How many entries of each archive were repeated, unreadable or refuted. */
class Badness {
  readonly #bad = new Map<string, number>();

  /** Counts one more. @returns whether it is enough */
  count(source: string): boolean {
    this.#bad.set(source, (this.#bad.get(source) ?? 0) + 1);
    return this.isFull(source);
  }

  isFull(source: string): boolean {
    return (this.#bad.get(source) ?? 0) >= MAXIMUM_BAD;
  }
}

function tooBad(source: string): TallystickError {
  return new TallystickError(`${source} lists records again and again, or none that can be read`, {
    code: "BAD_RESPONSE",
    party: source,
    check: "entries of the listing",
    expected: `fewer than ${MAXIMUM_BAD} such entries`,
  });
}

function tooSlow(source: string): TallystickError {
  return new TallystickError(`${source} had not listed its records when the others had`, {
    code: "TIMED_OUT",
    party: source,
    check: "record archives",
    retryable: true,
  });
}
