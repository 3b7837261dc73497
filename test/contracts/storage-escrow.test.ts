import { expect } from "chai";
import { ContractFactory, parseEther, type TransactionReceipt } from "ethers";
import hre from "hardhat";
import type { ContractCall } from "../../offchain/chain/contract-call.ts";
import {
  type Agreement,
  acceptCall,
  approveCall,
  balanceOf,
  cancelCall,
  closeCall,
  depositOf,
  type EpochChallenge,
  type EscrowEvent,
  NATIVE_TOKEN,
  proposeCall,
  proposedAgreementId,
  proveCall,
  readAcceptance,
  readAgreement,
  readAllowance,
  readChallenge,
  readEpochStatus,
  reportMissCall,
  scanEscrow,
  type Terms,
  withdrawCall,
} from "../../offchain/chain/escrow.ts";
import { ChainRevertedError } from "../../offchain/chain/revert.ts";
import { TransactionSender } from "../../offchain/chain/sender.ts";
import { auditKeyHash } from "../../offchain/core/audit/keys.ts";
import type { AuditProof } from "../../offchain/core/audit/proof.ts";
import { proveAudit } from "../../offchain/core/audit/prover.ts";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import { InvalidInputError } from "../../offchain/core/errors.ts";
import { type AuditKeys, patternBytes, type StoredSet, storeSet, testKeys } from "../helpers/audit-set.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";

const FEE = parseEther("0.1");
const COMPENSATION = parseEther("0.3");
const BOUNTY = parseEther("0.01");
const COLLATERAL = parseEther("1");

/** The revert that a contract refuses a promise with. */
async function refusal(promise: Promise<unknown>): Promise<{ name: string; error: ChainRevertedError }> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof ChainRevertedError) return { name: error.revert.name, error };
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("StorageEscrow with real proofs", () => {
  let local: LocalChain;
  let keys: AuditKeys;
  let stored: StoredSet;
  let user: TransactionSender;
  let provider: TransactionSender;
  let watcher: TransactionSender;

  const senderOf = (index: number) => new TransactionSender(local.chain, fromHex(local.account(index).privateKey));
  const head = () => local.chain.provider.getBlockNumber();
  const mineTo = async (block: bigint | number): Promise<void> => {
    const blocks = Number(block) - (await head());
    if (blocks > 0) await local.mine(blocks);
  };
  /** Mines so that the next transaction is in the first block after an epoch's challenge block. */
  const enterWindow = (terms: Terms, epoch: number) =>
    mineTo(terms.startBlock + BigInt(epoch) * BigInt(terms.epochBlocks));
  const leaveWindow = (terms: Terms, epoch: number) =>
    mineTo(terms.startBlock + BigInt(epoch * terms.epochBlocks + terms.windowBlocks));

  async function termsOf(changes: Partial<Terms> = {}): Promise<Terms> {
    return {
      provider: provider.address,
      token: NATIVE_TOKEN,
      feePerEpoch: FEE,
      compensationPerMiss: COMPENSATION,
      bountyPerMiss: BOUNTY,
      collateral: COLLATERAL,
      startBlock: BigInt((await head()) + 12),
      epochBlocks: 30,
      windowBlocks: 20,
      epochs: 3,
      sampleCount: 8,
      breachLimit: 2,
      firstIndex: BigInt(stored.firstIndex),
      sliceCount: BigInt(stored.slices.length),
      auditKeyHash: toHex(auditKeyHash(keys.publicKey)),
      manifestHash: `0x${"4d".repeat(32)}`,
      randomness: local.deployment.contracts.randomness,
      ...changes,
    };
  }

  async function propose(terms: Terms): Promise<Agreement> {
    const receipt = await user.send(proposeCall(local.deployment, terms));
    const agreement = await readAgreement(local.chain, proposedAgreementId(local.deployment, receipt));
    if (agreement === undefined) throw new Error("the proposal cannot be read");
    return agreement;
  }

  async function activate(changes: Partial<Terms> = {}): Promise<Agreement> {
    const agreement = await propose(await termsOf(changes));
    await provider.send(acceptCall(local.deployment, agreement));
    return agreement;
  }

  async function challengeOf(id: bigint, epoch: number): Promise<EpochChallenge> {
    const challenge = await readChallenge(local.chain, id, epoch);
    if (challenge === undefined) throw new Error(`epoch ${epoch} has no challenge`);
    return challenge;
  }

  const answer = async (id: bigint, epoch: number, source = stored.source): Promise<AuditProof> =>
    proveAudit(await challengeOf(id, epoch), source, { key: keys.publicKey });
  const proving = (id: bigint, epoch: number, proof: AuditProof): ContractCall =>
    proveCall(local.deployment, id, epoch, keys.publicKey, proof);
  const eventsOf = async (receipt: TransactionReceipt): Promise<EscrowEvent[]> => {
    const events: EscrowEvent[] = [];
    for await (const event of scanEscrow(local.chain, receipt.blockNumber, receipt.blockNumber)) events.push(event);
    return events;
  };
  const coins = (address: string) => local.chain.provider.getBalance(address);

  before(async () => {
    await auditReady();
    local = await startLocalChain();
    [user, provider, watcher] = [senderOf(1), senderOf(2), senderOf(3)];
    keys = testKeys();
    stored = storeSet(keys, patternBytes(3 * 126_976 - 5, 9), 7);
  });

  after(async () => {
    await local.stop();
  });

  it("pays for proven epochs, compensates missed ones, and ends with nothing left", async () => {
    const terms = await termsOf();
    const agreement = await propose(terms);
    const { id } = agreement;
    expect(agreement).to.deep.equal({
      id,
      user: user.address,
      status: "proposed",
      epochsProven: 0,
      epochsMissed: 0,
      terms,
    });
    expect(await readAcceptance(local.chain, id)).to.equal(undefined);
    expect(await readChallenge(local.chain, id, 0)).to.equal(undefined);

    const accepted = await provider.send(acceptCall(local.deployment, agreement));
    expect(await readAcceptance(local.chain, id)).to.deep.equal({
      transactionHash: accepted.hash,
      blockNumber: accepted.blockNumber,
    });
    expect(await coins(local.deployment.contracts.storageEscrow)).to.equal(depositOf(terms) + COLLATERAL);
    expect(await readEpochStatus(local.chain, id, 0)).to.equal("upcoming");

    // Epoch 0 is proven; anybody may send the proof.
    await enterWindow(terms, 0);
    const challenge = await challengeOf(id, 0);
    expect(challenge.sampleCount).to.equal(8);
    expect(challenge.ranges).to.deep.equal([{ firstIndex: 7, count: 3 }]);
    expect([challenge.openBlock, challenge.deadlineBlock].map(BigInt)).to.deep.equal([
      terms.startBlock,
      terms.startBlock + 20n,
    ]);
    const proof = await answer(id, 0);
    const proven = await watcher.send(proving(id, 0, proof));
    expect(await eventsOf(proven))
      .to.have.lengthOf(1)
      .and.to.deep.include.members([{ ...placeIn(proven), kind: "EpochProven", id, epoch: 0, fee: FEE }]);
    expect(await readEpochStatus(local.chain, id, 0)).to.equal("proven");
    expect((await refusal(watcher.send(proving(id, 0, proof)))).name).to.equal("EpochSettled");

    // Epoch 1: the proof of epoch 0 is worth nothing, and nobody makes another.
    await enterWindow(terms, 1);
    expect((await refusal(provider.send(proving(id, 1, proof)))).name).to.equal("ProofRejected");
    expect((await refusal(watcher.send(reportMissCall(local.deployment, id, 1)))).name).to.equal("WindowStillOpen");
    await leaveWindow(terms, 1);
    // The head is the last block of the window; the next one is past it.
    expect(await readEpochStatus(local.chain, id, 1)).to.equal("open");
    const missed = await watcher.send(reportMissCall(local.deployment, id, 1));
    expect(await eventsOf(missed)).to.deep.equal([
      {
        ...placeIn(missed),
        kind: "EpochMissed",
        id,
        epoch: 1,
        reporter: watcher.address,
        fee: FEE,
        compensation: COMPENSATION,
        bounty: BOUNTY,
      },
    ]);

    // Epoch 2 is left alone; closing counts it as missed, without a bounty.
    await leaveWindow(terms, 2);
    const ended = await watcher.send(closeCall(local.deployment, id));
    expect(await eventsOf(ended)).to.deep.equal([
      {
        ...placeIn(ended),
        kind: "AgreementEnded",
        id,
        breached: false,
        epochsProven: 1,
        epochsMissed: 1,
        epochsLapsed: 1,
        userCredit: FEE + COMPENSATION,
        providerCredit: COLLATERAL - 2n * COMPENSATION - BOUNTY,
      },
    ]);
    expect(await readEpochStatus(local.chain, id, 2)).to.equal("lapsed");
    expect(await readAgreement(local.chain, id)).to.include({ status: "closed", epochsProven: 1, epochsMissed: 1 });

    const credits: [TransactionSender, bigint][] = [
      [user, 2n * (FEE + COMPENSATION)],
      [provider, FEE + COLLATERAL - 2n * COMPENSATION - BOUNTY],
      [watcher, BOUNTY],
    ];
    const chest = `0x${"c0ffee".repeat(6)}beef`;
    for (const [party, credit] of credits) {
      expect(await balanceOf(local.chain, NATIVE_TOKEN, party.address)).to.equal(credit);
      const before = await coins(chest);
      const withdrawn = await party.send(withdrawCall(local.deployment, NATIVE_TOKEN, chest));
      expect((await coins(chest)) - before).to.equal(credit);
      const [event] = await eventsOf(withdrawn);
      expect(event).to.include({ kind: "Withdrawn", account: party.address, amount: credit });
    }
    expect(await coins(local.deployment.contracts.storageEscrow)).to.equal(0n);
  });

  it("refuses a proof made from damaged data, and pays once it is made from the right data", async () => {
    const { id, terms } = await activate();
    await enterWindow(terms, 0);
    const readSlice = async (index: number) => {
      const slice = (await stored.source.readSlice(index)).slice();
      slice[77] = (slice[77] ?? 0) ^ 1;
      return slice;
    };
    const damaged = await answer(id, 0, { ...stored.source, readSlice });
    const { name, error } = await refusal(provider.send(proving(id, 0, damaged)));
    expect(name).to.equal("ProofRejected");
    expect(error.details?.arguments).to.deep.equal({ id: String(id), epoch: "0" });

    const otherKey = testKeys(1, 3).publicKey;
    const right = await answer(id, 0);
    const wrongKey = proveCall(local.deployment, id, 0, otherKey, right);
    expect((await refusal(provider.send(wrongKey))).name).to.equal("WrongAuditKey");
    await provider.send(proving(id, 0, right));
    expect(await balanceOf(local.chain, NATIVE_TOKEN, provider.address)).to.equal(FEE);
  });

  it("refuses a proof after its window, and before it", async () => {
    const { id, terms } = await activate();
    await enterWindow(terms, 0);
    const proof = await answer(id, 0);
    expect((await refusal(provider.send(proving(id, 1, proof)))).name).to.equal("OutsideWindow");
    await leaveWindow(terms, 0);
    expect((await refusal(provider.send(proving(id, 0, proof)))).name).to.equal("OutsideWindow");
  });

  it("takes tokens by allowance and gives a cancelled proposal's deposit back", async () => {
    const { abi, bytecode } = await hre.artifacts.readArtifact("contracts/test/zoo/PlainToken.sol:PlainToken");
    const token = await new ContractFactory(abi, bytecode, local.account(1)).deploy();
    await token.waitForDeployment();
    const address = await token.getAddress();
    const minted = await token.getFunction("mint").send(user.address, 10n * FEE);
    await minted.wait();

    const terms = await termsOf({ token: address });
    expect(await readAllowance(local.chain, address, user.address)).to.equal(0n);
    expect((await refusal(user.send(proposeCall(local.deployment, terms)))).name).to.equal(
      "ERC20InsufficientAllowance",
    );
    await user.send(approveCall(local.deployment, address, depositOf(terms)));
    expect(await readAllowance(local.chain, address, user.address)).to.equal(depositOf(terms));
    const { id } = await propose(terms);
    expect(await token.getFunction("balanceOf").staticCall(user.address)).to.equal(7n * FEE);

    const cancelled = await user.send(cancelCall(local.deployment, id));
    const [event] = await eventsOf(cancelled);
    expect(event).to.include({ kind: "AgreementCancelled", id, user: user.address, refund: 3n * FEE });
    await user.send(withdrawCall(local.deployment, address, user.address));
    expect(await token.getFunction("balanceOf").staticCall(user.address)).to.equal(10n * FEE);
  });

  it("ends an agreement at the breach limit", async () => {
    const { id, terms } = await activate();
    for (const epoch of [0, 1]) {
      await leaveWindow(terms, epoch);
      const reported = await watcher.send(reportMissCall(local.deployment, id, epoch));
      const kinds = (await eventsOf(reported)).map(({ kind }) => kind);
      expect(kinds).to.deep.equal(epoch === 0 ? ["EpochMissed"] : ["EpochMissed", "AgreementBreached"]);
    }
    expect((await readAgreement(local.chain, id))?.status).to.equal("breached");
    const { name, error } = await refusal(watcher.send(reportMissCall(local.deployment, id, 2)));
    expect(name).to.equal("WrongStatus");
    expect(error.code).to.equal("CHAIN_REVERTED");
    const [ended] = await eventsOf(await provider.send(closeCall(local.deployment, id)));
    expect(ended).to.include({ kind: "AgreementEnded", breached: true, epochsLapsed: 1, userCredit: FEE });
  });

  it("does not accept other terms than were read, and does not take a proposal twice", async () => {
    const agreement = await propose(await termsOf());
    const dearer = { ...agreement, terms: { ...agreement.terms, bountyPerMiss: BOUNTY + 1n } };
    expect((await refusal(provider.send(acceptCall(local.deployment, dearer)))).name).to.equal("TermsMismatch");
    expect((await refusal(user.send(acceptCall(local.deployment, agreement)))).name).to.equal("NotProvider");
    await provider.send(acceptCall(local.deployment, agreement));
    expect((await refusal(provider.send(acceptCall(local.deployment, agreement)))).name).to.equal("WrongStatus");
  });

  it("refuses zero fees and past starts with the values in the error", async () => {
    const free = await refusal(user.send(proposeCall(local.deployment, await termsOf({ feePerEpoch: 0n }))));
    expect(free.name).to.equal("ZeroFee");
    const past = await refusal(user.send(proposeCall(local.deployment, await termsOf({ startBlock: 1n }))));
    expect(past.name).to.equal("StartNotInFuture");
    expect(past.error.details?.arguments).to.include({ startBlock: "1" });
  });

  it("knows no agreement and no epoch that was never proposed", async () => {
    expect(await readAgreement(local.chain, 1_000_000n)).to.equal(undefined);
    expect((await refusal(readEpochStatus(local.chain, 1_000_000n, 0))).name).to.equal("WrongStatus");
    const { id } = await activate();
    expect((await refusal(readChallenge(local.chain, id, 3))).name).to.equal("NoSuchEpoch");
    const transfer = await user.send({ to: watcher.address, data: "0x", value: 1n, description: "a gift" });
    expect(() => proposedAgreementId(local.deployment, transfer)).to.throw(InvalidInputError, "proposed no agreement");
  });

  function placeIn(receipt: TransactionReceipt): object {
    const { blockNumber, blockHash, hash: transactionHash } = receipt;
    return { blockNumber, blockHash, transactionHash, logIndex: receipt.logs[0]?.index };
  }
});
