import { expect } from "chai";
import { keccak256 } from "ethers";
import hre from "hardhat";
import { encodeBlockHeader } from "../../offchain/chain/block-header.ts";
import { startAnvil } from "../helpers/anvil.ts";
import { expectRejection } from "../helpers/rejection.ts";
import vectors from "../vectors/block-headers.json" with { type: "json" };

const [genesis, prague] = vectors.blocks;
type Block = Record<string, unknown>;

describe("the header of a block", () => {
  it("is encoded as Ethereum's mainnet hashes it", () => {
    expect(vectors.blocks).to.have.length(2);
    for (const { name, block } of vectors.blocks) {
      const header = encodeBlockHeader(block);
      expect(keccak256(header.encoded), name).to.equal(block.hash);
      expect(header.number, name).to.equal(BigInt(block.number));
      expect(header.timestamp, name).to.equal(BigInt(block.timestamp));
    }
  });

  it("does not depend on what an endpoint adds, or on how it writes numbers", () => {
    const block: Block = { ...prague?.block, l1BatchNumber: "0x1", transactions: [], difficulty: "0x000" };
    expect(encodeBlockHeader(block)).to.deep.equal(encodeBlockHeader(prague?.block));
    expect(encodeBlockHeader({ ...genesis?.block, baseFeePerGas: null })).to.deep.equal(
      encodeBlockHeader(genesis?.block),
    );
  });

  it("of a later fork is refused with the names of the fields that are not known", () => {
    const hash = `0x${"5a".repeat(32)}`;
    const later = { ...prague?.block, hash, inclusionListHash: hash, gasFutures: "0x1" };
    const error = expectRejection(() => encodeBlockHeader(later), "UNKNOWN_VERSION");
    expect([error.party, error.check]).to.deep.equal(["chain", "fields of the block header"]);
    expect(error.received).to.equal("inclusionListHash, gasFutures");
  });

  it("is refused when a field is not the block's", () => {
    for (const change of [{ mixHash: `0x${"5a".repeat(32)}` }, { timestamp: "0x1" }, { requestsHash: undefined }]) {
      const error = expectRejection(() => encodeBlockHeader({ ...prague?.block, ...change }), "INTEGRITY");
      expect(error.check).to.equal("hash of the block header");
      expect(error.expected).to.equal(prague?.block.hash);
    }
  });

  it("is refused when a field is missing or malformed, by the name of the field", () => {
    const malformed: readonly (readonly [name: string, value: unknown])[] = [
      ["mixHash", undefined],
      ["mixHash", "0x"],
      ["mixHash", `0x${"5a".repeat(33)}`],
      ["miner", `0x${"5a".repeat(32)}`],
      ["number", "12"],
      ["number", 12],
      ["number", "0x"],
      ["number", `0x1${"0".repeat(64)}`],
      ["extraData", "0x123"],
      ["logsBloom", "0x00"],
      ["withdrawalsRoot", "0x00"],
      ["hash", undefined],
    ];
    for (const [name, value] of malformed) {
      const error = expectRejection(() => encodeBlockHeader({ ...prague?.block, [name]: value }), "BAD_RESPONSE");
      expect(error.check, `${name} ${value}`).to.equal(`block header: ${name}`);
    }
    for (const answer of [undefined, 7, "0x", []]) expectRejection(() => encodeBlockHeader(answer), "BAD_RESPONSE");
  });

  for (const [fork, newest] of [
    ["london", "baseFeePerGas"],
    ["paris", "baseFeePerGas"],
    ["shanghai", "withdrawalsRoot"],
    ["cancun", "parentBeaconBlockRoot"],
    ["prague", "requestsHash"],
  ] as const) {
    it(`of anvil is encoded as anvil hashes it, with the rules of ${fork}`, async () => {
      const anvil = await startAnvil(["--hardfork", fork]);
      try {
        await anvil.rpc("anvil_mine", ["0x3"]);
        for (const number of ["0x0", "0x1", "0x3"]) {
          const block = (await anvil.rpc("eth_getBlockByNumber", [number, false])) as Block;
          expect(block, number).to.have.property(newest);
          expect(keccak256(encodeBlockHeader(block).encoded), number).to.equal(block.hash);
        }
      } finally {
        await anvil.kill();
      }
    });
  }

  it("of Hardhat's network is encoded as it is hashed there, with the rules of amsterdam", async () => {
    const connection = await hre.network.create({ override: { hardfork: "amsterdam" } });
    try {
      const { provider } = connection.ethers;
      await provider.send("hardhat_mine", ["0x3"]);
      for (const number of ["0x1", "0x3"]) {
        const block: Block = await provider.send("eth_getBlockByNumber", [number, false]);
        expect(block, number).to.include.keys("blockAccessListHash", "slotNumber");
        expect(keccak256(encodeBlockHeader(block).encoded), number).to.equal(block.hash);
      }
    } finally {
      await connection.close();
    }
  });
});
