/** When the archive is read up; what it reads is tested in archive.test.ts and in test/chain. */
import { expect } from "chai";
import type { ChainReader } from "../../../offchain/chain/deployment.ts";
import type { Archive } from "../../../offchain/nbm/records/archive.ts";
import { ArchiveFollower } from "../../../offchain/nbm/records/archive-follower.ts";

const NOBODY = `0x${"11".repeat(20)}`;

describe("archive follower", () => {
  it("reads the chain once for all requests of a moment, with a pause in between", async () => {
    let reads = 0;
    let readAt = 0;
    const gaps: number[] = [];
    const provider = {
      getBlock: async (tag: number | string) => {
        if (tag === "latest") {
          const now = performance.now();
          gaps.push(now - readAt);
          readAt = now;
          reads += 1;
        }
        return { number: 5, hash: `0x${"55".repeat(32)}`, parentHash: `0x${"44".repeat(32)}` };
      },
      getLogs: async () => [],
    };
    const deployment = { deployedAtBlock: 0, contracts: { keyLedger: NOBODY, nodeRegistry: NOBODY } };
    const chain = { provider, deployment } as unknown as ChainReader;
    const archive = { cursor: () => undefined, has: () => false, apply: () => undefined } as unknown as Archive;
    const options = { chain, archive, judgeShare: async () => "none" as const, overlapBlocks: 1 };

    const follower = new ArchiveFollower({ ...options, spacingMilliseconds: 50 });
    await follower.refresh();
    const perScan = reads;
    expect(perScan).to.be.at.least(1);
    // The head may have moved since: requests get a new scan, all of them the same, and not at once.
    await Promise.all(Array.from({ length: 20 }, () => follower.refresh()));
    expect(reads).to.equal(2 * perScan);
    // Between the two scans, whenever this test got to run. A timer may be early by a millisecond.
    expect(gaps[perScan]).to.be.at.least(48);
    await follower.catchUp();
    expect(reads).to.equal(3 * perScan);
  });
});
