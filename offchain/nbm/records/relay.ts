/**
 * Relays signed ledger entries: the user signs, the node pays the gas. Everything that can be checked is checked before
 * sending, since a reverted transaction costs the node and not the user. Requests are idempotent, at this node and at
 * others: an entry that is on chain already is answered with its place and not sent again.
 *
 * Only what the key of an account signed is relayed. The ledger asks a contract wallet's code about a signature, with
 * up to 500,000 gas of the sender, and that code may answer a simulation otherwise than a transaction.
 */

import { keccak_256 } from "@noble/hashes/sha3.js";
import { formatUnits, parseUnits } from "ethers";
import type { ContractCall } from "../../chain/contract-call.ts";
import type { ChainReader } from "../../chain/deployment.ts";
import {
  addOwnerCall,
  headerOf,
  isOwner,
  type KeyRecord,
  type OwnerAddition,
  type RecordHeader,
  readRecordedAt,
  recordCall,
  recordIdOf,
  type SignedRecord,
} from "../../chain/ledger.ts";
import { ChainRevertedError, readChain } from "../../chain/revert.ts";
import type { TransactionSender } from "../../chain/sender.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { IntegrityError, InvalidInputError, InvalidSignatureError, TallystickError } from "../../core/errors.ts";
import {
  addOwnerTypedData,
  keyRecordTypedData,
  ownershipTypedData,
  type TypedData,
} from "../../core/identity/typed-messages.ts";
import { parseRecordPayload } from "../../core/record/key-record.ts";
import type { RelayAnswer, RelayOwnerRequest, RelayRecordRequest } from "../../core/wire/nbm.ts";
import { checksumAddress, recoverSigner } from "../../daemon/account-signature.ts";
import { requireSessionAccount } from "../../daemon/sessions.ts";
import type { Memberships } from "../generations/memberships.ts";
import type { Archive } from "./archive.ts";
import type { ArchiveFollower } from "./archive-follower.ts";
import type { ShareService } from "./key-share-service.ts";
import type { RelayBudget } from "./relay-budget.ts";

export interface RelayOptions {
  readonly chain: ChainReader;
  readonly sender: TransactionSender;
  readonly archive: Archive;
  readonly follower: ArchiveFollower;
  readonly shares: ShareService;
  readonly memberships: Memberships;
  readonly budget: RelayBudget;
  /** The highest gas price at which this node relays, in gwei. */
  readonly maximumFeeGwei: number;
  /** Unix seconds; the system's clock unless told. */
  readonly now?: () => number;
}

const UINT64_LIMIT = 1n << 64n;
/** A signature that expires before its transaction is mined reverts it, so it must be valid for this long. */
const MINIMUM_VALIDITY_SECONDS = 300;
/** After this time the gas price may be another. */
const FEE_RETRY_SECONDS = 60;

function uint64(text: string, name: string): bigint {
  const value = BigInt(text);
  if (value >= UINT64_LIMIT) throw new InvalidInputError(`${name} does not fit 64 bits`, { check: name });
  return value;
}

/** @throws InvalidSignatureError when it is not an ECDSA signature of the account */
function requireKeySignature(account: string, typed: TypedData<object>, signature: string): void {
  if (recoverSigner(typed, signature) === account) return;
  throw new InvalidSignatureError("the signature is not by the key of the account", {
    party: `account ${account}`,
    check: "EIP-712 signature",
    hint: "nodes pay for no code of their users: a contract wallet sends its signed entries to the ledger itself",
  });
}

type Place = Omit<RelayAnswer, "recordId">;

export class Relay {
  readonly #options: RelayOptions;
  readonly #now: () => number;
  /** Requests under way by what they would put on chain: a repeated request joins the first. */
  readonly #underWay = new Map<string, Promise<Place>>();

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => Math.floor(Date.now() / 1000));
  }

  /**
   * Puts a user's record on the ledger.
   *
   * @param account who opened the session: users and delegates relay their own records.
   * @param payer whose budget it is: the account itself, or the one that it is a delegate of
   * @throws TallystickError NOT_OWNER, NOT_FOUND (committee), INVALID_SIGNATURE, INTEGRITY (this node's share),
   *   RATE_LIMITED, CHAIN_REVERTED.
   */
  async record(account: string, request: RelayRecordRequest, payer: string = account): Promise<RelayAnswer> {
    const { chain, shares, archive } = this.#options;
    const signed = this.#parseRecord(request);
    const { record, deadline, signature } = signed;
    requireSessionAccount(account, record.account, "entry");
    await this.#requireCommittee(record.committeeId);
    const header = headerOf(record);
    const recordId = recordIdOf(header);

    const done = async () => (await readRecordedAt(chain, recordId)) !== undefined;
    const find = () => archive.find(recordId);
    const check = async () => {
      this.#requireTime(deadline);
      parseRecordPayload(record.payload);
      const typed = keyRecordTypedData(BigInt(chain.deployment.chainId), chain.deployment.contracts.keyLedger, {
        ...header,
        deadline,
      });
      requireKeySignature(record.account, typed, signature);
      if ((await shares.judge(record)) === "invalid") {
        throw new IntegrityError("what is sealed to this node or its committee does not fit the record", {
          party: `account ${account}`,
          check: "sealed key or share",
          hint: "seal the key to the committee's record key, or its shares to the members of now, and sign again",
        });
      }
    };
    const call = recordCall(chain.deployment, signed);
    return { recordId, ...(await this.#once(recordId, payer, { done, find, check, call })) };
  }

  /**
   * Adds a later owner to a record on the ledger.
   *
   * @param account who opened the session: users and delegates add themselves.
   * @param payer as for `record`
   * @throws TallystickError NOT_OWNER, NOT_FOUND (the ledger has no such record), INVALID_SIGNATURE, RATE_LIMITED,
   *   CHAIN_REVERTED; InvalidInputError when header and record id differ.
   */
  async owner(
    account: string,
    recordId: string,
    request: RelayOwnerRequest,
    payer: string = account,
  ): Promise<RelayAnswer> {
    const { chain, archive } = this.#options;
    const addition = this.#parseAddition(request);
    const { header, owner, deadline } = addition;
    requireSessionAccount(account, owner, "entry");
    await this.#requireCommittee(header.committeeId);
    if (recordIdOf(header) !== recordId) {
      throw new InvalidInputError("the header is of another record", { check: "record id", expected: recordId });
    }
    const done = () => isOwner(chain, header, owner);
    const find = () => (owner === header.account ? archive.find(recordId) : archive.findOwner(recordId, owner));
    const check = async () => {
      this.#requireTime(deadline);
      if ((await readRecordedAt(chain, recordId)) === undefined) throw unknownRecord(header, recordId);
      await this.#checkAddition(recordId, addition);
    };
    const call = addOwnerCall(chain.deployment, addition);
    return { recordId, ...(await this.#once(`${recordId} ${owner}`, payer, { done, find, check, call })) };
  }

  /** Sends a call unless its entry is on chain already. @returns the place of the entry on the chain */
  #once(
    key: string,
    payer: string,
    work: {
      done: () => Promise<boolean>;
      find: () => Place | undefined;
      check: () => Promise<void>;
      call: ContractCall;
    },
  ): Promise<Place> {
    const running = this.#underWay.get(key);
    if (running !== undefined) return running;
    const place = (async () => {
      if (!(await work.done())) {
        await work.check();
        await this.#requireFee();
        this.#options.budget.take(payer);
        try {
          const receipt = await this.#options.sender.send(work.call, undefined, { maximumFeePerGas: this.#feeCap() });
          return { transactionHash: receipt.hash, blockNumber: receipt.blockNumber };
        } catch (cause) {
          // The price rose after it was read, or the base fee is above the cap.
          if (isFeeAboveCap(cause)) throw this.#tooDear(cause.received, {}, cause);
          // Another node, or this one before it was killed, may have sent the same: then it is done.
          if (!(cause instanceof ChainRevertedError) || !(await work.done())) throw cause;
        }
      }
      return this.#locate(work.find);
    })().finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, place);
    return place;
  }

  async #locate(find: () => Place | undefined): Promise<Place> {
    if (find() === undefined) await this.#options.follower.refresh();
    const found = find();
    if (found === undefined) {
      throw new TallystickError("the entry is on the ledger, but not yet in this archive", {
        code: "CHAIN_UNAVAILABLE",
        party: "chain",
        check: "archive",
        retryable: true,
      });
    }
    return { transactionHash: found.transactionHash, blockNumber: found.blockNumber };
  }

  /** @throws TallystickError RATE_LIMITED with the price while gas costs more than this node pays. */
  async #requireFee(): Promise<void> {
    const { chain } = this.#options;
    const { gasPrice } = await readChain("reading the gas price", () => chain.provider.getFeeData());
    if (gasPrice === null || gasPrice <= this.#feeCap()) return;
    throw this.#tooDear(`${formatUnits(gasPrice, "gwei")} gwei`, { gasPriceWei: String(gasPrice) });
  }

  #tooDear(price: string | undefined, known: { gasPriceWei?: string }, cause?: unknown): TallystickError {
    const { maximumFeeGwei } = this.#options;
    return new TallystickError("gas costs more than this node pays for relaying", {
      code: "RATE_LIMITED",
      party: "chain",
      check: "relay fee cap",
      expected: `at most ${maximumFeeGwei} gwei per unit of gas`,
      received: price ?? "more",
      hint: "wait until the price has fallen, ask another node, or send the signed record to the ledger yourself",
      retryable: true,
      retryAfterSeconds: FEE_RETRY_SECONDS,
      details: { ...known, maximumFeeGwei },
      cause,
    });
  }

  /** Wei per unit of gas. */
  #feeCap(): bigint {
    return parseUnits(String(this.#options.maximumFeeGwei), "gwei");
  }

  async #requireCommittee(committeeId: bigint): Promise<void> {
    if ((await this.#options.memberships.indicesIn(committeeId)).length > 0) return;
    throw new TallystickError(`this node is no member of committee ${committeeId}`, {
      code: "NOT_FOUND",
      check: "committee",
      hint: "ask a member of the committee to relay",
    });
  }

  #requireTime(deadline: bigint): void {
    const earliest = BigInt(this.#now() + MINIMUM_VALIDITY_SECONDS);
    if (deadline >= earliest) return;
    throw new InvalidSignatureError("the signature expires before its transaction is sure to be mined", {
      party: "client",
      check: "deadline",
      expected: `${earliest} (unix seconds) or later`,
      received: String(deadline),
      hint: `sign again with a deadline at least ${MINIMUM_VALIDITY_SECONDS} seconds ahead, and check the clock`,
    });
  }

  async #checkAddition(recordId: string, addition: OwnerAddition): Promise<void> {
    const { chain } = this.#options;
    const { header, owner, note, deadline, ownershipSignature, ownerSignature } = addition;
    const chainId = BigInt(chain.deployment.chainId);
    const ledger = chain.deployment.contracts.keyLedger;
    const ownership = ownershipTypedData(chainId, ledger, { recordId, owner });
    if (recoverSigner(ownership, ownershipSignature) !== header.ownershipKey) {
      throw new InvalidSignatureError("the ownership signature is not by the file's ownership key", {
        party: `account ${owner}`,
        check: "ownership signature",
        hint: "only somebody who has the file can make it",
      });
    }
    const noteHash = toHex(keccak_256(note));
    const typed = addOwnerTypedData(chainId, ledger, { recordId, owner, noteHash, deadline });
    requireKeySignature(owner, typed, ownerSignature);
  }

  #parseRecord({ record, deadline, signature }: RelayRecordRequest): SignedRecord {
    const parsed: KeyRecord = {
      account: checksumAddress(record.account, "account"),
      fileTag: record.fileTag,
      committeeId: uint64(record.committeeId, "committeeId"),
      keyTime: uint64(record.keyTime, "keyTime"),
      ownershipKey: checksumAddress(record.ownershipKey, "ownershipKey"),
      payload: fromHex(record.payload),
    };
    return { record: parsed, deadline: uint64(deadline, "deadline"), signature };
  }

  #parseAddition({
    header,
    owner,
    note,
    deadline,
    ownershipSignature,
    ownerSignature,
  }: RelayOwnerRequest): OwnerAddition {
    const parsed: RecordHeader = {
      account: checksumAddress(header.account, "account"),
      fileTag: header.fileTag,
      committeeId: uint64(header.committeeId, "committeeId"),
      keyTime: uint64(header.keyTime, "keyTime"),
      ownershipKey: checksumAddress(header.ownershipKey, "ownershipKey"),
      payloadHash: header.payloadHash,
    };
    return {
      header: parsed,
      owner: checksumAddress(owner, "owner"),
      note: fromHex(note),
      deadline: uint64(deadline, "deadline"),
      ownershipSignature,
      ownerSignature,
    };
  }
}

/** The contract would refuse the addition, at this node's cost. */
function unknownRecord({ account }: RecordHeader, recordId: string): TallystickError {
  return new TallystickError(`the ledger has no record ${recordId}`, {
    code: "NOT_FOUND",
    party: `account ${account}`,
    check: "record",
    hint: "join a record that the ledger has",
  });
}

/** A refusal by the sender, before anything was sent. */
function isFeeAboveCap(cause: unknown): cause is TallystickError {
  return cause instanceof TallystickError && cause.code === "FUNDS" && cause.check === "fee cap";
}
