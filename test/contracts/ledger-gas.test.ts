import { expect } from "chai";
import { contentIdFromDigest } from "../../offchain/core/encoding/content-id.ts";
import { toHex } from "../../offchain/core/encoding/hex.ts";
import { multiplyBase, randomScalar } from "../../offchain/core/oprf/group.ts";
import { oprfReady } from "../../offchain/core/oprf/ristretto255.ts";
import { fileTag, ownershipAddress } from "../../offchain/core/record/key-record.ts";
import { buildSealedPayload } from "../../offchain/core/record/sealed-record.ts";
import { type GasFigure, RULES_OF_TODAY } from "../../scripts/bench/gas-figure.ts";
import { measureLedgerGas, PAYLOAD_BYTES } from "../../scripts/bench/gas-ledger.ts";

/** What one record may cost, the whole transaction included, and each of twenty. */
const BAR = 70_000;
const BATCH_BAR = 40_000;

/** A payload as the agent makes it. */
function realPayload(): Uint8Array {
  const dataId = contentIdFromDigest(new Uint8Array(32).fill(0xda));
  const fileKey = new Uint8Array(32).fill(0xf1);
  const account = "0x5FbDB2315678afecb367f032d93F642f64180aa3";
  return buildSealedPayload({
    seal: {
      ledger: { chainId: 31_337n, keyLedger: account },
      ownersPolicy: account,
      groupKey: multiplyBase(randomScalar()),
    },
    header: {
      account,
      fileTag: toHex(fileTag(dataId)),
      committeeId: 1n,
      keyTime: 1_800_000_000n,
      ownershipKey: ownershipAddress(fileKey),
    },
    fileKey,
    dataId,
    catalogueKey: new Uint8Array(32).fill(0xca),
  });
}

describe("gas of the key ledger", () => {
  let figures: GasFigure[];
  const gasOf = (start: string): number => figures.find(({ name }) => name.startsWith(start))?.gas ?? 0;

  before(async () => {
    await oprfReady();
    figures = await measureLedgerGas(RULES_OF_TODAY);
  });

  it("stays within the bar for a real record, the first of a fresh account", () => {
    expect(realPayload().length).to.equal(PAYLOAD_BYTES);
    expect(gasOf(`record, ${PAYLOAD_BYTES}-byte payload`)).to.be.within(60_000, BAR);
  });

  it("stays within the bar for each of twenty: two new slots would cost more", () => {
    expect(gasOf("recordMany of 20")).to.be.within(30_000, BATCH_BAR);
  });

  it("is the same for another record of a file, and lower for later owners", () => {
    const first = gasOf("record, ");
    expect(gasOf("record, another of the same file")).to.be.within(first - 200, first + 200);
    expect(gasOf("addOwner")).to.be.within(30_000, first - 1);
  });

  it("is the same in every run", async () => {
    expect(await measureLedgerGas(RULES_OF_TODAY)).to.deep.equal(figures);
  });
});
