/**
 * Asks the policy contract of a sealed secret whether it may be released. The contract is foreign: the author of the
 * secret chose it, so whatever it does is bounded, and everything but a clear yes releases nothing.
 */

import { AbiCoder, dataLength, dataSlice, keccak256 } from "ethers";
import { toHex } from "../core/encoding/hex.ts";
import { InvalidInputError, TallystickError } from "../core/errors.ts";
import type { SecretLabel } from "../core/sealed-secrets/label.ts";
import { MAXIMUM_POLICY_BYTES } from "../core/wire/release.ts";
import { askAtBlock, type BlockName } from "./block-call.ts";
import type { ChainReader } from "./deployment.ts";
import { answeredError, isMachineFault, isOutOfGas } from "./endpoint-errors.ts";
import { parsedOnce } from "./parsed-once.ts";
import { ChainRevertedError, chainError, describeRevert, readChain } from "./revert.ts";
import { IReleasePolicy__factory } from "./types/factories/interfaces/IReleasePolicy__factory.ts";

/** Gas that a policy may use for its answer (`IReleasePolicy`), beside what the call itself costs. */
export const RELEASE_GAS = 500_000n;

const policyAbi = parsedOnce(() => IReleasePolicy__factory.createInterface());
const CONTEXT_TYPE = "tuple(address,uint32,address,bytes32,bytes,bytes)";
const WORD_BYTES = 32;
const YES = `0x${"00".repeat(WORD_BYTES - 1)}01`;
const NO = `0x${"00".repeat(WORD_BYTES)}`;
/** Yellow paper, appendix G: of a transaction, of a zero byte and of another one. */
const CALL_GAS = { base: 21_000n, zeroByte: 4n, otherByte: 16n };

/** What is asked of a policy. */
export interface ReleaseQuestion {
  /** As derived from the chain. */
  readonly label: SecretLabel;
  /** The data whose keccak256 is in the label. */
  readonly policyData: Uint8Array;
  /** Whoever signed the request. */
  readonly requester: string;
  /** X25519 public key that shares are sealed to, 32 bytes, signed by the requester. */
  readonly sessionKey: Uint8Array;
  /** What the requester adds for this policy; none unless given. */
  readonly evidence?: Uint8Array;
}

/** The block whose state answers. */
export interface ConfirmedBlock extends BlockName {
  /** Unix seconds. */
  readonly time: number;
}

/**
 * Why a secret is not released: the policy said no, or it failed in one of the ways in which a contract can. The
 * message of the contract, where it gave one, is in `received`.
 */
export type ReleaseRefusal = "said no" | "reverted" | "out of gas" | "malformed answer" | "no code";

const REFUSALS: Readonly<Record<ReleaseRefusal, string>> = {
  "said no": "the policy does not allow the release",
  reverted: "the policy reverted",
  "out of gas": "the policy needs more gas than it may use",
  "malformed answer": "the policy answered neither yes nor no",
  "no code": "there is no contract at the address of the policy",
};

/** The policy did not allow the release. `refusal` says how. */
export class NotReleasedError extends TallystickError {
  readonly refusal: ReleaseRefusal;

  constructor(policy: string, refusal: ReleaseRefusal, block: ConfirmedBlock, received?: string) {
    super(`not released: ${REFUSALS[refusal]}`, {
      code: "NOT_RELEASED",
      party: `policy ${policy}`,
      check: refusal,
      expected: "yes, in one word",
      ...(received === undefined ? {} : { received }),
      details: { refusal, blockNumber: block.number, blockHash: block.hash },
    });
    this.refusal = refusal;
  }
}

/**
 * The latest block that has a number of blocks upon it, its own included.
 *
 * @param confirmations at least 1
 * @throws TallystickError NOT_FOUND while the chain is shorter; ChainUnavailableError
 */
export async function confirmedBlock(chain: ChainReader, confirmations: number): Promise<ConfirmedBlock> {
  const what = "reading a confirmed block";
  const number = (await readChain(what, () => chain.provider.getBlockNumber())) - confirmations + 1;
  const block = number < 0 ? null : await readChain(what, () => chain.provider.getBlock(number));
  if (block === null || block.hash === null) {
    throw new TallystickError(`the chain has no block with ${confirmations} confirmations`, {
      code: "NOT_FOUND",
      party: "chain",
      check: "confirmations",
      expected: String(confirmations),
      retryable: true,
    });
  }
  return { number, hash: block.hash, time: block.timestamp };
}

/**
 * An endpoint that is cut off answers from a state of hours ago, in which a request may not be vetoed yet. A block
 * whose time is ahead of the clock, as on development chains, is not old.
 *
 * @param nowSeconds this machine's time
 * @throws TallystickError CHAIN_UNAVAILABLE, retryable, when the block is older
 */
export function requireRecent(block: ConfirmedBlock, maximumSeconds: number, nowSeconds: number): void {
  const seconds = nowSeconds - block.time;
  if (seconds <= maximumSeconds) return;
  throw new TallystickError("the chain's RPC endpoint is behind, or this machine's clock is ahead", {
    code: "CHAIN_UNAVAILABLE",
    party: "chain",
    check: "age of the confirmed block",
    expected: `at most ${maximumSeconds} s`,
    received: `${seconds} s, block ${block.number}`,
    hint: "check that the chain node is in sync, and the clock; repeat the request, or ask other members",
    retryable: true,
  });
}

/**
 * Returns when the policy allows the release in the state of a block.
 *
 * @throws NotReleasedError when it does not, however it fails
 * @throws InvalidInputError when the question does not fit its label
 * @throws ChainUnavailableError when the endpoint failed, or the block was replaced: that says nothing about the policy
 */
export async function requireRelease(
  chain: ChainReader,
  question: ReleaseQuestion,
  block: ConfirmedBlock,
): Promise<void> {
  const { policy } = question.label;
  const data = releaseCallData(chain, question);
  const gas = `0x${(gasOf(data) + RELEASE_GAS).toString(16)}`;
  let answer: string;
  try {
    answer = await askAtBlock(chain, "eth_call", [{ to: policy, data, gas }], block);
  } catch (error) {
    throw failureOf(policy, error, block);
  }
  if (answer === YES) return;
  if (answer === NO) throw new NotReleasedError(policy, "said no", block);
  if (answer !== "0x") throw new NotReleasedError(policy, "malformed answer", block, quoted(answer));
  const code = await readChain("reading the code of a policy", () => askAtBlock(chain, "eth_getCode", [policy], block));
  throw new NotReleasedError(policy, code === "0x" ? "no code" : "malformed answer", block, "no bytes");
}

/** The call data of `mayRelease`, 0x hex. @throws InvalidInputError when the question does not fit its label */
function releaseCallData({ deployment }: ChainReader, question: ReleaseQuestion): string {
  const { label, policyData, requester, sessionKey, evidence = new Uint8Array() } = question;
  requireSame("chain id", String(deployment.chainId), String(label.ledger.chainId));
  requireSame("hash of the policy's data", toHex(label.policyDataHash), keccak256(policyData));
  requireShort("policy's data", policyData);
  requireShort("evidence", evidence);
  requireSame("length of the session key", String(WORD_BYTES), String(sessionKey.length));
  const context = AbiCoder.defaultAbiCoder().encode(
    [CONTEXT_TYPE],
    [[label.ledger.keyLedger, label.version, label.author, sessionKey, policyData, evidence]],
  );
  return policyAbi().encodeFunctionData("mayRelease", [label.recordId, requester, context]);
}

function failureOf(policy: string, error: unknown, block: ConfirmedBlock): TallystickError {
  if (isOutOfGas(error)) return new NotReleasedError(policy, "out of gas", block, `${RELEASE_GAS} units are allowed`);
  const failure = chainError(error, "asking a policy");
  if (failure instanceof ChainRevertedError) {
    return new NotReleasedError(policy, "reverted", block, quoted(describeRevert(failure.revert)));
  }
  if (isMachineFault(error)) {
    return new NotReleasedError(policy, "reverted", block, quoted(answeredError(error)?.message ?? ""));
  }
  return failure;
}

/** Gas of the call beside the contract's own. @param data 0x hex */
function gasOf(data: string): bigint {
  let gas = CALL_GAS.base;
  for (let at = 2; at < data.length; at += 2) {
    gas += data.startsWith("00", at) ? CALL_GAS.zeroByte : CALL_GAS.otherByte;
  }
  return gas;
}

function requireSame(check: string, expected: string, received: string): void {
  if (expected === received) return;
  throw new InvalidInputError(`the ${check} is not that of the secret`, { check, expected, received });
}

function requireShort(check: string, bytes: Uint8Array): void {
  if (bytes.length <= MAXIMUM_POLICY_BYTES) return;
  throw new InvalidInputError(`the ${check} is too long`, {
    check,
    expected: `at most ${MAXIMUM_POLICY_BYTES} bytes`,
    received: `${bytes.length} bytes`,
  });
}

/** The beginning of what a contract said, which may be long. */
function quoted(said: string): string {
  const isData = /^0x[0-9a-f]*$/.test(said);
  if (isData && dataLength(said) > WORD_BYTES) return `${dataSlice(said, 0, WORD_BYTES)}… (${dataLength(said)} bytes)`;
  return said.slice(0, 200);
}
