/** When the archive is read up; what it reads is tested in archive.test.ts and in test/chain. */
import { expect } from "chai";
import type { ChainReader } from "../../../offchain/chain/deployment.ts";
import type { Archive } from "../../../offchain/nbm/records/archive.ts";
import { ArchiveFollower } from "../../../offchain/nbm/records/archive-follower.ts";

describe("archive follower", () => {
  it("reads nothing for a request when it was at the head a moment ago, but for whoever needs fresh data", async () => {
    let reads = 0;
    const provider = {
      getBlockNumber: async () => {
        reads += 1;
        return 5;
      },
      getBlock: async (number: number) => ({ number, hash: `0x${"55".repeat(32)}` }),
      getLogs: async () => [],
    };
    const deployment = { deployedAtBlock: 0, contracts: { keyLedger: `0x${"11".repeat(20)}` } };
    const chain = { provider, deployment } as unknown as ChainReader;
    const archive = { cursor: () => undefined, has: () => false, apply: () => undefined } as unknown as Archive;
    const options = { chain, archive, judgeShare: async () => "none" as const, overlapBlocks: 1 };

    const follower = new ArchiveFollower({ ...options, freshMilliseconds: 60_000 });
    expect(await follower.refresh()).to.equal(true);
    const first = reads;
    expect(first).to.be.at.least(1);
    expect(await follower.refresh()).to.equal(true);
    expect(reads).to.equal(first);
    await follower.catchUp();
    expect(reads).to.be.greaterThan(first);

    reads = 0;
    const eager = new ArchiveFollower({ ...options, freshMilliseconds: 0 });
    await eager.refresh();
    await eager.refresh();
    expect(reads).to.equal(2 * first);
  });
});
