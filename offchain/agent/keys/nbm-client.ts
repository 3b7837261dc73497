/**
 * One NBM node, as the agent speaks to it: the routes of `core/wire/nbm.ts` with bytes in place of hexadecimal text.
 */

import { toKeys } from "../../chain/registry.ts";
import type { GenerationId } from "../../core/committee/key-id.ts";
import type { PerKey, PublicKeys } from "../../core/committee/run.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import {
  EvaluateAnswer,
  KeyMaterialAnswer,
  MAXIMUM_PAGE,
  MAXIMUM_PAGE_BYTES,
  MAXIMUM_PAYLOAD_BYTES,
  NodeAnswer,
  RecordAnswer,
  RecordsAnswer,
  RelayAnswer,
  type RelayOwnerRequest,
  type RelayRecordRequest,
  ShareAnswer,
  ShareDeliveryAnswer,
  type ShareDeliveryBody,
  type ShareRequestBody,
} from "../../core/wire/nbm.ts";
import { ReleaseAnswer, type ReleaseRequestBody } from "../../core/wire/release.ts";
import { parseAnswer } from "../../core/wire/schema.ts";
import { parseJson } from "../../http/bounded-body.ts";
import { HttpParty, type PartyOptions } from "../../http/client.ts";
import type { SessionTokens } from "../../http/sessions.ts";

/** Relaying waits for a block to be mined. */
const RELAY_DEADLINE_SECONDS = 180;
/** An evaluation, or a share, that takes longer is asked of another node. */
const EVALUATE_DEADLINE_SECONDS = 20;
/** What one archive may send for one listing: enough for 100,000 records of the usual size. */
const MAXIMUM_LISTED_BYTES = 256 * 1024 * 1024;
const MAXIMUM_LISTED_PAGES = 500;
/** As JSON: payloads as hexadecimal text, the last one at full length, and less than 1 KiB around each record. */
const MAXIMUM_PAGE_ANSWER_BYTES = 2 * (MAXIMUM_PAGE_BYTES + MAXIMUM_PAYLOAD_BYTES) + MAXIMUM_PAGE * 1024;
/** 510 shares of 32 bytes as text, and what is around them. */
const MAXIMUM_KEY_MATERIAL_BYTES = 64 * 1024;

export interface Evaluation {
  readonly index: number;
  readonly evaluated: Uint8Array[];
  /** Batched DLEQ proof, 64 bytes. */
  readonly proof: Uint8Array;
  /** By the node's operator key over the composites and the proof, 65 bytes, 0x hex. */
  readonly signature: string;
}

/** A node's part in a release. */
export interface ReleaseGrant {
  readonly index: number;
  /** The decryption share, sealed to the session key of the request. */
  readonly sealed: Uint8Array;
  readonly receipt: ReleaseAnswer["receipt"];
}

export type ArchivedRecord = RecordsAnswer["records"][number];

/** Records that fit all that is given. An account's are those that it made or joined. */
export interface RecordFilter {
  /** 32 bytes, 0x hex. */
  readonly fileTag?: string;
  readonly account?: string;
  readonly ownershipKey?: string;
  readonly committeeId?: bigint;
}

export class NbmClient {
  readonly url: string;
  /** Account the node is registered under: the audience of sessions and share requests. */
  readonly operator: string;
  readonly #party: HttpParty;
  readonly #sessions: SessionTokens;

  constructor(url: string, operator: string, sessions: SessionTokens, http: PartyOptions = {}) {
    this.url = url;
    this.operator = operator;
    this.#party = new HttpParty("node", url, http);
    this.#sessions = sessions;
  }

  /** How errors name it. */
  get name(): string {
    return this.#party.name;
  }

  async node(): Promise<NodeAnswer> {
    return await this.#party.json("GET", "/v1/node", NodeAnswer, { retries: 0 });
  }

  /** Evaluates blinded elements with the node's key share. Not retried: the caller has other nodes. */
  async evaluate(key: GenerationId, blinded: readonly Uint8Array[], signal?: AbortSignal): Promise<Evaluation> {
    const { committeeId, generation } = key;
    const json = { committeeId: committeeId.toString(), generation, blinded: blinded.map(toHex) };
    const answer = await this.#sessions.with(this.#party, this.operator, (token) =>
      this.#party.json("POST", "/v1/oprf/evaluate", EvaluateAnswer, {
        json,
        token,
        signal,
        retries: 0,
        deadlineSeconds: EVALUATE_DEADLINE_SECONDS,
      }),
    );
    const { index, evaluated, proof, signature } = answer;
    return { index, evaluated: evaluated.map((e) => fromHex(e)), proof: fromHex(proof), signature };
  }

  /** Has a signed record put on chain; resolves when it is mined. Not retried: the caller looks at the chain first. */
  async relayRecord(request: RelayRecordRequest, signal?: AbortSignal): Promise<RelayAnswer> {
    return await this.#relay("/v1/records", request, signal);
  }

  /** Has a later owner added on chain; resolves when it is mined. */
  async relayOwner(recordId: string, request: RelayOwnerRequest, signal?: AbortSignal): Promise<RelayAnswer> {
    return await this.#relay(`/v1/records/${recordId}/owners`, request, signal);
  }

  async #relay(path: string, json: unknown, signal?: AbortSignal): Promise<RelayAnswer> {
    return await this.#sessions.with(this.#party, this.operator, (token) =>
      this.#party.json("POST", path, RelayAnswer, {
        json,
        token,
        signal,
        retries: 0,
        deadlineSeconds: RELAY_DEADLINE_SECONDS,
      }),
    );
  }

  /** A record of the node's archive. @throws TallystickError NOT_FOUND */
  async record(recordId: string): Promise<RecordAnswer> {
    return await this.#party.json("GET", `/v1/records/${recordId}`, RecordAnswer, { retries: 0 });
  }

  /**
   * Archived records that fit the filter, page by page, in the order in which the node saw them.
   *
   * @param maximum how many are of interest: the first ones
   * @throws TallystickError BAD_RESPONSE when the node lists others, or does not come to an end
   */
  async *records(
    filter: RecordFilter,
    maximum: number,
    signal?: AbortSignal,
  ): AsyncGenerator<ArchivedRecord, void, undefined> {
    const { committeeId, ...rest } = filter;
    const asked = { ...rest, ...(committeeId === undefined ? {} : { committeeId: committeeId.toString() }) };
    let after: string | undefined;
    let bytesLeft = MAXIMUM_LISTED_BYTES;
    let left = maximum;
    for (let pages = 1; left > 0; pages += 1) {
      const limit = Math.min(left, MAXIMUM_PAGE);
      const options = { query: { ...asked, after, limit }, retries: 1, signal };
      const bytes = await this.#party.bytes("/v1/records", Math.min(bytesLeft, MAXIMUM_PAGE_ANSWER_BYTES), options);
      const { records, next } = parseAnswer(RecordsAnswer, parseJson(bytes, this.name), this.name);
      if (records.length > limit) throw badListing(this.name, "length of a page", `${records.length} of ${limit}`);
      for (const record of records) {
        if (!fits(filter, record)) throw badListing(this.name, "records asked for", "a record that was not asked for");
        yield record;
      }
      if (next === null) return;
      bytesLeft -= bytes.length;
      left -= records.length;
      if (records.length === 0 || pages === MAXIMUM_LISTED_PAGES || bytesLeft <= 0) {
        throw badListing(this.name, "end of the listing", `${pages} pages, and more`);
      }
      after = next;
    }
  }

  /** Key material of a generation by its hash, which the caller checks. @throws TallystickError NOT_FOUND */
  async keyMaterial(hash: string, signal?: AbortSignal): Promise<PerKey<PublicKeys>> {
    const options = { retries: 0, signal };
    const bytes = await this.#party.bytes(`/v1/key-material/${hash}`, MAXIMUM_KEY_MATERIAL_BYTES, options);
    return toKeys(parseAnswer(KeyMaterialAnswer, parseJson(bytes, this.name), this.name));
  }

  /**
   * The node's share of a record, sealed to the session key of the request. Not retried: the caller has other nodes.
   */
  async share(
    recordId: string,
    json: ShareRequestBody,
    signal?: AbortSignal,
  ): Promise<{ index: number; sealed: Uint8Array }> {
    const answer = await this.#party.json("POST", `/v1/records/${recordId}/share`, ShareAnswer, {
      json,
      signal,
      retries: 0,
      deadlineSeconds: EVALUATE_DEADLINE_SECONDS,
    });
    return { index: answer.index, sealed: fromHex(answer.sealed) };
  }

  /**
   * Gives the node the share of a record that it is to hold; resolves when the share is on its disk. Not retried: the
   * next read of the record does it again.
   */
  async deliver(recordId: string, json: ShareDeliveryBody, signal?: AbortSignal): Promise<ShareDeliveryAnswer> {
    return await this.#party.json("POST", `/v1/records/${recordId}/delivery`, ShareDeliveryAnswer, {
      json,
      signal,
      retries: 0,
      deadlineSeconds: EVALUATE_DEADLINE_SECONDS,
    });
  }

  /** The node's part in the release of a sealed secret. Not retried: the caller has other nodes. */
  async release(json: ReleaseRequestBody, signal?: AbortSignal): Promise<ReleaseGrant> {
    const { index, sealed, receipt } = await this.#sessions.with(this.#party, this.operator, (token) =>
      this.#party.json("POST", "/v1/releases", ReleaseAnswer, {
        json,
        token,
        signal,
        retries: 0,
        deadlineSeconds: EVALUATE_DEADLINE_SECONDS,
      }),
    );
    return { index, sealed: fromHex(sealed), receipt };
  }
}

function fits({ fileTag, account, ownershipKey, committeeId }: RecordFilter, record: ArchivedRecord): boolean {
  return (
    (fileTag === undefined || record.fileTag === fileTag) &&
    (account === undefined || isAddressEqual(record.laterOwner?.account ?? record.account, account)) &&
    (ownershipKey === undefined || isAddressEqual(record.ownershipKey, ownershipKey)) &&
    (committeeId === undefined || record.committeeId === committeeId.toString())
  );
}

function badListing(party: string, check: string, received: string): TallystickError {
  return new TallystickError(`${party} lists records outside the protocol`, {
    code: "BAD_RESPONSE",
    party,
    check,
    received,
  });
}
