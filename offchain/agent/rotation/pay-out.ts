/** Moves the money of a replaced account to its successor: balances in the escrow, and coins but for its last gas. */

import type { ContractCall } from "../../chain/contract-call.ts";
import { NATIVE_TOKEN } from "../../chain/data-set-words.ts";
import { dataSetsOpened } from "../../chain/escrow-events.ts";
import { offeredPerGas } from "../../chain/fee-limit.ts";
import { readChain } from "../../chain/revert.ts";
import { TallystickError } from "../../core/errors.ts";
import { AgentContext } from "../context.ts";
import { DataSets } from "../data-sets/data-sets.ts";

/** Gas of a notice, of a withdrawal, and of a transfer, rounded up. */
const NOTICE_GAS = 150_000n;
const WITHDRAWAL_GAS = 150_000n;
const TRANSFER_GAS = 25_000n;
/** Gas may become so much dearer until the last transaction of the old account. */
const DEARER = 3n;

export interface PaidOut {
  readonly token: string;
  readonly amount: bigint;
  readonly from: "escrow" | "account";
}

/** Tokens of a payout that something waits for. Each costs questions to the chain, and may cost a transaction. */
const MOST_URGENT_TOKENS = 16;

/**
 * May be repeated: what was moved is there no more. What the chain refuses to move, or the account cannot pay for,
 * stays, and a warning says so.
 * @param old with the keys of the replaced account
 * @param notices that the old account still has to send
 * @param isUrgent something waits for it: tokens that no listed provider has agreed on are left to `collect`
 * @returns what was moved now
 */
export async function payOut(old: AgentContext, to: string, notices: number, isUrgent = false): Promise<PaidOut[]> {
  const chain = await old.chain();
  const tokens = await tokensOf(old, isUrgent);
  const sets = new DataSets(old);
  const moved: PaidOut[] = [];
  const perGas = await offeredPerGas(chain, undefined);
  for (const token of tokens) {
    const { withdrawable } = await sets.balance(token);
    if (withdrawable === 0n || (await coinsOf(old)) === 0n) continue;
    try {
      await sets.withdraw(token, withdrawable, to, { maximumFee: WITHDRAWAL_GAS * DEARER * perGas });
      moved.push({ token, amount: withdrawable, from: "escrow" });
    } catch (error) {
      if (!isRefusal(error)) throw error;
      const facts = { token, account: old.account.address, code: error.code };
      old.logger.warn(facts, `${error.message}: it stays in the escrow; \`tallystick rotate --collect\` tries again`);
    }
  }
  const later = BigInt(notices) * NOTICE_GAS + (notices > 0 ? BigInt(tokens.size) * WITHDRAWAL_GAS : 0n);
  // Once nothing else is to be sent, the transfer takes all but its own gas.
  const kept = ((later === 0n ? 0n : later + WITHDRAWAL_GAS) * DEARER + 2n * TRANSFER_GAS) * perGas;
  const coins = await coinsOf(old);
  if (coins <= 2n * kept) return moved;
  const call: ContractCall = { to, data: "0x", value: coins - kept, description: "moving coins to the successor" };
  await old.send(call);
  return [...moved, { token: NATIVE_TOKEN, amount: coins - kept, from: "account" }];
}

/**
 * The chain's coin, then the tokens of the account's sets, those at listed providers first. A thief of the key opens
 * sets in any number of tokens, of which each may take a block's gas, but only at providers of its own.
 */
async function tokensOf(old: AgentContext, isUrgent: boolean): Promise<ReadonlySet<string>> {
  const [listed, strange] = [new Set([NATIVE_TOKEN]), new Set<string>()];
  for await (const { terms } of dataSetsOpened(await old.chain(), { user: old.account.address })) {
    (old.providers().find(terms.provider) === undefined ? strange : listed).add(terms.token);
  }
  const all = new Set([...listed, ...strange]);
  if (!isUrgent) return all;
  const taken = new Set([...listed].slice(0, MOST_URGENT_TOKENS));
  const left = all.size - taken.size;
  if (left > 0) {
    const facts = { account: old.account.address, tokens: left };
    old.logger.warn(facts, `balances in ${left} tokens were not looked at: \`tallystick rotate --collect\` does`);
  }
  return taken;
}

/**
 * Moves what the predecessors of an account have left or got since: once the notice period of their data sets is over,
 * the rest of their balance is free.
 * @throws as `AgentContext.predecessors`, and as `AgentContext.send`
 */
export async function collectFromPredecessors(next: AgentContext): Promise<(PaidOut & { readonly account: string })[]> {
  const { platform, logger, confirmations, deployment, account: successor } = next;
  const moved: (PaidOut & { account: string })[] = [];
  for (const { identity, account } of await next.predecessors()) {
    const old = new AgentContext({ identity, deployment, platform, logger, confirmations, successor });
    try {
      for (const paid of await payOut(old, successor.address, 0)) moved.push({ ...paid, account });
    } finally {
      old.disconnect();
    }
  }
  return moved;
}

/**
 * Whoever has the key of the account may have it own sets in a token that cannot be transferred, or takes a block's
 * gas, and may leave the account coins that pay for nothing. Neither keeps the rest from being moved.
 */
function isRefusal(error: unknown): error is TallystickError {
  return error instanceof TallystickError && (error.code === "CHAIN_REVERTED" || error.code === "FUNDS");
}

export async function coinsOf(context: AgentContext): Promise<bigint> {
  const chain = await context.chain();
  return await readChain("reading an account's balance", () => chain.provider.getBalance(context.account.address));
}
