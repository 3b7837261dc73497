/**
 * What the contracts hash, against vectors of an independent implementation (test/vectors/derive-layouts.py), on both
 * sides: as offchain/chain computes it, and as the contracts themselves answer on a chain. The escrow is put at the
 * address of the vector, and its randomness source is a few bytes of code that always answers the vector's word.
 */

import { expect } from "chai";
import { keccak256, parseEther } from "ethers";
import { proposeCall, readChallenge, type Terms, termsHash } from "../../offchain/chain/escrow.ts";
import { recordDigest, recordIdOf } from "../../offchain/chain/ledger.ts";
import { keyMaterialHash } from "../../offchain/chain/registry.ts";
import { KeyLedger__factory } from "../../offchain/chain/types/factories/KeyLedger__factory.ts";
import { NodeRegistry__factory } from "../../offchain/chain/types/factories/NodeRegistry__factory.ts";
import { StorageEscrow__factory } from "../../offchain/chain/types/factories/StorageEscrow__factory.ts";
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import vectors from "../vectors/chain-layouts.json" with { type: "json" };
import records from "../vectors/record-layouts.json" with { type: "json" };

/** Answers 256 to a call without arguments (`horizonBlocks`) and `word` to any other (`randomnessAt`). */
function fixedRandomness(word: string): string {
  const answer = "5f5260205ff3"; // PUSH0 MSTORE, PUSH1 32 PUSH0 RETURN
  const wordAnswer = `7f${word.slice(2)}${answer}`;
  const destination = (7 + wordAnswer.length / 2).toString(16).padStart(2, "0");
  // CALLDATASIZE PUSH1 4 EQ PUSH1 destination JUMPI … JUMPDEST PUSH2 256 …
  return `0x36600414 60${destination}57 ${wordAnswer} 5b610100${answer}`.replaceAll(" ", "");
}

describe("layouts that contracts hash", () => {
  const terms: Terms = {
    ...vectors.terms,
    feePerEpoch: BigInt(vectors.terms.feePerEpoch),
    compensationPerMiss: BigInt(vectors.terms.compensationPerMiss),
    bountyPerMiss: BigInt(vectors.terms.bountyPerMiss),
    collateral: BigInt(vectors.terms.collateral),
    startBlock: BigInt(vectors.terms.startBlock),
    firstIndex: BigInt(vectors.terms.firstIndex),
    sliceCount: BigInt(vectors.terms.sliceCount),
  };
  const headers = records.records.map((record) => {
    const { account, fileTag, ownershipKey, recordId, digest } = record;
    const [committeeId, keyTime] = [BigInt(record.committeeId), BigInt(record.keyTime)];
    const payloadHash = keccak256(record.payload);
    return { header: { account, fileTag, committeeId, keyTime, ownershipKey, payloadHash }, recordId, digest };
  });
  const shares = vectors.verificationShares.map((share) => fromHex(share));
  let local: LocalChain;

  before(async () => {
    local = await startLocalChain();
  });
  after(() => local.stop());

  it("offchain: record id, record digest, terms hash, key material hash", () => {
    for (const { header, recordId, digest } of headers) {
      expect(recordIdOf(header.account, header.fileTag)).to.equal(recordId);
      expect(recordDigest(header)).to.equal(digest);
    }
    expect(termsHash(vectors.user, terms)).to.equal(vectors.termsHash);
    expect(keyMaterialHash(fromHex(vectors.groupPublicKey), shares)).to.equal(vectors.keyMaterialHash);
  });

  it("on chain: record id and digest of the key ledger, key material hash of the registry", async () => {
    const { provider, deployment } = local.chain;
    const ledger = KeyLedger__factory.connect(deployment.contracts.keyLedger, provider);
    const registry = NodeRegistry__factory.connect(deployment.contracts.nodeRegistry, provider);
    for (const { header, recordId, digest } of headers) {
      expect(await ledger.recordIdOf(header.account, header.fileTag)).to.equal(recordId);
      expect(await ledger.digestOf(header)).to.equal(digest);
    }
    expect(await registry.hashKeyMaterial(vectors.groupPublicKey, shares.map(toHex))).to.equal(vectors.keyMaterialHash);
  });

  it("on chain: terms hash and challenge seed of the escrow", async () => {
    const { provider, deployment } = local.chain;
    expect(deployment.chainId).to.equal(vectors.chainId);
    const { escrow, agreementId, epoch, user } = vectors;
    await provider.send("anvil_setCode", [escrow, await provider.getCode(deployment.contracts.storageEscrow)]);
    await provider.send("anvil_setCode", [terms.randomness, fixedRandomness(vectors.randomWord)]);
    const moved = { ...deployment, contracts: { ...deployment.contracts, storageEscrow: escrow } };

    const { description: _description, ...transaction } = proposeCall(moved, terms);
    const proposer = local.account(1);
    expect(proposer.address).to.equal(user);
    expect(await provider.getBalance(user)).to.be.greaterThan(parseEther("1"));
    await (await proposer.sendTransaction(transaction)).wait();
    const contract = StorageEscrow__factory.connect(escrow, provider);
    expect(await contract.termsHashOf(agreementId)).to.equal(vectors.termsHash);

    const challenge = await readChallenge({ ...local.chain, deployment: moved }, BigInt(agreementId), epoch);
    expect(toHex(challenge?.seed ?? new Uint8Array())).to.equal(vectors.seed);
    expect(challenge?.openBlock).to.equal(1040);
    expect(challenge?.deadlineBlock).to.equal(1050);
  });
});
