/** How much of a committee's generations is read, which anybody may open any number of. */

import { expect } from "chai";
import { getAddress, toBeHex, ZeroHash, zeroPadValue } from "ethers";
import { registryAbi } from "../../offchain/chain/abis.ts";
import { MOST_GENERATIONS, readMemberHistory } from "../../offchain/chain/committee-generations.ts";
import type { ChainReader } from "../../offchain/chain/deployment.ts";
import { REORGANISED_BLOCKS } from "../../offchain/chain/logs.ts";
import { ShareLines } from "../../offchain/nbm/records/share-lines.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";

const accountOf = (number: number) => getAddress(zeroPadValue(toBeHex(number), 20));

describe("generations of a committee", () => {
  let active: number;
  let head: number;
  /** Numbers of generations that were read. */
  let read: number[];
  /** Block of the activation of each generation; absent for one that never was active. */
  let blocks: Map<number, number>;

  const abi = registryAbi();
  const answers: Record<string, (args: readonly unknown[]) => unknown[]> = {
    committeeCount: () => [1n],
    committeeById: () => [{ active, latest: active, oprfPublicKey: ZeroHash, recordPublicKey: ZeroHash }],
    generationById: ([, number]) => {
      read.push(Number(number));
      const block = blocks.get(Number(number));
      const activated = { activatedAt: block ?? 0, activatedBlock: block ?? 0, keyMaterialHash: ZeroHash };
      const members = [accountOf(Number(number))];
      return [
        { status: block === undefined ? 5 : 3, size: 1, threshold: 1, from: 0, createdAt: 1, ...activated, members },
      ];
    },
  };
  const provider = {
    getBlockNumber: async () => head,
    call: async ({ data }: { data: string }) => {
      const call = abi.parseTransaction({ data });
      const answer = answers[call?.name ?? ""];
      if (call === null || answer === undefined) throw new Error("another call");
      return abi.encodeFunctionResult(call.fragment, answer(call.args));
    },
  };
  const chain = { deployment: { contracts: { nodeRegistry: accountOf(1) } }, provider } as unknown as ChainReader;

  beforeEach(() => {
    // Generation 3 never became active.
    blocks = new Map([1, 2, 4, 5, 6].map((number) => [number, 1000 * number]));
    [active, head, read] = [6, 6050, []];
  });

  it("are those that were active, in order", async () => {
    const history = await readMemberHistory(chain, 1n);
    expect(history).to.deep.include({ active: 6, blocksSince: 50 });
    expect(history.generations.map(({ activatedAt }) => activatedAt)).to.deep.equal([1000, 2000, 4000, 5000, 6000]);
    expect(history.generations[2]?.members).to.deep.equal([accountOf(4)]);
  });

  it("are read on from those that no reorganisation changes", async () => {
    const { settled, ...first } = await readMemberHistory(chain, 1n);
    expect(settled).to.include({ upTo: 5, activatedBlock: 5000 });
    read = [];
    expect(await readMemberHistory(chain, 1n, settled)).to.deep.equal({ ...first, settled });
    expect(read).to.deep.equal([6]);
    head = 6000 + REORGANISED_BLOCKS;
    const { settled: all } = await readMemberHistory(chain, 1n, settled);
    expect(all.upTo).to.equal(6);
    read = [];
    const last = await readMemberHistory(chain, 1n, all);
    expect(last).to.deep.equal({ ...first, blocksSince: REORGANISED_BLOCKS, settled: all });
    expect(read).to.deep.equal([]);
  });

  it("are read from the first one on at an endpoint that is behind", async () => {
    head = 9000;
    const { settled } = await readMemberHistory(chain, 1n);
    active = 5;
    const { generations } = await readMemberHistory(chain, 1n, settled);
    expect(generations.map(({ activatedAt }) => activatedAt)).to.deep.equal([1000, 2000, 4000, 5000]);
  });

  it("cost a key node one reading each, however often it is asked about the committee", async () => {
    [active, head] = [70, 1_000_000];
    blocks = new Map(Array.from({ length: active }, (_, at) => [at + 1, at + 1]));
    const lines = new ShareLines({ chain, finalAfterBlocks: 20 });
    await lines.historyOf(1n);
    expect(read).to.have.length(70);
    // Whoever names another generation has the history read anew.
    for (let time = 0; time < 20; time += 1) {
      await expectAsyncRejection(() => lines.finalHistoryOf(1n, 7), "CONFLICT", /another generation/);
    }
    expect(read).to.have.length(70);
    expect((await lines.historyOf(1n)).generations).to.have.length(70);
  });

  it("are not read of a committee that has more than any that is of use", async () => {
    active = MOST_GENERATIONS + 1;
    const error = await expectAsyncRejection(
      () => readMemberHistory(chain, 1n),
      "INVALID_INPUT",
      /too many generations/,
    );
    expect(error).to.include({ party: "committee 1", received: String(active) });
    expect(read).to.deep.equal([]);
  });
});
