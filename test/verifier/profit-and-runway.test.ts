/** What a report is worth, and when an owner is warned. */
import { expect } from "chai";
import fc from "fast-check";
import { accrue } from "../../offchain/core/data-set/balance.ts";
import { affordableFee, worthOf } from "../../offchain/verifier/profit.ts";
import { epochsBeyondNotice, warningOf } from "../../offchain/verifier/runway.ts";

const NATIVE = `0x${"0".repeat(40)}`;
const TOKEN = `0x${"Ab".repeat(20)}`;
const wei = fc.bigInt({ min: 0n, max: 10n ** 24n });

describe("profit of a verifier", () => {
  it("is at least what was asked for, at the highest fee that is offered, and no higher fee would leave it", () => {
    const profit = fc.bigInt({ min: -(10n ** 18n), max: 10n ** 18n });
    const gas = fc.bigInt({ min: 21_000n, max: 30_000_000n });
    fc.assert(
      fc.property(wei, profit, gas, (worth, minimum, units) => {
        const fee = affordableFee(worth, minimum, units);
        if (fee > 0n) expect(worth - fee * units >= minimum).to.equal(true);
        expect(worth - (fee + 1n) * units < minimum).to.equal(true);
      }),
    );
  });

  it("counts tokens by their price, and those without one as nothing", () => {
    const prices = new Map([[TOKEN.toLowerCase(), 3_000_000_000n]]);
    expect(worthOf(5n, NATIVE, prices)).to.equal(5n);
    expect(worthOf(3_000_000_000n, TOKEN, prices)).to.equal(10n ** 18n);
    expect(worthOf(3_000_000_000n, TOKEN, new Map())).to.equal(0n);
  });
});

describe("outlook of a data set", () => {
  const limits = { noticeEpochs: 5, warningEpochs: 10 };

  it("is warned of exactly when the balance runs out within notice period and warning", () => {
    const rates = fc.bigInt({ min: 1n, max: 10n ** 18n });
    fc.assert(
      fc.property(rates, fc.nat({ max: 40 }), fc.nat({ max: 10 ** 6 }), (rate, epochs, rest) => {
        const account = { available: rate * BigInt(epochs) + (BigInt(rest) % rate), rate };
        const warning = warningOf({ account, lastEpoch: undefined, currentEpoch: 100 }, limits);
        expect(warning).to.equal(epochs < 15 ? "runway" : undefined);
        const whole = { ...account, paidThrough: 100, generation: 0 };
        // The escrow agrees on when the balance is used up.
        expect(accrue(whole, 100 + epochs).generation).to.equal(0);
        expect(accrue(whole, 101 + epochs).endEpoch).to.equal(101 + epochs);
      }),
    );
  });

  it("has no end when nothing is paid, is unknown without a balance, and ends with the last epoch", () => {
    const account = { available: 0n, rate: 0n };
    expect(epochsBeyondNotice(account, 5)).to.equal(Number.POSITIVE_INFINITY);
    expect(warningOf({ account, lastEpoch: undefined, currentEpoch: 9 }, limits)).to.equal(undefined);
    expect(warningOf({ account: undefined, lastEpoch: undefined, currentEpoch: 9 }, limits)).to.equal(undefined);
    expect(warningOf({ account, lastEpoch: 9, currentEpoch: 9 }, limits)).to.equal("notice");
    expect(warningOf({ account, lastEpoch: 9, currentEpoch: 10 }, limits)).to.equal("ended");
  });
});
