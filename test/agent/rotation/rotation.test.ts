/** What a thief of the old phrase can put in the way of a rotation, on a real chain. */
import { expect } from "chai";
import { Wallet } from "ethers";
import { AgentContext } from "../../../offchain/agent/context.ts";
import { readPredecessors } from "../../../offchain/agent/predecessors.ts";
import type { AgentLogger } from "../../../offchain/agent/progress.ts";
import { SILENT } from "../../../offchain/agent/progress.ts";
import { identitySecretOf } from "../../../offchain/agent/recovery/protection.ts";
import { nameSuccessor } from "../../../offchain/agent/rotation/name-successor.ts";
import { payOut } from "../../../offchain/agent/rotation/pay-out.ts";
import { planRotation } from "../../../offchain/agent/rotation/rotate.ts";
import { readReplacement } from "../../../offchain/chain/account-directory.ts";
import { NATIVE_TOKEN } from "../../../offchain/chain/data-set-words.ts";
import { connectChain } from "../../../offchain/chain/deployment.ts";
import { depositCall } from "../../../offchain/chain/escrow-calls.ts";
import { publishSecretCall } from "../../../offchain/chain/recovery-publications.ts";
import { identityFromEntropy } from "../../../offchain/core/identity/identity.ts";
import { startFaultyProxy } from "../../helpers/anvil.ts";
import { type LocalChain, startLocalChain } from "../../helpers/local-chain.ts";
import { memoryPlatform } from "../../helpers/memory-platform.ts";
import { plantSet } from "../../helpers/planted-set.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";

const COIN = 10n ** 18n;
/** Pays for nothing. */
const DUST = 1n;

describe("a rotation against a thief of the old phrase", () => {
  let local: LocalChain;
  const contexts: AgentContext[] = [];
  let people = 0;

  before(async () => {
    local = await startLocalChain();
  });
  after(async () => {
    for (const context of contexts) await context.close();
    await local?.stop();
  });

  function contextWith(coins: bigint, logger: AgentLogger = SILENT): Promise<AgentContext> {
    people += 1;
    const context = new AgentContext({
      identity: identityFromEntropy(new Uint8Array(16).fill(people)),
      deployment: {
        ...local.deployment,
        providers: [{ account: local.account(1).address, url: "http://127.0.0.1:9" }],
      },
      platform: memoryPlatform(),
      logger,
      confirmations: 1,
    });
    contexts.push(context);
    return local.fund([context.account.address], coins).then(() => context);
  }

  const successorOf = async ({ account }: AgentContext) =>
    (await readReplacement(local.chain, account.address))?.successor;
  const coinsOf = async ({ account }: AgentContext) => await local.chain.provider.getBalance(account.address);

  it("names the successor when the thief leaves coins on the old account that pay for nothing", async () => {
    const [old, next] = [await contextWith(DUST), await contextWith(COIN)];
    await nameSuccessor(old, next);
    expect(await successorOf(old)).to.equal(next.account.address);
    expect(await coinsOf(old)).to.equal(DUST);
  });

  it("has the old account pay when the successor cannot", async () => {
    for (const coins of [0n, DUST]) {
      const [old, next] = [await contextWith(COIN), await contextWith(coins)];
      await nameSuccessor(old, next);
      expect(await successorOf(old)).to.equal(next.account.address);
      expect(await coinsOf(next)).to.equal(coins);
    }
  });

  it("asks for coins on the successor when neither can pay, never on the account that the thief empties", async () => {
    for (const [before, after] of [
      [0n, 0n],
      [DUST, DUST],
      [DUST, 0n],
      [0n, DUST],
    ] as const) {
      const [old, next] = [await contextWith(before), await contextWith(after)];
      const refused = await expectAsyncRejection(() => nameSuccessor(old, next), "FUNDS");
      expect(refused.hint).to.contain(next.account.address);
      expect(await successorOf(old)).to.equal(undefined);
    }
  });

  it("goes on beside a set at the thief's own provider, in a token that cannot be moved", async () => {
    const warnings: object[] = [];
    const logger: AgentLogger = { ...SILENT, warn: (facts) => void warnings.push(facts) };
    const [old, next] = [await contextWith(COIN, logger), await contextWith(COIN)];
    const { provider } = local.chain;
    const thief = new Wallet(Wallet.createRandom().privateKey, provider);
    await local.fund([thief.address]);
    const planted = await plantSet(local.deployment, provider, old.identity.signingKey, thief);
    await planted.token.call("setPaused", [true]);
    await old.send(depositCall(local.deployment, NATIVE_TOKEN, old.account.address, COIN / 4n));

    const plan = await planRotation({ old, asSuccessor: old, next });
    expect(plan.dataSets).to.deep.equal([]);
    expect(plan.left.map(({ id, provider: at, error }) => ({ id, at, code: error.code }))).to.deep.equal([
      { id: planted.id, at: planted.provider, code: "NOT_FOUND" },
    ]);

    const to = next.account.address;
    // While the rotation waits for it, the thief's token is not even looked at.
    const urgent = await payOut(old, to, 1, true);
    expect(urgent.map(({ token, from }) => [token, from])).to.deep.equal([
      [NATIVE_TOKEN, "escrow"],
      [NATIVE_TOKEN, "account"],
    ]);
    expect(warnings.splice(0)).to.deep.equal([{ account: old.account.address, tokens: 1 }]);
    await local.fund([old.account.address], COIN);
    await old.send(depositCall(local.deployment, NATIVE_TOKEN, old.account.address, COIN / 4n));

    const moved = await payOut(old, to, 0);
    expect(moved.map(({ token, from }) => [token, from])).to.deep.equal([
      [NATIVE_TOKEN, "escrow"],
      [NATIVE_TOKEN, "account"],
    ]);
    expect(moved[0]?.amount).to.equal(COIN / 4n);
    expect(warnings).to.have.length(1);
    expect(warnings[0]).to.include({ token: planted.token.address, code: "CHAIN_REVERTED" });

    await planted.token.call("setPaused", [false]);
    await local.fund([old.account.address], COIN);
    const later = await payOut(old, to, 0);
    expect(later[0]).to.include({ token: planted.token.address, from: "escrow" });
    expect(await planted.token.read("balanceOf", to)).to.equal(later[0]?.amount);
  });

  it("says that who could recover the old identity cannot recover the new one, until it is published", async () => {
    const [old, next] = [await contextWith(COIN), await contextWith(COIN)];
    const look = async () => (await planRotation({ old, asSuccessor: old, next })).endedRecovery;
    expect(await look()).to.equal(undefined);
    const plan = { wallet: { account: local.account(2).address, delaySeconds: 3600 }, windowSeconds: 3600 };
    const publish = async (owner: AgentContext) => {
      const secret = { ...identitySecretOf(local.chain, owner.account.address), version: 1, plan };
      const published = { secret, committeeId: 1n, sealed: new Uint8Array(178) };
      await owner.send(publishSecretCall(local.deployment, published));
    };
    await publish(old);
    expect(await look()).to.deep.equal(plan);
    await publish(next);
    expect(await look()).to.equal(undefined);
  });

  it("leaves the old phrases to the successor in contract state, so that nobody needs old logs", async () => {
    const line = [await contextWith(COIN), await contextWith(COIN), await contextWith(COIN)] as const;
    const [first, second, last] = line;
    await nameSuccessor(first, second);
    await nameSuccessor(second, last);
    const proxy = await startFaultyProxy(local.rpcUrl);
    proxy.fault = (method) =>
      method === "eth_getLogs" ? { error: { code: -32_000, message: "history is pruned" } } : undefined;
    const chain = await connectChain({ ...local.deployment, rpcUrl: proxy.url });
    try {
      const predecessors = await readPredecessors(chain, last.identity);
      expect(predecessors.map(({ account }) => account)).to.deep.equal([second.account.address, first.account.address]);
      expect(predecessors.map(({ identity }) => identity.phraseEntropy)).to.deep.equal([
        second.identity.phraseEntropy,
        first.identity.phraseEntropy,
      ]);
      for (const { identity } of predecessors) identity.wipe();
      expect(await readPredecessors(chain, first.identity)).to.deep.equal([]);
    } finally {
      chain.close();
      await proxy.close();
    }
  });

  it("leaves a balance behind that the old account cannot pay for to withdraw, and does not fail", async () => {
    const [old, next] = [await contextWith(COIN), await contextWith(0n)];
    await old.send(depositCall(local.deployment, NATIVE_TOKEN, old.account.address, COIN / 4n));
    await local.chain.provider.send("anvil_setBalance", [old.account.address, "0x1"]);
    expect(await payOut(old, next.account.address, 0)).to.deep.equal([]);
  });
});
