import { expect } from "chai";
import type { ContractCall } from "../../offchain/chain/contract-call.ts";
import { quoteFee } from "../../offchain/chain/fee-limit.ts";
import { TransactionSender } from "../../offchain/chain/sender.ts";
import { formatEther } from "../../offchain/core/encoding/amounts.ts";
import { fromHex } from "../../offchain/core/encoding/hex.ts";
import { sendChecked } from "../../offchain/daemon/operator-command.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { failure, until } from "../helpers/promises.ts";

const CALL: ContractCall = {
  to: "0x000000000000000000000000000000000000dEaD",
  data: "0x",
  value: 1n,
  description: "sending ether",
};

describe("transaction of an operator's command", function () {
  this.timeout(60_000);
  let local: LocalChain;

  before(async () => {
    local = await startLocalChain();
  });
  after(() => local.stop());
  afterEach(() => local.chain.provider.send("evm_setAutomine", [true]));

  const senderOf = (account: number, receiptTimeoutSeconds = 20) =>
    new TransactionSender(local.chain, fromHex(local.account(account).privateKey), {
      nudgeAfterSeconds: 0.2,
      receiptTimeoutSeconds,
    });
  const rpc = (method: string, ...params: unknown[]) => local.chain.provider.send(method, params);

  it("is not sent when it would cost more than --max-gas-fee", async () => {
    const sender = senderOf(1);
    const { gasFee } = await quoteFee(local.chain, CALL, sender.address);
    const refused = await failure(sendChecked(local.chain, sender, CALL, gasFee - 1n));
    expect(refused).to.include({ code: "FUNDS", received: formatEther(gasFee) });
    expect(await local.chain.provider.getTransactionCount(sender.address, "pending")).to.equal(0);
  });

  it("becomes dearer than --max-gas-fee when fees rise, since the daemon's transactions wait behind it", async () => {
    await rpc("evm_setAutomine", false);
    const sender = senderOf(2);
    const { gasFee } = await quoteFee(local.chain, CALL, sender.address);
    const sent = sendChecked(local.chain, sender, CALL, gasFee);
    const offered = async (): Promise<bigint> => {
      const { pending } = await rpc("txpool_content");
      const found = Object.entries(pending).find(([account]) => account.toLowerCase() === sender.address.toLowerCase());
      return BigInt((found?.[1] as { 0?: { maxFeePerGas: string } } | undefined)?.[0]?.maxFeePerGas ?? 0);
    };
    await until("the transaction in the pool", async () => (await offered()) > 0n);
    const first = await offered();
    await until("a dearer one in its place", async () => (await offered()) > first, 10);
    // More than the first one offered.
    await rpc("anvil_setNextBlockBaseFeePerGas", `0x${(first + 1n).toString(16)}`);
    await rpc("evm_mine");
    expect((await sent).gasFee > gasFee).to.equal(true);
  });

  it("says that the daemon's transactions wait behind it when it is not mined in time", async () => {
    await rpc("evm_setAutomine", false);
    const late = await failure(sendChecked(local.chain, senderOf(3, 1), CALL, undefined));
    expect(late).to.include({ code: "TIMED_OUT", retryable: false });
    expect(late).to.have.nested.property("details.nonce", 0);
    expect((late as { hint: string }).hint).to.contain("the daemon's transactions wait behind it");
    await rpc("evm_mine");
  });
});
