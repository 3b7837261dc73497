/**
 * The state machine of delegates (docs/models.md): every interleaving of a small instance in the model, and sampled
 * ones on the contracts, where each step must come to the same as in the model.
 */

import { expect } from "chai";
import { type HDNodeWallet, Interface, id } from "ethers";
import { directoryAbi, escrowAbi } from "../../../offchain/chain/abis.ts";
import { replaceAccountCall } from "../../../offchain/chain/account-directory.ts";
import type { ContractCall } from "../../../offchain/chain/contract-call.ts";
import { NATIVE_TOKEN } from "../../../offchain/chain/data-set-words.ts";
import { limitFeeCall, readDelegates, readFeeLimit } from "../../../offchain/chain/delegates.ts";
import { type ChainReader, connectChain, type Deployment } from "../../../offchain/chain/deployment.ts";
import { updateDataSetCall } from "../../../offchain/chain/escrow-calls.ts";
import { DataSetRules__factory } from "../../../offchain/chain/types/factories/DataSetRules__factory.ts";
import { encodeLiveRanges, joinRanges } from "../../../offchain/core/data-set/ranges.ts";
import { encodeSchedule } from "../../../offchain/core/data-set/schedule.ts";
import type { DataSetTerms } from "../../../offchain/core/data-set/terms.ts";
import { scopesOf } from "../../../offchain/core/identity/delegation.ts";
import {
  delegateRevocationTypedData,
  delegationTypedData,
  successionTypedData,
  type TypedData,
} from "../../../offchain/core/identity/typed-messages.ts";
import { type Anvil, anvilWallet, startAnvil } from "../../helpers/anvil.ts";
import { attemptCall } from "../../helpers/attempt-call.ts";
import { deployTo } from "../../helpers/contracts.ts";
import { type Exploration, explore, saidBy, seeded, walk } from "../../helpers/explore.ts";
import { brokenByAction, brokenInState } from "./facts.ts";
import {
  type Action,
  type Actor,
  actionsOf,
  countOf,
  type Device,
  LIFE,
  NO_POWERS,
  powersOf,
  type Rules,
  START,
  type State,
  slicesOf,
  step,
  WRITE,
} from "./model.ts";
import { MUTANTS } from "./mutants.ts";

const WALKS = 6;
const STEPS = 30;
const TICK_SECONDS = 1000;
const SET = id("data set of A");
const DIGEST = id("a state");
const EMPTY_HASH = `0x${"00".repeat(32)}`;

function exploreDelegates(rules: Rules): Exploration<State, Action> {
  return explore<State, Action>({
    start: START,
    actionsOf,
    step: rules.step,
    keyOf: ({ D, E, isReplaced, limit, live, highest }) => JSON.stringify([D, E, isReplaced, limit, live, highest]),
    kindOf: ({ kind }) => kind,
    brokenInState: (state) => brokenInState(state, rules.powersOf),
    brokenByAction,
  });
}

describe("delegates of an account as a state machine", function () {
  this.timeout(300_000);
  const rules: Rules = { step, powersOf };
  let all: Exploration<State, Action>;
  before(() => {
    all = exploreDelegates(rules);
  });

  it("keeps every property in every state that any interleaving reaches", () => {
    expect(all.violation).to.equal(undefined);
    // Reaching fewer states than before means that the model has lost behaviour, and the properties with it.
    expect([all.states, all.transitions]).to.deep.equal([50_050, 4_649_546]);
  });

  for (const { name, property, ...broken } of MUTANTS) {
    it(`finds a directory in which ${name}`, () => {
      expect(exploreDelegates({ ...rules, ...broken }).violation?.property).to.equal(property);
    });
  }

  it("leaves the owner a way to end all that its delegates may do, from every state", () => {
    let tried = 0;
    for (const state of all.reached) {
      let at = state;
      for (const key of ["D", "E"] as const) {
        const delegation = at[key];
        if (delegation === undefined || delegation.isRevoked) continue;
        const by: Actor = delegation.account === "A" && at.isReplaced ? "B" : delegation.account;
        const outcome = step(at, { kind: "revoke", by, key });
        if ("refused" in outcome) throw new Error(`${JSON.stringify({ state, key })}: ${outcome.refused}`);
        at = outcome.state;
        expect(powersOf(at, key)).to.deep.equal(NO_POWERS);
        tried += 1;
      }
    }
    expect(tried).to.be.greaterThan(1000);
  });

  describe("on the contracts", () => {
    let anvil: Anvil;
    let deployment: Deployment;
    let chain: ChainReader;
    let rulesAddress: string;
    let snapshot: unknown;
    let startedAt: number;
    let ticks: number;
    const wallets: Readonly<Record<Actor, HDNodeWallet>> = {
      A: anvilWallet(1),
      B: anvilWallet(2),
      D: anvilWallet(3),
      E: anvilWallet(4),
      T: anvilWallet(5),
    };
    const relay = anvilWallet(0).address;
    const addressOf = (actor: Actor) => wallets[actor].address;
    const rulesAbi = new Interface(DataSetRules__factory.abi);

    before(async () => {
      anvil = await startAnvil();
      deployment = await deployTo(anvil.url);
      chain = await connectChain(deployment);
      const answer = await chain.provider.call({
        to: deployment.contracts.storageEscrow,
        data: escrowAbi().encodeFunctionData("RULES"),
      });
      rulesAddress = String(escrowAbi().decodeFunctionResult("RULES", answer)[0]);
      snapshot = await anvil.rpc("evm_snapshot");
    });
    after(async () => {
      chain?.close();
      await anvil?.kill();
    });

    const sign = async <Message extends object>(by: Actor, typed: TypedData<Message>) =>
      await wallets[by].signTypedData(typed.domain, typed.types, { ...typed.message });
    const scope = () => [BigInt(deployment.chainId), deployment.contracts.accountDirectory] as const;
    const directoryCall = (data: string): ContractCall => ({
      to: deployment.contracts.accountDirectory,
      data,
      description: "a step",
    });
    const attempt = async (call: ContractCall, from = relay) => await attemptCall(anvil, chain, call, from);

    async function perform(action: Action, state: State): Promise<string> {
      switch (action.kind) {
        case "tick":
          ticks += 1;
          await anvil.rpc("evm_setNextBlockTimestamp", [startedAt + ticks * TICK_SECONDS]);
          await anvil.rpc("evm_mine");
          return "accepted";
        case "delegate": {
          const { account, key, scopes, life, forged } = action;
          const expiresAt = startedAt + (ticks + life) * TICK_SECONDS;
          const deadline = startedAt + 1000 * TICK_SECONDS;
          const typed = delegationTypedData(...scope(), {
            ...{ account: addressOf(account), key: addressOf(key) },
            ...{ scopes: BigInt(scopes), expiresAt: BigInt(expiresAt), deadline: BigInt(deadline) },
          });
          const byAccount = await sign(forged === "account" ? "T" : account, typed);
          const byKey = await sign(forged === "key" ? "T" : key, typed);
          const values = [addressOf(account), addressOf(key), scopes, expiresAt, deadline, byAccount, byKey] as const;
          return await attempt(directoryCall(directoryAbi().encodeFunctionData("delegate", [...values])));
        }
        case "revoke": {
          const { by, key, isForged } = action;
          const typed = delegateRevocationTypedData(...scope(), { by: addressOf(by), key: addressOf(key) });
          const signature = await sign(isForged === true ? "T" : by, typed);
          const values = [addressOf(by), addressOf(key), signature] as const;
          return await attempt(directoryCall(directoryAbi().encodeFunctionData("revoke", [...values])));
        }
        case "limit":
          return await attempt(limitFeeCall(deployment, addressOf("D"), SET, BigInt(action.fee)), addressOf(action.by));
        case "replace": {
          const [account, successor] = [addressOf(action.account), addressOf(action.successor)];
          const deadline = BigInt(startedAt + 1000 * TICK_SECONDS);
          const message = { account, successor, handoverHash: id(""), deadline };
          const typed = successionTypedData(...scope(), message);
          const accountSignature = await sign(action.account, typed);
          const successorSignature = await sign(action.successor, typed);
          const handover = new Uint8Array();
          const signed = { account, successor, handover, deadline, accountSignature, successorSignature };
          return await attempt(replaceAccountCall(deployment, signed));
        }
        case "update":
          return await attempt(updateOf(action, state));
      }
    }

    const rangesOf = (bits: number) =>
      encodeLiveRanges(slicesOf(bits).reduce((all, slice) => joinRanges(all, [{ firstIndex: slice, count: 1 }]), none));
    const none: ReturnType<typeof joinRanges> = [];

    /** The escrow's own question to its rules, about an update of a set of A that costs 1 for each slice. */
    function updateOf({ by, live }: Extract<Action, { kind: "update" }>, state: State): ContractCall {
      const terms: DataSetTerms = {
        ...{ user: addressOf("A"), provider: relay, token: NATIVE_TOKEN, mode: "every-epoch" },
        ...{ feeFloor: 0n, feePerSlice: 1n, feePerIndex: 0n, feeCap: 1000n },
        ...{ collateralPercent: 300, compensationPercent: 60, bountyPercent: 20, latePercent: 50, breachLimit: 3 },
        auditHash: EMPTY_HASH,
      };
      const [sliceCount, ranges] = [countOf(state.live), rangesOf(state.live)];
      const level = { fromEpoch: 1, fee: BigInt(sliceCount), sliceCount, highestIndex: state.highest };
      const schedule = encodeSchedule({
        ...{ version: 1n, retirements: 0, contentHash: EMPTY_HASH },
        levels: [{ ...level, rangesHash: EMPTY_HASH }],
      });
      const userSignature = wallets[by].signingKey.sign(DIGEST).serialized;
      const { data } = updateDataSetCall(
        deployment,
        { terms, schedule, ranges },
        {
          ...{ version: 2n, ranges: rangesOf(live), contentHash: EMPTY_HASH, deadlineBlock: 1000n },
          ...{ userSignature, providerSignature: "0x" },
        },
      );
      return {
        to: rulesAddress,
        data: rulesAbi.encodeFunctionData("checkUser", [SET, DIGEST, userSignature, data]),
        description: "",
      };
    }

    /** What the rules say of an update: that it revives nothing is for the escrow to check. */
    const expected = (action: Action, said: string) =>
      action.kind === "update" && said === "IndexNotLive" ? "accepted" : said;

    /** Compares every step, and after it each delegation and all that it gives. */
    async function replay(path: readonly Action[]): Promise<void> {
      await anvil.rpc("evm_revert", [snapshot]);
      snapshot = await anvil.rpc("evm_snapshot");
      await anvil.rpc("evm_mine");
      startedAt = Number((await chain.provider.getBlock("latest"))?.timestamp);
      ticks = 0;
      let state = START;
      for (const [place, action] of path.entries()) {
        const outcome = step(state, action);
        const where = `step ${place} of ${JSON.stringify(path)}`;
        // The user's own updates concern the escrow alone.
        if (action.kind !== "update" || action.by !== "A") {
          expect(await perform(action, state), where).to.equal(expected(action, saidBy(outcome)));
        }
        if ("refused" in outcome) continue;
        state = outcome.state;
        for (const key of ["D", "E"] as const) await compare(state, key, where);
      }
    }

    async function compare(state: State, key: Device, where: string): Promise<void> {
      const one = state[key];
      const found = (await readDelegates(chain, addressOf(one?.account ?? "A"))).find(
        (delegation) => delegation.key === addressOf(key),
      );
      expect(found && [found.scopes, found.isRevoked], where).to.deep.equal(
        one && [scopesOf(one.scopes), one.isRevoked],
      );
      const ask = async (name: "mayActFor" | "hasScope", values: [string, string] | [string, number]) => {
        const data = directoryAbi().encodeFunctionData(name as "mayActFor", values as [string, string]);
        const answer = await chain.provider.call({ to: deployment.contracts.accountDirectory, data });
        return Boolean(directoryAbi().decodeFunctionResult(name as "mayActFor", answer)[0]);
      };
      const [address, account] = [addressOf(key), addressOf("A")];
      const powers = {
        reads: await ask("mayActFor", [address, account]),
        readsOwn: await ask("mayActFor", [address, address]),
        writes: await ask("hasScope", [address, WRITE]),
        fee: Number(await readFeeLimit(chain, { key: address, account }, SET)),
      };
      expect(powers, where).to.deep.equal(powersOf(state, key));
    }

    it("come to the same as the model for each thing that an action can come to", async () => {
      expect(all.examples.size).to.be.greaterThan(18);
      for (const path of all.examples.values()) await replay(path);
    });

    it("come to the same as the model in random interleavings", async () => {
      const random = seeded(2026);
      let added = 0;
      for (let count = 0; count < WALKS; count++) {
        const path = walk({ start: START, actionsOf: likely, step }, STEPS, random);
        let state = START;
        for (const action of path) {
          const outcome = step(state, action);
          if ("refused" in outcome) continue;
          state = outcome.state;
          if (action.kind === "update" && action.by === "D") added += 1;
        }
        await replay(path);
      }
      expect(added).to.be.greaterThan(WALKS);
    });

    /** What ends much is taken less often, and delegates that write more often. */
    function likely(state: State): Action[] {
      return actionsOf(state).flatMap((action): Action[] => {
        if (action.kind === "revoke" || action.kind === "replace") return random() < 0.03 ? [action] : [];
        if (action.kind === "tick") return random() < 0.5 ? [action] : [];
        if (action.kind === "limit") return action.fee > 0 || random() < 0.2 ? [action, action] : [];
        if (action.kind === "update") return Array.from({ length: action.by === "D" ? 6 : 1 }, () => action);
        // As most are: of the account, and to write.
        const isUsual = action.account === "A" && (action.scopes & WRITE) !== 0 && action.life === LIFE;
        return isUsual ? [action, action, action, action] : random() < 0.1 ? [action] : [];
      });
    }
    const random = seeded(1789);
  });
});
