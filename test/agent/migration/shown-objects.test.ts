/** The set of a device that only writes, at a provider that does not show it. */
import { expect } from "chai";
import { requireNothingWaits, takeOpened } from "../../../offchain/agent/migration/shown-objects.ts";
import type { OpenedDataSet } from "../../../offchain/chain/data-set-words.ts";
import { InvalidProofError, TallystickError } from "../../../offchain/core/errors.ts";
import { MAX_OPENINGS, type OpeningsRequest } from "../../../offchain/core/wire/data-sets.ts";

const SLICES = 4000;
const opened = { id: `0x${"11".repeat(32)}`, audit: { salt: `0x${"22".repeat(32)}`, sliceElements: 8 } };
const state = { contentHash: `0x${"33".repeat(32)}`, ranges: [{ firstIndex: 1, count: SLICES }] };

describe("slices of a device that its provider does not show", () => {
  async function taken(fail: () => never) {
    const asked: number[][] = [];
    const from = {
      name: "provider",
      openCommitments: async (_: string, { indices }: OpeningsRequest) => {
        asked.push(indices);
        return fail();
      },
    };
    const damaged = await takeOpened(opened as unknown as OpenedDataSet, state, from, new Map());
    return { asked, damaged };
  }

  it("are left behind, however many, and each is asked for, most of them together with others", async () => {
    const { asked, damaged } = await taken(() => {
      throw new InvalidProofError("another slice");
    });
    expect(new Set(asked.flat()).size, "each slice").to.equal(SLICES);
    const batches = Math.ceil(SLICES / MAX_OPENINGS);
    expect(damaged).to.have.length(1024 + batches - 1024 / MAX_OPENINGS);
    expect(asked).to.have.length(1024 + batches);
    expect(damaged[0]?.id).to.equal(`slice 1 of ${opened.id}`);
    expect(damaged.at(-1)?.id).to.equal(`slices 3969 to 4000 of ${opened.id}`);
  });

  it("are not told to be damaged when the provider does not answer", async () => {
    const away = new TallystickError("away", { code: "UNREACHABLE" });
    const error = await taken(() => {
      throw away;
    }).catch((thrown: unknown) => thrown);
    expect(error).to.equal(away);
  });

  it("wait for a state that is not on chain yet, but not for one of an account that was replaced", () => {
    const requiring = (told: string | undefined, isOfPredecessor: boolean) => () =>
      requireNothingWaits(opened.id, { name: "provider", isOfPredecessor }, told, 2n);
    expect(requiring("3", false)).to.throw(TallystickError).that.includes({ code: "CONFLICT", retryable: true });
    expect(requiring("3", true)).not.to.throw();
    expect(requiring("2", false)).not.to.throw();
    expect(requiring(undefined, false)).not.to.throw();
  });
});
