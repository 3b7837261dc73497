/**
 * Owner, guardians and claimants on a real chain, without key nodes: what each is told, and what is refused before it
 * is sent.
 */

import { expect } from "chai";
import { AgentContext } from "../../../offchain/agent/context.ts";
import { SILENT } from "../../../offchain/agent/progress.ts";
import { RecoveryClaim } from "../../../offchain/agent/recovery/claim.ts";
import { drillRecovery } from "../../../offchain/agent/recovery/drill.ts";
import { accountsNaming, protectionOf } from "../../../offchain/agent/recovery/find.ts";
import { identitySecretOf, type Protection, requireProtection } from "../../../offchain/agent/recovery/protection.ts";
import { Recovery } from "../../../offchain/agent/recovery/recovery.ts";
import { replacedIn, replacedWarnings, requireNoneReplaced } from "../../../offchain/agent/recovery/replaced.ts";
import { readRequests, withDetails } from "../../../offchain/agent/recovery/requests.ts";
import { nameSuccessor } from "../../../offchain/agent/rotation/name-successor.ts";
import { WatchedRecovery } from "../../../offchain/agent/watch/watched-recovery.ts";
import type { ChainReader } from "../../../offchain/chain/deployment.ts";
import { openRecoveryCall, type RecoveryPlan } from "../../../offchain/chain/recovery-policy.ts";
import { publishSecretCall } from "../../../offchain/chain/recovery-publications.ts";
import { toHex } from "../../../offchain/core/encoding/hex.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import { identityFromEntropy } from "../../../offchain/core/identity/identity.ts";
import { type LocalChain, startLocalChain } from "../../helpers/local-chain.ts";
import { memoryPlatform } from "../../helpers/memory-platform.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";

const HOUR = 3600;

describe("agent.recovery", () => {
  let local: LocalChain;
  let chain: ChainReader;
  const contexts: AgentContext[] = [];
  let people = 0;

  before(async () => {
    local = await startLocalChain();
    chain = local.chain;
  });
  after(async () => {
    for (const context of contexts) await context.close();
    await local?.stop();
  });

  async function newContext(): Promise<AgentContext> {
    people += 1;
    const context = new AgentContext({
      identity: identityFromEntropy(new Uint8Array(16).fill(people)),
      deployment: local.deployment,
      platform: memoryPlatform(),
      logger: SILENT,
      confirmations: 1,
    });
    contexts.push(context);
    await local.fund([context.account.address]);
    return context;
  }

  async function pass(seconds: number): Promise<void> {
    await chain.provider.send("evm_increaseTime", [seconds]);
    await local.mine(1);
  }

  async function publish(owner: AgentContext, plan: RecoveryPlan, version = 1): Promise<Protection> {
    const secret = { ...identitySecretOf(chain, owner.account.address), version, plan };
    await owner.send(publishSecretCall(local.deployment, { secret, committeeId: 1n, sealed: new Uint8Array(178) }));
    return await requireProtection(chain, owner.account.address);
  }

  async function guarded() {
    const [owner, wallet, first, second, third] = [
      await newContext(),
      await newContext(),
      await newContext(),
      await newContext(),
      await newContext(),
    ];
    const plan: RecoveryPlan = {
      wallet: { account: wallet.account.address, delaySeconds: 3 * HOUR },
      guardians: {
        accounts: [first, second, third].map(({ account }) => account.address),
        threshold: 2,
        delaySeconds: 2 * HOUR,
      },
      windowSeconds: 10 * HOUR,
    };
    const protection = await publish(owner, plan);
    const claimant = await newContext();
    const account = owner.account.address;
    const claim = new RecoveryClaim(claimant, account, "guardians");
    const asked = { requester: claim.requester, sessionKey: claim.sessionKey };
    return { owner, wallet, first, second, third, protection, claimant, account, claim, asked };
  }

  it("tells of a request in each phase, to the owner once each", async () => {
    const { owner, first, second, account, asked, claim } = await guarded();
    const watched = new WatchedRecovery(owner);
    expect(await watched.look(1)).to.deep.equal([]);
    expect(await claim.look()).to.not.have.property("request");

    await new Recovery(first).approve(account, asked);
    const [told] = await watched.look(2);
    expect(told).to.include({ kind: "recovery-requested", severity: "alarm", proposer: first.account.address });
    expect(told?.hint).to.contain(`tallystick recovery veto ${first.account.address}`);
    expect(await watched.look(3)).to.deep.equal([]);
    expect((await claim.look()).request).to.deep.include({
      phase: "collecting",
      approvedBy: [first.account.address],
      approvalsNeeded: 2,
    });

    const last = await new Recovery(second).approve(account, asked);
    expect(last).to.include({ isOpened: false, approvals: 2, threshold: 2 });
    expect((await watched.look(4))[0]).to.include({ releasableAt: last.releasableAt });
    expect((await claim.look()).request?.phase).to.equal("scheduled");
    await pass(2 * HOUR);
    expect((await claim.look()).request?.phase).to.equal("releasable");
    expect((await watched.look(5))[0]).to.include({ kind: "recovery-due" });
    await pass(10 * HOUR + 1);
    expect(await claim.look()).to.not.have.property("request");
    expect(await watched.look(6)).to.deep.equal([]);
  });

  it("refuses a guardian's second approval, one beyond the threshold, and a stranger's, naming them", async () => {
    const { owner, first, second, third, account, asked } = await guarded();
    const nonces = () =>
      Promise.all([owner, first, third].map((one) => chain.provider.getTransactionCount(one.account.address)));
    await new Recovery(first).approve(account, asked);
    const before = await nonces();
    const twice = await expectAsyncRejection(() => new Recovery(first).approve(account, asked), "CONFLICT");
    expect(twice.party).to.equal(`guardian ${first.account.address}`);
    await expectAsyncRejection(() => new Recovery(owner).approve(account, asked), "NOT_OWNER");
    await new Recovery(second).approve(account, asked);
    const late = await expectAsyncRejection(() => new Recovery(third).approve(account, asked), "CONFLICT", /enough/);
    expect(late.party).to.equal(`guardian ${third.account.address}`);
    expect(await nonces()).to.deep.equal(before);
  });

  it("passes over a guardian who replaces its request, with its approvals, again and again", async () => {
    const { first, second, third, protection, account, asked } = await guarded();
    await new Recovery(first).approve(account, asked);
    const replaced = async (number: bigint) => {
      const request = { path: "guardians", proposer: first.account.address, ...asked, number } as const;
      await first.send(openRecoveryCall(local.deployment, protection.secret, request));
    };
    await replaced(2n);
    const nobody = await expectAsyncRejection(
      () => new Recovery(second).approve(account, asked, { proposer: third.account.address }),
      "NOT_FOUND",
    );
    expect(nobody.party).to.equal(`guardian ${third.account.address}`);
    const own = await new Recovery(second).approve(account, asked, { proposer: second.account.address });
    expect(own).to.include({ isOpened: true, approvals: 1 });
    await replaced(3n);
    const done = await new Recovery(third).approve(account, asked);
    expect(done).to.include({ isOpened: false, approvals: 2, requestId: own.requestId });
    expect(done.releasableAt).to.be.greaterThan(0);
  });

  it("tells of a wallet and guardians that were replaced, and names none of them", async () => {
    const { owner, wallet, second, protection } = await guarded();
    const [before, after] = [await newContext(), await newContext()];
    for (const [old, next] of [
      [wallet, before],
      [second, after],
    ] as const) {
      await nameSuccessor(old, next);
    }
    const shown = await replacedIn(chain, protection.secret.plan);
    expect(shown).to.deep.equal([
      { path: "wallet", account: wallet.account.address, successor: before.account.address },
      { path: "guardians", account: second.account.address, successor: after.account.address },
    ]);
    const warnings = await replacedWarnings(owner);
    expect(warnings).to.have.length(2);
    expect(warnings[1]).to.contain(`guardian ${second.account.address} was replaced by ${after.account.address}`);
    const { plan } = protection.secret;
    const refused = await expectAsyncRejection(() => requireNoneReplaced(chain, plan), "INVALID_INPUT");
    expect(refused).to.include({ check: "recovery plan", received: wallet.account.address });
    expect(refused.hint).to.contain(before.account.address);
    await requireNoneReplaced(chain, { ...plan, wallet: { account: before.account.address, delaySeconds: HOUR } }).then(
      () => expect.fail("the second guardian is still named"),
      (error: TallystickError) => expect(error.received).to.equal(second.account.address),
    );
  });

  it("warns whoever claims an account that was replaced, and fails its drill", async () => {
    const { owner, account, claimant } = await guarded();
    expect(await protectionOf(local.deployment, account)).to.not.have.property("warning");
    const next = await newContext();
    await nameSuccessor(owner, next);
    expect((await protectionOf(local.deployment, account)).warning).to.contain(next.account.address);
    const report = await drillRecovery(claimant, { way: "guardians", account, isOwner: false });
    expect(report.outcome).to.equal("failed");
    expect(report.checks[0]).to.include({ check: "no successor", outcome: "failed", party: `account ${account}` });
  });

  it("says in a drill what could not be checked: who pays for a wallet and for guardians without coins", async () => {
    const { wallet, first, second, third, account, claimant } = await guarded();
    const coins = async (way: "wallet" | "guardians") => {
      const { checks } = await drillRecovery(claimant, { way, account, isOwner: false });
      const paid = checks.filter(({ check }) => check.includes("coins"));
      for (const { outcome, remedy } of paid) expect(remedy === undefined).to.equal(outcome === "passed");
      return paid.map(({ outcome, decides }) => `${outcome}${decides ? "" : " beside"}`);
    };
    const empty = (one: AgentContext) => chain.provider.send("anvil_setBalance", [one.account.address, "0x0"]);
    expect(await coins("wallet")).to.deep.equal(["passed"]);
    await empty(wallet);
    expect(await coins("wallet")).to.deep.equal(["unchecked"]);
    await empty(first);
    expect((await coins("guardians")).toSorted()).to.deep.equal([
      "passed",
      "passed beside",
      "passed beside",
      "unchecked beside",
    ]);
    await empty(second);
    expect((await coins("guardians")).at(-1)).to.equal("unchecked");
    await empty(third);
    expect((await coins("guardians")).at(-1)).to.equal("unchecked");
  });

  it("tries the key of the wallet in a drill, and says when there was none to try", async () => {
    const { wallet, first, account, claimant } = await guarded();
    const keyed = async (own: AgentContext | undefined) => {
      const at = own === undefined ? {} : { wallet: own.account.address };
      const { checks } = await drillRecovery(claimant, { way: "wallet", account, isOwner: false, ...at });
      return checks.find(({ check }) => check === "key of the wallet");
    };
    expect(await keyed(wallet)).to.include({ outcome: "passed" });
    expect(await keyed(first)).to.include({ outcome: "failed" });
    const untried = await keyed(undefined);
    expect(untried).to.include({ outcome: "unchecked", decides: true });
    expect(untried?.remedy).to.contain("--wallet-key-file");
  });

  it("approves for nobody but whom the guardian names", async () => {
    const { first, second, account, asked, claim } = await guarded();
    const other = { ...asked, sessionKey: toHex(new Uint8Array(32).fill(5)) };
    await new Recovery(first).approve(account, other);
    expect(await new Recovery(second).approve(account, asked)).to.include({ isOpened: true, approvals: 1 });
    expect((await claim.look()).request?.approvedBy).to.deep.equal([second.account.address]);
  });

  it("bars a guardian whose request was vetoed from opening another, and not from approving one", async () => {
    const { owner, first, second, account, asked } = await guarded();
    await new Recovery(first).approve(account, asked);
    const {
      vetoed: [vetoed],
    } = await new Recovery(owner).veto();
    expect(vetoed).to.include({ proposer: first.account.address, path: "guardians" });
    await expectAsyncRejection(() => new Recovery(owner).veto(), "NOT_FOUND");
    const barred = await expectAsyncRejection(() => new Recovery(first).approve(account, asked), "CONFLICT", /vetoed/);
    expect(barred.party).to.equal(`guardian ${first.account.address}`);
    await new Recovery(second).approve(account, asked);
    expect(await new Recovery(first).approve(account, asked)).to.include({ isOpened: false, approvals: 2 });
  });

  it("vetoes what is nearest to a release first, and the rest when one veto comes too late", async () => {
    const { owner, wallet, first, second, third, account, asked, protection } = await guarded();
    const [decoy, proposer, helper] = [first, second, third].sort((a, b) =>
      BigInt(a.account.address) < BigInt(b.account.address) ? -1 : 1,
    ) as [AgentContext, AgentContext, AgentContext];
    const byWallet = new RecoveryClaim(wallet, account, "wallet");
    await byWallet.relay(await byWallet.opening(protection, 0n));
    await new Recovery(decoy).approve(account, { ...asked, sessionKey: toHex(new Uint8Array(32).fill(5)) });
    await new Recovery(proposer).approve(account, asked);
    await new Recovery(helper).approve(account, asked);
    const send = owner.send.bind(owner);
    let sent = 0;
    owner.send = async (...call) => {
      sent += 1;
      if (sent === 2) throw new TallystickError("too late", { code: "CHAIN_REVERTED" });
      return await send(...call);
    };
    const { failed } = await new Recovery(owner).veto();
    expect(failed.map(({ proposer: by, error }) => [by, error.code])).to.deep.equal([
      [wallet.account.address, "CHAIN_REVERTED"],
    ]);
    owner.send = send;
    expect(sent).to.equal(3);
    // Guardians have 2 hours, the wallet 3, whose veto it was; the decoy lacks an approval.
    const left = await new Recovery(owner).underWay();
    expect(left.map((view) => view.proposer)).to.deep.equal([wallet.account.address]);
  });

  it("sends no veto when the delay is over, and vetoes what can be vetoed beside it", async () => {
    const { owner, wallet, first, account, asked, protection } = await guarded();
    const byWallet = new RecoveryClaim(wallet, account, "wallet");
    await byWallet.relay(await byWallet.opening(protection, 0n));
    await pass(3 * HOUR);
    const late = await expectAsyncRejection(() => new Recovery(owner).veto(), "CONFLICT", /delay/);
    expect(late.party).to.equal(`proposer ${wallet.account.address}`);
    await new Recovery(first).approve(account, asked);
    const { vetoed, failed } = await new Recovery(owner).veto();
    expect(vetoed.map(({ proposer }) => proposer)).to.deep.equal([first.account.address]);
    expect(failed.map(({ proposer, error }) => [proposer, error.code, error.check])).to.deep.equal([
      [wallet.account.address, "CONFLICT", "time of the veto"],
    ]);
    expect((await new Recovery(owner).underWay()).map(({ path }) => path)).to.deep.equal(["wallet"]);
    await new Recovery(owner).retire();
    expect(await new Recovery(owner).underWay()).to.deep.equal([]);
    const retired = await expectAsyncRejection(() => byWallet.look(), "CONFLICT", /retired/);
    expect(retired.party).to.equal(`account ${account}`);
  });

  it("goes on with other vetoes when the chain refuses one, and says which", async () => {
    const { owner, wallet, first, second, account, asked, protection } = await guarded();
    const byWallet = new RecoveryClaim(wallet, account, "wallet");
    await byWallet.relay(await byWallet.opening(protection, 0n));
    await new Recovery(first).approve(account, asked);
    await new Recovery(second).approve(account, asked, { proposer: second.account.address });
    // The next block is later than the newest one shows, so that the veto of the wallet comes too late in it.
    await chain.provider.send("evm_increaseTime", [3 * HOUR]);
    const { vetoed, failed } = await new Recovery(owner).veto();
    expect(failed.map(({ proposer, error }) => [proposer, error.code, error.check])).to.deep.equal([
      [wallet.account.address, "CHAIN_REVERTED", "VetoTooLate"],
    ]);
    const named = [first, second].map((one) => one.account.address).toSorted();
    expect(vetoed.map(({ proposer }) => proposer).toSorted()).to.deep.equal(named);
    // A single one is thrown.
    await byWallet.relay(await byWallet.opening(protection, 0n));
    await chain.provider.send("evm_increaseTime", [3 * HOUR]);
    await expectAsyncRejection(() => new Recovery(owner).veto(), "CHAIN_REVERTED", /VetoTooLate/);
  });

  it("says who vetoed a claim, and opens none by a key that is not the wallet's", async () => {
    const { owner, wallet, first, account, protection } = await guarded();
    const claim = new RecoveryClaim(wallet, account, "wallet");
    const opening = await claim.opening(protection, 0n);
    await expectAsyncRejection(() => claim.openBy(first.identity.signingKey, opening), "INVALID_INPUT");
    await claim.openBy(wallet.identity.signingKey, opening);
    // The same once more.
    await expectAsyncRejection(
      () => claim.openBy(wallet.identity.signingKey, opening),
      "CHAIN_REVERTED",
      /WrongNumber/,
    );
    await new Recovery(owner).veto(wallet.account.address);
    const error = await expectAsyncRejection(() => claim.look(), "CONFLICT", /vetoed/);
    expect(error.party).to.equal(`account ${account}`);
    await expectAsyncRejection(
      async () => await claim.openBy(wallet.identity.signingKey, await claim.opening(protection, 0n)),
      "CHAIN_REVERTED",
      /ProposerBarred/,
    );
  });

  it("leaves out a request whose event is another's", async () => {
    const { first, account, asked, protection } = await guarded();
    await new Recovery(first).approve(account, asked);
    const [view] = await readRequests(chain, protection);
    if (view === undefined) throw new Error("no request");
    expect(await withDetails(chain, protection, [view])).to.have.length(1);
    const { provider } = chain;
    const lying: ChainReader = {
      ...chain,
      provider: new Proxy(provider, {
        get: (target, name) => {
          const value: unknown = Reflect.get(target, name);
          if (name !== "getLogs") return typeof value === "function" ? value.bind(target) : value;
          return async (filter: Parameters<typeof provider.getLogs>[0]) =>
            (await provider.getLogs(filter)).map((log) =>
              Object.create(log, {
                data: {
                  value: log.data.replace(asked.requester.slice(2).toLowerCase(), first.account.address.slice(2)),
                },
              }),
            );
        },
      }),
    };
    expect(await withDetails(lying, protection, [view])).to.deep.equal([]);
  });

  it("finds who named an address, as long as the version lives", async () => {
    const { wallet, first, account, owner } = await guarded();
    const { accounts } = await accountsNaming(local.deployment, first.account.address);
    expect(accounts.map((one) => [one.account, one.path])).to.deep.equal([[account, "guardians"]]);
    expect((await new Recovery(first).guarded()).guarded).to.have.length(1);
    await publish(owner, { wallet: { account: wallet.account.address, delaySeconds: HOUR }, windowSeconds: HOUR }, 2);
    expect(await accountsNaming(local.deployment, first.account.address)).to.deep.equal({ accounts: [], leftOut: 0 });
    expect(await new Recovery(first).guarded()).to.deep.equal({ guarded: [], leftOut: 0 });
    expect((await accountsNaming(local.deployment, wallet.account.address)).accounts).to.have.length(1);
  });

  it("refuses a plan that names the owner itself, before anything is sealed", async () => {
    const owner = await newContext();
    const wallet = { account: owner.account.address, delaySeconds: HOUR };
    const error = await expectAsyncRejection(
      () => new Recovery(owner).prepare({ wallet, windowSeconds: HOUR }),
      "INVALID_INPUT",
      /its own/,
    );
    expect(error).to.be.instanceOf(TallystickError);
  });

  it("says of an account without a recovery, and of a way that it has not, whose it is", async () => {
    const { account, wallet, owner } = await guarded();
    await publish(owner, { wallet: { account: wallet.account.address, delaySeconds: HOUR }, windowSeconds: HOUR }, 2);
    const claimant = await newContext();
    const none = await expectAsyncRejection(
      () => new RecoveryClaim(claimant, wallet.account.address, "wallet").look(),
      "NOT_FOUND",
      /never published/,
    );
    expect(none.party).to.equal(`account ${wallet.account.address}`);
    await expectAsyncRejection(
      () => new RecoveryClaim(claimant, account, "guardians").look(),
      "NOT_FOUND",
      /guardians/,
    );
  });

  it("opens a request at most as dear as allowed", async () => {
    const { wallet, account, protection } = await guarded();
    const claim = new RecoveryClaim(wallet, account, "wallet");
    const opening = await claim.opening(protection, 0n);
    const limit = { maximumFee: 1n };
    await expectAsyncRejection(() => claim.openBy(wallet.identity.signingKey, opening, limit), "FUNDS");
    expect(opening.call).to.deep.equal(openRecoveryCall(local.deployment, protection.secret, opening.request));
  });
});
