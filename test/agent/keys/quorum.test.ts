/** Asking members until enough have answered: who is asked, when, and what is said of each. */
import { setTimeout as pause } from "node:timers/promises";
import { expect } from "chai";
import { bestFirst, gather, type QuorumMember } from "../../../offchain/agent/keys/quorum.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";

const members: QuorumMember[] = [1, 2, 3, 4, 5].map((index) => ({
  index,
  operator: "0x",
  url: `http://node-${index}`,
}));
const PATIENCE_SECONDS = 0.03;
const down = new TallystickError("down", { code: "UNREACHABLE" });

describe("a quorum", () => {
  const indices = (list: readonly { member: QuorumMember }[]) => list.map(({ member }) => member.index).sort();

  it("asks no more members than it needs while they answer", async () => {
    const asked: number[] = [];
    const ask = async ({ index }: QuorumMember) => asked.push(index);
    const { answers, failures } = await gather(members, 3, ask, PATIENCE_SECONDS);
    expect([indices(answers), failures, asked]).to.deep.equal([[1, 2, 3], [], [1, 2, 3]]);
  });

  it("replaces each that fails, and ends when all have been asked", async () => {
    const failing = async ({ index }: QuorumMember) => {
      if (index !== 4) throw down;
    };
    const { answers, failures } = await gather(members, 3, failing);
    expect([indices(answers), indices(failures)]).to.deep.equal([[4], [1, 2, 3, 5]]);
  });

  it("asks another when one takes long, and aborts the one that is not needed any more", async () => {
    const aborted: number[] = [];
    const ask = async ({ index }: QuorumMember, signal: AbortSignal) => {
      if (index > 2) return;
      signal.addEventListener("abort", () => aborted.push(index));
      await new Promise(() => {});
    };
    const { answers, failures } = await gather(members, 3, ask, PATIENCE_SECONDS);
    expect([indices(answers), indices(failures), aborted.sort()]).to.deep.equal([
      [3, 4, 5],
      [1, 2],
      [1, 2],
    ]);
    for (const { error } of failures) expect(error).to.include({ code: "TIMED_OUT", check: "quorum" });
  });

  it("accepts the late answer of a slow member, and waits for it when no other member is left", async () => {
    const ask = async ({ index }: QuorumMember) => {
      if (index > 3) throw down;
      await pause(index === 1 ? 150 : 0);
    };
    const { answers, failures } = await gather(members, 3, ask, PATIENCE_SECONDS);
    expect([indices(answers), indices(failures)]).to.deep.equal([
      [1, 2, 3],
      [4, 5],
    ]);
  });

  it("asks one further member, not two, for one that is slow and then fails", async () => {
    const asked: number[] = [];
    const replaced = Promise.withResolvers<void>();
    const failed = Promise.withResolvers<void>();
    const ask = async ({ index }: QuorumMember) => {
      asked.push(index);
      if (index === 1) {
        await replaced.promise;
        failed.resolve();
        throw down;
      }
      if (index !== 3) return;
      replaced.resolve();
      await failed.promise;
      // Long enough for another to be asked, were the failure to bring one in; short of what would bring one in by
      // itself.
      await pause(30);
    };
    const { answers, failures } = await gather(members, 2, ask, 0.3);
    expect([indices(answers), indices(failures), asked]).to.deep.equal([[2, 3], [1], [1, 2, 3]]);
  });

  it("prefers members that answered correctly, then untried, then failed ones, each in the order given", () => {
    const said = ["TIMED_OUT", "right", "not asked", "right", "INVALID_PROOF"];
    const reports = members.map((member, i) => ({ ...member, answer: String(said[i]) }));
    const order = bestFirst([{ index: 6, operator: "0x", url: "unknown" }, ...members].reverse(), reports);
    expect(order.map(({ index }) => index)).to.deep.equal([4, 2, 3, 6, 5, 1]);
  });

  it("ends at once without members, and passes on a defect of its own", async () => {
    expect(await gather([], 3, async () => 1)).to.deep.equal({ answers: [], failures: [] });
    const defect = new TypeError("a defect");
    let thrown: unknown;
    await gather(members, 3, async () => {
      throw defect;
    }).catch((error: unknown) => {
      thrown = error;
    });
    expect(thrown).to.equal(defect);
  });
});
