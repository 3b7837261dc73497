/** What a user that is a contract can make a provider pay, at a real provider on a real chain. */
import { expect } from "chai";
import { concat, type HDNodeWallet, isError } from "ethers";
import type { ContractCall } from "../../offchain/chain/contract-call.ts";
import { readBooks } from "../../offchain/chain/escrow.ts";
import { openDataSetCall, updateDataSetCall } from "../../offchain/chain/escrow-calls.ts";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import { fromHex } from "../../offchain/core/encoding/hex.ts";
import type { UpdateRequest } from "../../offchain/core/wire/data-sets.ts";
import { Device, ok, SLICE_ELEMENTS } from "../csp/data-sets/device.ts";
import { randomChunk } from "../csp/provider-fixture.ts";
import { ProviderProcess, TEST_OFFER } from "../csp/provider-process.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { until } from "../helpers/promises.ts";
import { deployTwoFacedWallet, type TwoFacedWallet, WalletSigner } from "../helpers/wallet-signer.ts";

const EPOCH_BLOCKS = 60;
const NOTICE_EPOCHS = 2;
const SLICE_BYTES = 31 * SLICE_ELEMENTS;
const FUNDS = 10n ** 18n;
/** So that a penalty would be worth showing. */
const PRICES = [{ ...TEST_OFFER.prices[0], minimumFeePerEpoch: "10000000000000000" }];
const OFFER = {
  ...TEST_OFFER,
  prices: PRICES,
  windowBlocks: 20,
  dataSets: { graceBlocks: 10, sliceElements: [SLICE_ELEMENTS], maximumIndex: 1000 },
};
/** What a wallet may burn: `WALLET_GAS` of contracts/libraries/AccountSignature.sol. */
const WALLET_GAS = 500_000n;

describe("a provider whose user is a contract wallet with two faces", function () {
  this.timeout(120_000);
  let local: LocalChain;
  let provider: ProviderProcess;
  let owner: HDNodeWallet;
  let wallet: TwoFacedWallet;

  before(async () => {
    await auditReady();
    const parameters = { epochBlocks: BigInt(EPOCH_BLOCKS), noticeEpochs: BigInt(NOTICE_EPOCHS) };
    local = await startLocalChain({ parameters });
    owner = local.account(1);
  });
  after(async () => local.stop());

  beforeEach(async () => {
    wallet = await deployTwoFacedWallet(owner);
    provider = await ProviderProcess.prepare(local, { offer: OFFER });
    await provider.start();
  });
  afterEach(async () => provider.remove());

  const sentByProvider = () => local.chain.provider.getTransactionCount(provider.operator);
  const send = async ({ to, data, value = 0n }: ContractCall, gasLimit?: bigint) => {
    const receipt = await (
      await owner.sendTransaction({ to, data, value, ...(gasLimit === undefined ? {} : { gasLimit }) })
    ).wait();
    if (receipt === null) throw new Error("not mined");
    return receipt;
  };
  const rounds = () => new Promise((resolve) => setTimeout(resolve, 2000));
  async function deviceOf(signer: WalletSigner | HDNodeWallet): Promise<Device> {
    const device = await Device.connect(local.chain, provider, signer);
    await device.deposit(FUNDS);
    await device.begin();
    await device.add(randomChunk(SLICE_BYTES));
    return device;
  }
  const signedByBoth = (state: UpdateRequest, providerSignature: string) => ({
    ...state,
    version: BigInt(state.version),
    ranges: fromHex(state.ranges),
    deadlineBlock: BigInt(state.deadlineBlock),
    providerSignature,
  });
  /** Proposes the opening. @returns the call with both signatures */
  async function openingOf(device: Device): Promise<ContractCall> {
    const agreed = device.termsWith();
    device.agreed = agreed;
    const first = await device.state();
    const body = device.openRequest(first);
    const answer = ok(await device.client.request("POST", `${device.path}/open`, { body }));
    expect(answer).to.have.all.keys("id", "version", "providerSignature");
    device.version = 1n;
    const signed = signedByBoth(first, answer.providerSignature);
    return openDataSetCall(local.deployment, agreed.terms, agreed.audit, signed);
  }

  it("sends none of its states, which its user sends and pays for", async () => {
    const alice = await deviceOf(new WalletSigner(wallet.address, owner));
    const opening = await openingOf(alice);
    await local.mine(10);
    await rounds();
    // The deposit of collateral is all that it has sent.
    expect(await sentByProvider()).to.equal(1);
    expect(await alice.onChain()).to.equal(undefined);
    const burnt = await send(opening, 1_000_000n).catch((error: unknown) => {
      if (isError(error, "CALL_EXCEPTION") && error.receipt) return error.receipt;
      throw error;
    });
    expect([burnt.status, burnt.gasUsed > WALLET_GAS]).to.deep.equal([0, true]);
    await wallet.setHonest(true);
    await send(opening);
    await until("the provider knows it", async () => (await alice.status()).state === "running", 30);

    await local.mine(EPOCH_BLOCKS);
    await alice.add(randomChunk(SLICE_BYTES));
    await wallet.setHonest(false);
    const state = await alice.state();
    const before = await sentByProvider();
    const answer = ok(await alice.propose(state));
    expect(answer).to.have.all.keys("id", "version", "providerSignature");
    await rounds();
    await wallet.setHonest(true);
    const { agreed } = alice;
    const found = await alice.onChain();
    if (found === undefined || agreed === undefined) throw new Error("not on chain");
    expect(found.decoded.version).to.equal(1n);
    const proofs = (await readBooks(local.chain, alice.id))?.proven ?? 0;
    expect((await sentByProvider()) - before).to.be.at.most(proofs);
    const words = { terms: agreed.terms, schedule: found.schedule, ranges: found.ranges };
    await send(updateDataSetCall(local.deployment, words, signedByBoth(state, answer.providerSignature)));
    await until("the provider knows it", async () => (await alice.status()).version === "2", 30);
    const epoch = Math.floor((await local.chain.provider.getBlockNumber()) / EPOCH_BLOCKS) + 1;
    await local.mine(epoch * EPOCH_BLOCKS + alice.phase + 1 - (await local.chain.provider.getBlockNumber()));
    const provenBefore = (await alice.status()).provenEpochs;
    await until(
      "what its user has sent is proven",
      async () => (await alice.status()).provenEpochs > provenBefore,
      60,
      () => provider.log,
    );
  });

  it("keeps no evidence of two states, which the wallet would deny", async () => {
    const alice = await deviceOf(new WalletSigner(wallet.address, owner));
    const opening = await openingOf(alice);
    await wallet.setHonest(true);
    await send(opening);
    await until("the provider knows it", async () => (await alice.status()).state === "running", 30);
    await wallet.setHonest(false);
    const before = await sentByProvider();
    const contentHash = `0x${"12".repeat(32)}`;
    const answer = await alice.propose(await alice.state({ version: "1", contentHash }));
    expect(answer.json.error).to.include({ code: "CONFLICT", check: "version" });
    await local.mine(2 * EPOCH_BLOCKS);
    await rounds();
    expect(provider.log).not.to.contain("two states");
    const proofs = await provider.metric("tallystick_csp_proofs_sent_total");
    expect((await sentByProvider()) - before).to.equal(proofs);
    expect((await readBooks(local.chain, alice.id))?.status).to.equal("running");
  });

  it("sends what the key of an account with such code has signed, without asking the code", async () => {
    const account = local.account(2);
    const delegation = concat(["0xef0100", wallet.address]);
    await local.chain.provider.send("anvil_setCode", [account.address, delegation]);
    const bob = await deviceOf(account);
    const { transaction } = ok(await bob.open());
    const receipt = await local.chain.provider.getTransactionReceipt(transaction.hash);
    expect(receipt?.from).to.equal(provider.operator);
    expect(receipt?.gasUsed).to.be.lessThan(130_000n);
  });
});
