/**
 * What the contracts hash, against vectors of an independent implementation (test/vectors/derive-layouts.py), on both
 * sides: as offchain/ computes it, and as the contracts themselves answer on a chain. The escrow is put at the address
 * of the vector.
 */

import { expect } from "chai";
import { getAddress, keccak256 } from "ethers";
import { recordIdOf } from "../../offchain/chain/ledger.ts";
import { keyMaterialHash, toKeys } from "../../offchain/chain/registry.ts";
import { KeyLedger__factory } from "../../offchain/chain/types/factories/KeyLedger__factory.ts";
import { NodeRegistry__factory } from "../../offchain/chain/types/factories/NodeRegistry__factory.ts";
import { StorageEscrow__factory } from "../../offchain/chain/types/factories/StorageEscrow__factory.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import vectors from "../vectors/chain-layouts.json" with { type: "json" };
import dataSet from "../vectors/data-set.json" with { type: "json" };
import records from "../vectors/record-layouts.json" with { type: "json" };

describe("layouts that contracts hash", () => {
  const headers = records.records.map((record) => {
    const { account, fileTag, ownershipKey, recordId } = record;
    const [committeeId, keyTime] = [BigInt(record.committeeId), BigInt(record.keyTime)];
    const payloadHash = keccak256(record.payload);
    return { header: { account, fileTag, committeeId, keyTime, ownershipKey, payloadHash }, recordId };
  });
  const { keyMaterial } = vectors;
  const keys = toKeys(keyMaterial as never);
  let local: LocalChain;

  before(async () => {
    local = await startLocalChain();
  });
  after(() => local.stop());

  it("offchain: record id, key material hash", () => {
    for (const { header, recordId } of headers) expect(recordIdOf(header)).to.equal(recordId);
    expect(keyMaterialHash(keys)).to.equal(vectors.keyMaterialHash);
  });

  it("on chain: record id of the key ledger, key material hash of the registry", async () => {
    const { provider, deployment } = local.chain;
    const ledger = KeyLedger__factory.connect(deployment.contracts.keyLedger, provider);
    const registry = NodeRegistry__factory.connect(deployment.contracts.nodeRegistry, provider);
    for (const { header, recordId } of headers) expect(await ledger.recordIdOf(header)).to.equal(recordId);
    expect(await registry.hashKeyMaterial(keyMaterial)).to.equal(vectors.keyMaterialHash);
  });

  // What offchain/ makes of the same vectors: test/core/data-set/layouts.test.ts.
  it("on chain: id of a data set in the escrow, where every term, the address and the chain count", async () => {
    const { provider, deployment } = local.chain;
    expect(String(deployment.chainId)).to.equal(dataSet.chainId);
    const escrow = getAddress(dataSet.escrow);
    await provider.send("anvil_setCode", [escrow, await provider.getCode(deployment.contracts.storageEscrow)]);
    const { terms } = dataSet;
    expect(await StorageEscrow__factory.connect(escrow, provider).idOf(terms)).to.equal(dataSet.id);
    const elsewhere = getAddress(`0x${"e5".repeat(20)}`);
    await provider.send("anvil_setCode", [elsewhere, await provider.getCode(escrow)]);
    expect(await StorageEscrow__factory.connect(elsewhere, provider).idOf(terms)).not.to.equal(dataSet.id);
    for (const name of ["feeFloor", "latePercent", "breachLimit"] as const) {
      const other = { ...terms, [name]: String(BigInt(terms[name]) + 1n) };
      expect(await StorageEscrow__factory.connect(escrow, provider).idOf(other), name).not.to.equal(dataSet.id);
    }
  });
});
