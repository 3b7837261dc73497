/** The same small instance on a chain: each action of the model as a transaction of the account that acts. */

import { hexlify, keccak256, toBeHex, toUtf8Bytes } from "ethers";
import type { ContractCall } from "../../../offchain/chain/contract-call.ts";
import { type ChainReader, connectChain } from "../../../offchain/chain/deployment.ts";
import {
  approveRecoveryCall,
  encodeRecoveryData,
  openRecoveryCall,
  type RecoverableSecret,
  type RecoveryRequest,
  recoveryDataHash,
  retireVersionsCall,
  vetoRecoveryCall,
} from "../../../offchain/chain/recovery-policy.ts";
import {
  type ConfirmedBlock,
  confirmedBlock,
  NotReleasedError,
  requireRelease,
} from "../../../offchain/chain/release-policy.ts";
import { fromHex } from "../../../offchain/core/encoding/hex.ts";
import { anvilWallet, startAnvil } from "../../helpers/anvil.ts";
import { attemptCall } from "../../helpers/attempt-call.ts";
import { deployTo } from "../../helpers/contracts.ts";
import {
  type Action,
  GUARDIAN_DELAY,
  GUARDIAN_LIST,
  PROPOSERS,
  type Proposer,
  type Requester,
  THRESHOLD,
  WALLET_DELAY,
  WINDOW,
} from "./model.ts";

export interface OnChain {
  /** Begins anew: another secret of the same author. */
  newSecret(): Promise<void>;
  /** @returns "accepted", or the name of the error */
  perform(action: Action): Promise<string>;
  /** For the wallet, the two requesters and the thief. */
  released(): Promise<boolean[]>;
  stop(): Promise<void>;
}

const TICK_SECONDS = 3600;
/**
 * Blocks take seconds, and a bound may be reached to the second. This much more each tick puts every moment strictly
 * between the bounds, as in the model, where actions take no time.
 */
const DRIFT_SECONDS = 1;
const SESSION_KEY = keccak256(toUtf8Bytes("session key"));
const VERSION = 1;
const FAR_DEADLINE = 2n ** 63n;

export async function startOnChain(): Promise<OnChain> {
  const anvil = await startAnvil();
  const deployment = await deployTo(anvil.url);
  const chain: ChainReader = await connectChain(deployment);
  const account = (place: number): string => anvilWallet(place).address;
  const [author, wallet, thief] = [account(1), account(2), account(3)];
  const guardianOf = (proposer: Proposer): string => account(3 + proposer);
  const requesterOf = (requester: Requester): string => (requester === 0 ? wallet : account(7 + requester - 1));
  const plan = {
    wallet: { account: wallet, delaySeconds: WALLET_DELAY * TICK_SECONDS },
    guardians: {
      accounts: GUARDIAN_LIST.map(guardianOf),
      threshold: THRESHOLD,
      delaySeconds: GUARDIAN_DELAY * TICK_SECONDS,
    },
    windowSeconds: WINDOW * TICK_SECONDS,
  };

  let secrets = 0;
  let numbers: bigint[] = [];
  let latest: (Requester | undefined)[] = [];
  let secret: RecoverableSecret;

  const requestOf = (proposer: Proposer, requester: Requester, number: bigint): RecoveryRequest => ({
    path: proposer === 0 ? "wallet" : "guardians",
    proposer: proposer === 0 ? wallet : guardianOf(proposer),
    requester: requesterOf(requester),
    sessionKey: SESSION_KEY,
    number,
  });
  const numberOf = (proposer: Proposer): bigint => numbers[proposer] ?? 0n;

  const attempt = (call: ContractCall, from: string) => attemptCall(anvil, chain, call, from);

  async function tick(): Promise<string> {
    await anvil.rpc("evm_increaseTime", [TICK_SECONDS + DRIFT_SECONDS]);
    await anvil.rpc("evm_mine");
    return "accepted";
  }

  async function perform(action: Action): Promise<string> {
    switch (action.kind) {
      case "tick":
        return await tick();
      case "open": {
        const { proposer, requester } = action;
        const request = requestOf(proposer, requester, numberOf(proposer) + 1n);
        const outcome = await attempt(openRecoveryCall(deployment, secret, request), request.proposer);
        if (outcome === "accepted") {
          numbers[proposer] = request.number;
          latest[proposer] = requester;
        }
        return outcome;
      }
      case "replay": {
        const request = requestOf(action.proposer, action.requester, numberOf(action.proposer));
        return await attempt(openRecoveryCall(deployment, secret, request), request.proposer);
      }
      case "approve": {
        const { guardian, proposer, requester } = action;
        const request = requestOf(proposer, requester, numberOf(proposer));
        const by = guardianOf(guardian);
        return await attempt(approveRecoveryCall(deployment, secret, request, by), by);
      }
      case "veto":
        return await attempt(vetoRecoveryCall(deployment, secret, requestOf(action.proposer, 0, 0n)), author);
      case "retire":
        return await attempt(retireVersionsCall(deployment, secret, VERSION + 1), author);
      case "thief opens": {
        const proposer = action.as === "itself" ? 1 : action.as;
        const request = requestOf(proposer, proposer === 0 ? 0 : 1, numberOf(proposer) + 1n);
        const own = action.as === "itself" ? { ...request, proposer: thief, requester: thief } : request;
        const relayed = { signature: "0x", deadline: FAR_DEADLINE };
        return await attempt(openRecoveryCall(deployment, secret, own, relayed), thief);
      }
      case "thief approves": {
        const request = requestOf(action.proposer, latest[action.proposer] ?? 1, numberOf(action.proposer));
        const guardian = action.as === "itself" ? thief : guardianOf(action.as);
        return await attempt(approveRecoveryCall(deployment, secret, request, guardian), thief);
      }
      case "thief vetoes":
        return await attempt(vetoRecoveryCall(deployment, secret, requestOf(action.proposer, 0, 0n)), thief);
      case "thief retires":
        return await attempt(retireVersionsCall(deployment, secret, VERSION + 1), thief);
    }
  }

  async function isReleased(requester: string, block: ConfirmedBlock): Promise<boolean> {
    const label = {
      ledger: { chainId: BigInt(deployment.chainId), keyLedger: secret.ledger },
      recordId: fromHex(secret.recordId),
      version: secret.version,
      author: secret.author,
      policy: deployment.contracts.recoveryPolicy,
      policyDataHash: fromHex(recoveryDataHash(plan)),
    };
    const question = { label, policyData: encodeRecoveryData(plan), requester, sessionKey: fromHex(SESSION_KEY) };
    try {
      await requireRelease(chain, question, block);
      return true;
    } catch (error) {
      if (error instanceof NotReleasedError && error.refusal === "said no") return false;
      throw error;
    }
  }

  return {
    newSecret: async () => {
      secrets += 1;
      const recordId = hexlify(toBeHex(secrets, 32));
      secret = { ledger: deployment.contracts.keyLedger, recordId, version: VERSION, author, plan };
      numbers = PROPOSERS.map(() => 0n);
      latest = PROPOSERS.map(() => undefined);
      // The time of a block that nobody mined is that of the one before.
      await anvil.rpc("evm_mine");
    },
    perform,
    released: async () => {
      const asked = [requesterOf(0), requesterOf(1), requesterOf(2), thief];
      const block = await confirmedBlock(chain, 1);
      return await Promise.all(asked.map((one) => isReleased(one, block)));
    },
    stop: async () => {
      chain.close();
      await anvil.kill();
    },
  };
}
