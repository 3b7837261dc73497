/** What an account can do about key nodes that signed wrong answers: challenge them, and take what it won. */

import { quoteFee } from "../../chain/fee-limit.ts";
import {
  type ChallengeOutcome,
  challengeNodeCall,
  challengeOutcome,
  type DisputeTerms,
  isJudged,
  isRightOnChain,
  keysOfAnswer,
  readDisputeTerms,
  readOwed,
  withdrawOwedCall,
} from "../../chain/oprf-disputes.ts";
import { type Committee, readNode } from "../../chain/registry.ts";
import { readChain } from "../../chain/revert.ts";
import type { PerKey, PublicKeys } from "../../core/committee/run.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { type AnswerEvidence, parseAnswerEvidence } from "../../core/oprf/signed-answer.ts";
import type { AgentContext } from "../context.ts";
import { type SendOptions, type SentTransaction, sendWithin } from "../data-sets/sending.ts";
import { isSignedByNode } from "./wrong-answers.ts";

/** What a challenge would cost now, and what it would bring. */
export interface ChallengeQuote {
  readonly operator: string;
  /** Comes back when the answer is wrong, in wei. */
  readonly bondWei: bigint;
  /** What the node would lose. */
  readonly stakeWei: bigint;
  /** What of it goes to `account`; the rest is burnt. */
  readonly rewardWei: bigint;
  /** Who was answered wrongly. */
  readonly account: string;
  /** At most, of the transaction. */
  readonly gas: bigint;
  /** What so much gas costs now, in wei. */
  readonly gasFee: bigint;
}

export interface ChallengeReceipt extends SentTransaction, ChallengeOutcome {
  readonly bondWei: bigint;
}

interface Checked {
  readonly terms: DisputeTerms;
  /** Of the generation that answered. */
  readonly keys: PerKey<PublicKeys>;
  readonly stakeWei: bigint;
}

export class KeyNodes {
  readonly #context: AgentContext;

  constructor(context: AgentContext) {
    this.#context = context;
  }

  /** Operators of nodes of whose wrong answers this device keeps evidence. @throws DiskFailedError */
  accused(): string[] {
    return this.#context.platform.wrongAnswers?.operators() ?? [];
  }

  /** The evidence that this device keeps against a node. @throws TallystickError NOT_FOUND; InvalidInputError */
  evidenceAgainst(operator: string): AnswerEvidence {
    const kept = this.#context.platform.wrongAnswers?.read(operator);
    if (kept !== undefined) return parseAnswerEvidence(kept);
    const accused = this.accused();
    throw new TallystickError(`no wrong answer of node ${operator} is kept here`, {
      code: "NOT_FOUND",
      party: "you",
      check: "evidence against the node",
      ...(accused.length === 0 ? {} : { expected: accused.join(" or ") }),
      received: operator,
      hint: "only an answer that this device found wrong can be named so; evidence of others is named as a file",
    });
  }

  /** What a challenge would cost. @throws as `challenge`, before anything is sent */
  async quoteChallenge(evidence: AnswerEvidence): Promise<ChallengeQuote> {
    const { terms, stakeWei, keys } = await this.#check(evidence);
    const call = challengeNodeCall(terms, evidence, evidence.signature, keys);
    const fee = await quoteFee(await this.#context.chain(), call, this.#context.account.address);
    const { operator, account } = evidence;
    const rewardWei = (stakeWei * terms.rewardPercent) / 100n;
    return { operator, account, bondWei: terms.bondWei, stakeWei, rewardWei, ...fee };
  }

  /**
   * Challenges a node with an answer that it signed. Checked here first: a challenge that the chain would decide for
   * the node is not sent.
   *
   * @throws InvalidInputError when the answer is of another network, not signed by the node, or right; TallystickError
   *   CONFLICT when it was judged before or the node has left; FUNDS; ChainRevertedError
   */
  async challenge(evidence: AnswerEvidence, options: SendOptions = {}): Promise<ChallengeReceipt> {
    const { terms, keys } = await this.#check(evidence);
    const call = challengeNodeCall(terms, evidence, evidence.signature, keys);
    const sent = await sendWithin(this.#context, call, options);
    const chain = await this.#context.chain();
    const receipt = await readChain("reading the outcome of a challenge", () =>
      chain.provider.getTransactionReceipt(sent.transactionHash),
    );
    if (receipt === null) {
      throw new TallystickError("the challenge was mined and then replaced by a reorganisation of the chain", {
        code: "CHAIN_UNAVAILABLE",
        party: "chain",
        check: "receipt of the challenge",
        hint: "run the command again",
        retryable: true,
      });
    }
    return { ...sent, ...challengeOutcome(terms, receipt), bondWei: terms.bondWei };
  }

  /** What disputes have left to the account, in wei. */
  async owed(): Promise<bigint> {
    const chain = await this.#context.chain();
    return await readOwed(chain, await readDisputeTerms(chain), this.#context.account.address);
  }

  /** Withdraws it. @param to who receives it; the account unless given @throws ChainRevertedError when it is nothing */
  async collect(to: string = this.#context.account.address, options: SendOptions = {}): Promise<SentTransaction> {
    const terms = await readDisputeTerms(await this.#context.chain());
    return await sendWithin(this.#context, withdrawOwedCall(terms, to), options);
  }

  async #check(evidence: AnswerEvidence): Promise<Checked> {
    const { chainId, contracts } = this.#context.deployment;
    const { operator } = evidence;
    if (evidence.chainId !== chainId || !isAddressEqual(evidence.nodeRegistry, contracts.nodeRegistry)) {
      throw refused("the evidence is from another network", "network of the evidence", {
        expected: `chain ${chainId}, registry ${contracts.nodeRegistry}`,
        received: `chain ${evidence.chainId}, registry ${evidence.nodeRegistry}`,
      });
    }
    if (!isSignedByNode(evidence)) {
      throw refused("the answer is not signed by the node", "signature of the answer", { expected: `by ${operator}` });
    }
    const chain = await this.#context.chain();
    const archived = (committee: Committee) => this.#context.archivedKeys(committee);
    const [terms, keys] = await Promise.all([readDisputeTerms(chain), keysOfAnswer(chain, evidence, archived)]);
    const [node, judged, isRight] = await Promise.all([
      readNode(chain, operator),
      isJudged(chain, terms, evidence),
      isRightOnChain(chain, terms, evidence, keys),
    ]);
    if (isRight) {
      throw refused("the answer is right: a challenge would cost the bond", "proof of the answer", {
        expected: "a proof that does not verify",
        received: "one that verifies",
      });
    }
    if (judged || node === undefined) {
      throw new TallystickError(
        judged ? "this answer has been judged before" : `node ${operator} has no stake any more`,
        { code: "CONFLICT", party: `node ${operator}`, check: judged ? "answer not judged" : "stake of the node" },
      );
    }
    return { terms, keys, stakeWei: node.stakeWei };
  }
}

function refused(message: string, check: string, facts: { expected?: string; received?: string }): InvalidInputError {
  return new InvalidInputError(message, { party: "you", check, ...facts });
}
