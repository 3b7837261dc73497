/** What openings of sessions by successors cost the chain and the index. */
import { expect } from "chai";
import { Wallet } from "ethers";
import { pino } from "pino";
import { LONGEST_LINE } from "../../offchain/core/identity/handover.ts";
import { Successions } from "../../offchain/csp/successions.ts";
import { KNOWN_SECONDS } from "../../offchain/daemon/remembered-answers.ts";
import type { SuccessionIndex } from "../../offchain/store/index/succession-index.ts";

describe("takeovers of successors", () => {
  const line = Array.from({ length: LONGEST_LINE + 3 }, () => Wallet.createRandom().address);
  let milliseconds: number;
  let questions: string[];
  let taken: string[];
  let named: number;
  let successions: Successions;

  beforeEach(() => {
    [milliseconds, questions, taken, named] = [0, [], [], line.length];
    const index: SuccessionIndex = {
      takeOver: async (from, to) => {
        taken.push(`${line.indexOf(from)} ${line.indexOf(to)}`);
        return true;
      },
      hasTakenOver: async () => false,
    };
    successions = new Successions({
      ...{ chain: {} as never, successions: index, logger: pino({ level: "silent" }), now: () => 1 },
      places: { pass: async () => undefined },
      monotonicNow: () => milliseconds,
      predecessorOf: async (account) => {
        questions.push(account);
        const place = line.indexOf(account);
        return place > 0 && place < named ? line[place - 1] : undefined;
      },
    });
  });

  it("begin with the oldest of a line that is followed, and ask for each account once in a while", async () => {
    await successions.takeOver(line.at(-1) ?? "");
    const pairs = Array.from({ length: LONGEST_LINE }, (_, k) => `${k + 2} ${k + 3}`);
    expect(taken).to.deep.equal(pairs);
    for (let opening = 0; opening < 100; opening += 1) await successions.takeOver(line.at(-1) ?? "");
    expect(questions).to.have.length(LONGEST_LINE);
    milliseconds += KNOWN_SECONDS * 1000;
    await successions.takeOver(line.at(-1) ?? "");
    expect(questions).to.have.length(2 * LONGEST_LINE);
  });

  it("come at the first opening behind the naming, also when there was one before it", async () => {
    named = 1;
    await successions.takeOver(line[1] ?? "");
    expect(taken).to.deep.equal([]);
    named = 2;
    await successions.takeOver(line[1] ?? "");
    expect(taken).to.deep.equal(["0 1"]);
  });
});
