/** What a provider does so that the escrow takes its collateral, on a real chain. */
import { expect } from "chai";
import { pino } from "pino";
import { NATIVE_TOKEN } from "../../../offchain/chain/data-set-words.ts";
import { readPool } from "../../../offchain/chain/escrow.ts";
import { TransactionSender } from "../../../offchain/chain/sender.ts";
import { fromHex } from "../../../offchain/core/encoding/hex.ts";
import { Collateral } from "../../../offchain/csp/data-sets/collateral.ts";
import type { Locks } from "../../../offchain/csp/data-sets/locks.ts";
import { type LocalChain, startLocalChain } from "../../helpers/local-chain.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";
import { deployZooToken } from "../../helpers/zoo-token.ts";

describe("collateral of a provider", function () {
  this.timeout(60_000);
  let local: LocalChain;
  let collateral: Collateral;

  before(async () => {
    local = await startLocalChain();
    const sender = new TransactionSender(local.chain, fromHex(local.account(1).privateKey));
    const locks = { exclusively: (_: string, __: number, work: () => Promise<unknown>) => work() } as unknown as Locks;
    const limitsOf = () => ({ collateralCap: 1000n, reserve: 0n });
    collateral = new Collateral({ chain: local.chain, sender, locks, limitsOf, logger: pino({ level: "silent" }) });
  });
  after(async () => local.stop());

  const sent = () => local.chain.provider.getTransactionCount(local.account(1).address);
  const pooled = async (token: string) => (await readPool(local.chain, token, local.account(1).address)).total;

  it("is deposited in a token that changes an allowance by way of zero only, whatever allowance was left", async () => {
    const token = await deployZooToken(local.account(0), "TetherToken");
    await token.call("mint", [local.account(1).address, 1000n]);
    const { storageEscrow } = local.deployment.contracts;
    // As an approval leaves it whose deposit was refused.
    await token.call("approve", [storageEscrow, 30n], local.account(1));
    const before = await sent();
    await collateral.raiseTo(token.address, 100n);
    expect([await pooled(token.address), (await sent()) - before]).to.deep.equal([100n, 3]);
    // None is left now; one that is enough is used.
    await collateral.raiseTo(token.address, 150n);
    expect([await pooled(token.address), (await sent()) - before]).to.deep.equal([150n, 5]);
    await token.call("approve", [storageEscrow, 90n], local.account(1));
    await collateral.raiseTo(token.address, 200n);
    expect([await pooled(token.address), (await sent()) - before]).to.deep.equal([200n, 7]);
  });

  it("is deposited in the coin up to the cap", async () => {
    await collateral.raiseTo(NATIVE_TOKEN, 1000n);
    expect(await pooled(NATIVE_TOKEN)).to.equal(1000n);
    await expectAsyncRejection(() => collateral.raiseTo(NATIVE_TOKEN, 1001n), "RATE_LIMITED", /collateral/);
  });
});
