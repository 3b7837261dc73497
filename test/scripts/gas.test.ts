import { expect } from "chai";
import { BARS, judge, SHARE_BARS, SLOT_BARS, withAnnounced } from "../../scripts/bench/gas.ts";
import { EPOCHS_FIGURE } from "../../scripts/bench/gas-epochs.ts";
import { MONTH_FIGURE } from "../../scripts/bench/gas-escrow.ts";

const within = {
  proofs: [
    { name: "PdpVerifier, 30 samples of 1 range, check", gas: 220_000 },
    { name: "PdpVerifier, 460 samples of 1 range, check", gas: 325_000 },
    { name: "PdpVerifier, 30 samples of 16 ranges, check", gas: 230_000 },
    { name: "PdpVerifier, 460 samples of 16 ranges, check", gas: 380_000 },
    { name: "PdpVerifier, 30 samples of 1 range, transaction", gas: 290_000 },
    { name: "PdpVerifier, 460 samples of 1 range, transaction", gas: 400_000 },
    { name: "PdpVerifier, 30 samples of 1 range, each further of 2 sets", gas: 246_500 },
    { name: "PdpVerifier, 460 samples of 1 range, each further of 2 sets", gas: 360_000 },
    { name: "PdpVerifier, 460 samples of 1 TiB, check", gas: 900_000 },
    { name: "check, Merkle baseline, 460 leaves of 1 GiB, transaction", gas: 4_000_000 },
  ],
  sets: [
    { name: "open", gas: 1_000_000, newSlots: 4 },
    { name: "prove, 30 samples, first", gas: 290_000, newSlots: 0 },
    { name: "prove, 460 samples, first", gas: 400_000, newSlots: 0 },
    { name: "update, one level becomes two", gas: 60_000, newSlots: 0 },
    { name: MONTH_FIGURE, gas: 150_000 },
  ],
  records: [
    { name: "record, 260-byte payload", gas: 70_000, newSlots: 1 },
    { name: "recordMany of 20, per record", gas: 40_000, newSlots: 1 },
  ],
  evaluations: [
    { name: "OprfEvaluation, one element, check", gas: 1_000_000 },
    { name: "challenge, wrong answer", gas: 1_000_000 },
  ],
  randomness: [
    { name: "record, prevrandao, first block of a slot", gas: 80_000 },
    { name: "record, drand, first block of a slot", gas: 350_000 },
  ],
  runs: [{ name: EPOCHS_FIGURE, gas: 1_000_000, newSlots: 0.01 }],
};

describe("bars of gas", () => {
  it("are those that were promised", () => {
    expect(BARS.map(({ limit }) => limit)).to.deep.equal([
      220_000, 325_000, 230_000, 380_000, 290_000, 400_000, 290_000, 400_000, 60_000, 150_000, 70_000, 40_000,
      1_000_000, 1_000_000, 80_000, 350_000,
    ]);
    expect(SHARE_BARS.map(({ limitPercent }) => limitPercent)).to.deep.equal([85, 90, 10]);
    expect(SLOT_BARS.map(({ limit }) => limit)).to.deep.equal([4, 0, 0, 0.01, 1]);
  });

  it("hold for figures up to and with the limit, and for no others", () => {
    const figures = judge(within);
    expect(figures.every(({ pass }) => pass)).to.equal(true);
    expect(figures.map(({ limit }) => limit)).to.deep.equal([
      220_000,
      325_000,
      230_000,
      380_000,
      290_000,
      400_000,
      246_500,
      360_000,
      undefined,
      undefined,
      undefined,
      290_000,
      400_000,
      60_000,
      150_000,
      70_000,
      40_000,
      1_000_000,
      1_000_000,
      80_000,
      350_000,
      undefined,
    ]);
    for (const [k, { gas }] of within.proofs.slice(0, 8).entries()) {
      const proofs = within.proofs.map((figure, n) => (n === k ? { ...figure, gas: gas + 1 } : figure));
      expect(judge({ ...within, proofs })[k]?.pass).to.equal(false);
    }
    for (const [k, figure] of within.records.entries()) {
      const records = within.records.with(k, { ...figure, gas: figure.gas + 1 });
      expect(judge({ ...within, records }).at(k - 7)?.pass).to.equal(false);
    }
    const dear = { ...within, sets: [...within.sets.slice(0, -1), { name: MONTH_FIGURE, gas: 150_001 }] };
    expect(judge(dear).at(-8)?.pass).to.equal(false);
  });

  it("hold for new slots up to and with the limit, and for no more", () => {
    const judged = judge(within);
    const limited = judged.filter(({ slotLimit }) => slotLimit !== undefined);
    expect(limited.map(({ slotLimit }) => slotLimit)).to.deep.equal([4, 0, 0, 0, 1, 1, 0.01]);
    for (const { group, name, slotLimit = 0 } of limited) {
      const more = Object.entries(within).map(([key, figures]) => [
        key,
        figures.map((figure) => (figure.name === name ? { ...figure, newSlots: slotLimit + 0.005 } : figure)),
      ]);
      const missed = judge(Object.fromEntries(more)).filter(({ pass }) => !pass);
      expect(missed.map((figure) => [figure.group, figure.name])).to.deep.equal([[group, name]]);
    }
  });

  it("need slots that were counted", () => {
    const runs = [{ name: EPOCHS_FIGURE, gas: 1 }];
    expect(() => judge({ ...within, runs })).to.throw(`no slots were counted for ${EPOCHS_FIGURE}`);
  });

  it("stand beside the announced price of the same figure of the same group", () => {
    const announced = { ...within, records: within.records.map((figure) => ({ ...figure, gas: 2 * figure.gas })) };
    const priced = withAnnounced(judge(within), announced);
    expect(priced.find(({ name }) => name.startsWith("recordMany"))).to.include({ gas: 40_000, announcedGas: 80_000 });
    expect(() => withAnnounced(judge(within), { ...announced, sets: [] })).to.throw("by the announced rules");
  });

  it("are not passed by measuring nothing", () => {
    expect(() => judge({ proofs: within.proofs })).to.throw("nothing was measured for the bar");
    const proofs = within.proofs.filter(({ name }) => !name.endsWith("transaction"));
    expect(() => judge({ ...within, proofs })).to.throw("nothing was measured for");
  });
});
