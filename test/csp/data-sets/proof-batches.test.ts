import { expect } from "chai";
import fc from "fast-check";
import { ProofBatches } from "../../../offchain/csp/data-sets/proof-batches.ts";

const LIMIT = 3;

describe("batches of proofs", () => {
  function batches() {
    const sent: (readonly string[])[] = [];
    const send = async (batch: readonly string[]): Promise<void> => {
      sent.push(batch);
    };
    return { sent, batches: new ProofBatches<string>(send, LIMIT) };
  }

  it("wait for what is being made for the same verifier, and for nothing else", async () => {
    const { sent, batches: all } = batches();
    const slow = Promise.withResolvers<string | undefined>();
    const first = all.expect(async () => "a", "one");
    const second = all.expect(() => slow.promise, "one");
    await all.expect(async () => "b", "two");
    expect(sent).to.deep.equal([["b"]]);
    slow.resolve("c");
    await Promise.all([first, second]);
    expect(sent).to.deep.equal([["b"], ["a", "c"]]);
  });

  it("leave without a slow proof when they are full, when it fails, or when there is nothing to prove", async () => {
    const { sent, batches: all } = batches();
    const slow = Promise.withResolvers<string | undefined>();
    const last = all.expect(() => slow.promise, "one");
    await Promise.all(["a", "b", "c"].map((proof) => all.expect(async () => proof, "one")));
    expect(sent).to.deep.equal([["a", "b", "c"]]);
    const waiting = all.expect(async () => "d", "one");
    slow.reject(new Error("no proof"));
    await waiting;
    expect(await last.catch((error: Error) => error.message)).to.equal("no proof");
    const none = Promise.withResolvers<string | undefined>();
    const nothing = all.expect(() => none.promise, "one");
    const other = all.expect(async () => "e", "one");
    none.resolve(undefined);
    await Promise.all([nothing, other]);
    expect(sent.slice(1)).to.deep.equal([["d"], ["e"]]);
  });

  it("leave without a slow proof after a time", async () => {
    const sent: (readonly string[])[] = [];
    const all = new ProofBatches<string>(async (batch) => void sent.push(batch), LIMIT, 50);
    const slow = Promise.withResolvers<string | undefined>();
    const last = all.expect(() => slow.promise, "one");
    await all.expect(async () => "a", "one");
    expect(sent).to.deep.equal([["a"]]);
    slow.resolve("b");
    await last;
    expect(sent).to.deep.equal([["a"], ["b"]]);
  });

  it("send every proof once, and tell its failure to whom it belongs", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ turns: fc.nat(5), fails: fc.boolean() }), { maxLength: 20 }),
        async (made) => {
          const sent: number[] = [];
          const all = new ProofBatches<number>(async (batch) => {
            expect(batch.length).to.be.within(1, LIMIT);
            sent.push(...batch);
            if (batch.includes(0)) throw new Error("refused");
          }, LIMIT);
          const outcomes = await Promise.allSettled(
            made.map(({ turns, fails }, k) =>
              all.expect(async () => {
                for (let turn = 0; turn < turns; turn++) await Promise.resolve();
                return fails ? undefined : k;
              }, "one"),
            ),
          );
          const expected = made.flatMap(({ fails }, k) => (fails ? [] : [k]));
          expect([...sent].sort((left, right) => left - right)).to.deep.equal(expected);
          const refused = outcomes.filter(({ status }) => status === "rejected").length;
          expect(refused).to.be.within(expected[0] === 0 ? 1 : 0, expected[0] === 0 ? LIMIT : 0);
        },
      ),
    );
  });
});
