/** Names the successor of an account on chain: both keys are at hand, and either account pays for the transaction. */

import { keccak256 } from "ethers";
import { readReplacement, replaceAccountCall } from "../../chain/account-directory.ts";
import type { ContractCall } from "../../chain/contract-call.ts";
import { readDelegation } from "../../chain/delegates.ts";
import { readHeadTime } from "../../chain/head.ts";
import { isShortOfFunds } from "../../chain/short-funds.ts";
import { isAddressEqual } from "../../core/encoding/address.ts";
import { TallystickError } from "../../core/errors.ts";
import { sealHandover } from "../../core/identity/handover.ts";
import { successionTypedData } from "../../core/identity/typed-messages.ts";
import type { AgentContext } from "../context.ts";
import { coinsOf } from "./pay-out.ts";

/** How long the signatures may be used. Whoever sees them can do no more than send what this device sends. */
const DEADLINE_SECONDS = 3600n;

/** @returns whether the successor is named already @throws TallystickError CONFLICT when another one is */
export async function isNamed(old: AgentContext, successor: string): Promise<boolean> {
  const replacement = await readReplacement(await old.chain(), old.account.address);
  if (replacement === undefined) return false;
  if (isAddressEqual(replacement.successor, successor)) return true;
  throw new TallystickError("the account has another successor already", {
    code: "CONFLICT",
    party: `account ${old.account.address}`,
    check: "successor in the directory of accounts",
    expected: successor,
    received: `${replacement.successor}, named at ${new Date(replacement.at * 1000).toISOString()}`,
    hint:
      "use the phrase of that successor; if you did not name it, somebody else has your old phrase: the new identity " +
      "cannot take over, so put your files again with it",
  });
}

/**
 * Names the successor. Its account pays when it can, since a thief of the old key may spend the coins of the old one
 * while the transaction waits; else the old account does. That an account has coins does not say that it has enough:
 * anybody can leave some on the old one.
 *
 * @returns hash of the transaction
 * @throws TallystickError FUNDS, naming the successor as the one to send coins to; CHAIN_REVERTED, CHAIN_UNAVAILABLE
 */
export async function nameSuccessor(old: AgentContext, next: AgentContext): Promise<string> {
  const call = await successionCall(old, next);
  const [first, second] = (await coinsOf(next)) > 0n ? [next, old] : [old, next];
  try {
    return (await first.send(call)).hash;
  } catch (error) {
    if (!isShortOfFunds(error)) throw error;
    return await payInstead(second, call, second === next ? undefined : error);
  }
}

/** @param shortage what is thrown when this payer is short of coins as well; default its own shortage */
async function payInstead(payer: AgentContext, call: ContractCall, shortage: unknown): Promise<string> {
  try {
    return (await payer.send(call)).hash;
  } catch (error) {
    throw isShortOfFunds(error) ? (shortage ?? error) : error;
  }
}

/**
 * @param old and `next` are open on the same deployment
 * @throws TallystickError CONFLICT for a delegate, which has no successor; ChainUnavailableError
 */
export async function successionCall(old: AgentContext, next: AgentContext): Promise<ContractCall> {
  const chain = await old.chain();
  const { chainId, contracts } = chain.deployment;
  const [account, successor] = [old.account.address, next.account.address];
  const delegation = await readDelegation(chain, account);
  if (delegation !== undefined) {
    throw new TallystickError("a delegate has no successor", {
      code: "CONFLICT",
      party: `delegate ${account}`,
      check: "delegation",
      expected: "none",
      received: `of account ${delegation.account}`,
      hint: "make another identity with `tallystick init --home <new folder>`, and have the owner grant that one",
    });
  }
  const scope = { chainId: BigInt(chainId), directory: contracts.accountDirectory, account, successor };
  const handover = sealHandover(scope, next.identity.catalogueKey, old.identity.phraseEntropy);
  const deadline = (await readHeadTime(chain)) + DEADLINE_SECONDS;
  const message = { account, successor, handoverHash: keccak256(handover), deadline };
  const typed = successionTypedData(scope.chainId, scope.directory, message);
  const [accountSignature, successorSignature] = [await old.account.sign(typed), await next.account.sign(typed)];
  const signed = { account, successor, handover, deadline, accountSignature, successorSignature };
  return replaceAccountCall(chain.deployment, signed);
}
