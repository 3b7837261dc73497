/**
 * Gives the node's decryption share of a sealed secret to whom the secret's policy allows. Checks come in the order of
 * what they cost; the policy is foreign code and comes last, in the state of a confirmed block of the node's own
 * endpoint. The receipt is on disk before the share leaves.
 *
 * The label need not be on the chain: the proof in the sealed bytes shows that whoever made them meant this label, so
 * under another policy or author they do not pass, and a stranger can only have opened what it sealed itself.
 */

import { keccak256 } from "ethers";
import type { ChainReader } from "../../chain/deployment.ts";
import { ledgerScope } from "../../chain/ledger.ts";
import { type ConfirmedBlock, confirmedBlock, requireRecent, requireRelease } from "../../chain/release-policy.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import {
  type ReleaseReceiptMessage,
  releaseRequestTypedData,
  type TypedData,
} from "../../core/identity/typed-messages.ts";
import { decryptionShare } from "../../core/sealed-secrets/decryption-share.ts";
import type { SecretLabel } from "../../core/sealed-secrets/label.ts";
import { releaseReceipt } from "../../core/sealed-secrets/release-receipt.ts";
import { type CheckedSecret, checkSealed } from "../../core/sealed-secrets/sealed-secret.ts";
import { sealShareReply } from "../../core/sealed-secrets/share-reply.ts";
import {
  MAXIMUM_RELEASE_REQUEST_SECONDS,
  type ReleaseAnswer,
  type ReleaseRequestBody,
} from "../../core/wire/release.ts";
import { checksumAddress, type SignatureCheck } from "../../daemon/account-signature.ts";
import { checkExpiry } from "../../daemon/request-time.ts";
import { requireSessionAccount } from "../../daemon/sessions.ts";
import { PolicyQuestions } from "./policy-questions.ts";
import type { RecordKeyShare } from "./record-key-share.ts";
import type { ReleaseReceipt, ReleaseReceipts } from "./release-receipts.ts";

export interface ReleaseServiceOptions {
  readonly chain: ChainReader;
  readonly checkSignature: SignatureCheck;
  /** Operator account of this node. */
  readonly operator: string;
  /** @returns undefined when the node has no share of this generation; what it returns is erased here */
  readonly shareOf: (committeeId: bigint, generation: number) => RecordKeyShare | undefined;
  readonly receipts: ReleaseReceipts;
  /** Takes one request from an account's budget. @throws TallystickError RATE_LIMITED */
  readonly charge: (account: string) => void;
  /** Signs with the operator key, 0x hex. */
  readonly sign: (typed: TypedData<ReleaseReceiptMessage>) => string;
  /** Blocks that must be on the state that a policy answers from, its own included. */
  readonly confirmations: number;
  /** The oldest that this state may be. */
  readonly maximumAgeSeconds: number;
  /** Unix seconds; the system's clock unless told. */
  readonly now?: () => number;
}

export class ReleaseService {
  readonly #options: ReleaseServiceOptions;
  readonly #now: () => number;
  /** Of the deployment's own policies, whose cost is known. */
  readonly #own = new PolicyQuestions({ concurrency: 4, perAccount: 16, inAll: 256 });
  /** Each may use its whole cap of gas, and anybody may deploy one. */
  readonly #foreign = new PolicyQuestions({ concurrency: 4, perAccount: 2, inAll: 32 });

  constructor(options: ReleaseServiceOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => Math.floor(Date.now() / 1000));
  }

  /**
   * Answers a signed release request.
   *
   * @param sessionAccount who opened the session: users and delegates ask for themselves
   * @param payer whose budget it is: the same, or the account that it is a delegate of
   * @throws TallystickError NOT_OWNER when the request is of another account; RATE_LIMITED when the account has no
   *   budget left
   * @throws InvalidSignatureError when it is expired, or not signed by the account for this node and this secret;
   *   NotReleasedError when the policy does not allow it; TallystickError INTEGRITY, INVALID_PROOF or INVALID_POINT for
   *   bytes that were not sealed under this label, NOT_FOUND without a key share of this generation, RATE_LIMITED
   *   when too many requests wait for their policies, CHAIN_UNAVAILABLE
   */
  async release(
    sessionAccount: string,
    request: ReleaseRequestBody,
    payer: string = sessionAccount,
  ): Promise<ReleaseAnswer> {
    const account = checksumAddress(request.account, "account");
    requireSessionAccount(sessionAccount, account, "release request");
    checkExpiry("the release request", {
      expiresAt: request.expiresAt,
      now: this.#now(),
      maximumSeconds: MAXIMUM_RELEASE_REQUEST_SECONDS,
    });
    const held = this.#options.shareOf(BigInt(request.committeeId), request.generation);
    if (held === undefined) throw noShare(request);
    try {
      const label = this.#labelOf(request);
      const secret = checkSealed(held.keys.groupPublicKey, label, fromHex(request.secret));
      await this.#checkSignature(account, secret, request);
      const block = await this.#requireRelease(account, label, request, payer);
      const share = decryptionShare(secret, held.keys, held.index, held.keyShare);
      const sealed = await sealShareReply(secret, account, fromHex(request.sessionKey), share);
      share.fill(0);
      const { blockNumber, blockHash, releasedAt, receiptSignature } = this.#keepReceipt(
        account,
        label,
        secret,
        request,
        block,
      );
      const receipt = { blockNumber, blockHash, releasedAt, signature: receiptSignature };
      return { index: held.index, sealed: toHex(sealed), receipt };
    } finally {
      held.keyShare.fill(0);
    }
  }

  #labelOf({ recordId, version, author, policy, policyData }: ReleaseRequestBody): SecretLabel {
    return {
      ledger: ledgerScope(this.#options.chain.deployment),
      recordId: fromHex(recordId),
      version,
      author: checksumAddress(author, "author"),
      policy: checksumAddress(policy, "policy"),
      policyDataHash: fromHex(keccak256(policyData)),
    };
  }

  async #checkSignature(
    account: string,
    { name }: CheckedSecret,
    { sessionKey, expiresAt, signature }: ReleaseRequestBody,
  ): Promise<void> {
    const { chain, checkSignature, operator } = this.#options;
    const { chainId, keyLedger } = ledgerScope(chain.deployment);
    const message = { secret: toHex(name), account, sessionKey, node: operator, expiresAt: BigInt(expiresAt) };
    await checkSignature(account, releaseRequestTypedData(chainId, keyLedger, message), signature, "session");
  }

  /** Asks the policy. @returns the block in whose state it allowed the release */
  async #requireRelease(
    account: string,
    label: SecretLabel,
    { sessionKey, policyData, evidence }: ReleaseRequestBody,
    payer: string,
  ): Promise<ConfirmedBlock> {
    const { chain, confirmations, maximumAgeSeconds } = this.#options;
    const question = {
      label,
      policyData: fromHex(policyData),
      requester: account,
      sessionKey: fromHex(sessionKey),
      evidence: fromHex(evidence),
    };
    const questions = this.#entryOf(label) === undefined ? this.#foreign : this.#own;
    return await questions.run(payer, async () => {
      this.#options.charge(payer);
      const confirmed = await confirmedBlock(chain, confirmations);
      requireRecent(confirmed, maximumAgeSeconds, this.#now());
      await requireRelease(chain, question, confirmed);
      return confirmed;
    });
  }

  /**
   * What must be on the chain for a release: an owner of the record, whichever bytes are sealed under its id; or a
   * request about this very label. Undefined under policies of others, of which nothing is known.
   */
  #entryOf({ recordId, version, author, policy, policyDataHash }: SecretLabel): string | undefined {
    const { ownersPolicy, recoveryPolicy } = this.#options.chain.deployment.contracts;
    if (isAddressEqual(policy, ownersPolicy)) return `record ${toHex(recordId)}`;
    if (!isAddressEqual(policy, recoveryPolicy)) return undefined;
    return `request ${toHex(recordId)} ${version} ${author} ${toHex(policyDataHash)}`;
  }

  /** Keeps the receipt of a release, signed. @returns the earlier one when the request is soon repeated */
  #keepReceipt(
    account: string,
    label: SecretLabel,
    secret: CheckedSecret,
    { sessionKey, expiresAt, signature, policyData, evidence }: ReleaseRequestBody,
    block: ConfirmedBlock,
  ): ReleaseReceipt {
    const { receipts, sign } = this.#options;
    const { version, author, policy } = label;
    const released = {
      secret: toHex(secret.name),
      ...{ recordId: toHex(label.recordId), version, author, policy, policyData, evidence, account, sessionKey },
      ...{ blockNumber: block.number, blockHash: block.hash, releasedAt: this.#now() },
    };
    const receiptSignature = sign(releaseReceipt(label, released));
    const entry = this.#entryOf(label);
    return receipts.keep({
      ...(entry === undefined ? {} : { entry }),
      ...released,
      ...{ expiresAt, signature, receiptSignature },
    });
  }
}

function noShare({ committeeId, generation }: ReleaseRequestBody): TallystickError {
  return new TallystickError(`this node has no record key share of committee ${committeeId}`, {
    code: "NOT_FOUND",
    check: "record key share",
    received: `committee ${committeeId}, generation ${generation}`,
    hint: "ask for the current generation of the committee",
    // Members notice a little later than the chain that a generation is active.
    retryable: true,
  });
}
