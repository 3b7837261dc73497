import { expect } from "chai";
import { hpkeKeyPairFromSeed } from "../../offchain/core/crypto/hpke.ts";
import { contentIdFromDigest } from "../../offchain/core/encoding/content-id.ts";
import { buildRecordPayload } from "../../offchain/core/record/key-record.ts";
import type { GasFigure } from "../../scripts/bench/gas-figure.ts";
import { measureLedgerGas, PAYLOAD_BYTES } from "../../scripts/bench/gas-ledger.ts";

/** What one record may cost, the whole transaction included. */
const BAR = 90_000;

/** A payload as the agent makes it, for a 3-of-5 committee. */
async function realPayload(): Promise<Uint8Array> {
  const committeeKeys = await Promise.all(
    [1, 2, 3, 4, 5].map(async (n) => (await hpkeKeyPairFromSeed(new Uint8Array(32).fill(n))).publicKey),
  );
  return buildRecordPayload({
    ledger: { chainId: 31_337n, keyLedger: "0x5FbDB2315678afecb367f032d93F642f64180aa3" },
    fileKey: new Uint8Array(32).fill(0xf1),
    dataId: contentIdFromDigest(new Uint8Array(32).fill(0xda)),
    account: "0x5FbDB2315678afecb367f032d93F642f64180aa3",
    committeeId: 1n,
    keyTime: 1_800_000_000n,
    policy: { shares: 5, threshold: 3, privacy: 2, recipients: "shares" },
    committeeKeys,
    catalogueKey: new Uint8Array(32).fill(0xca),
  });
}

describe("gas of the key ledger", () => {
  let figures: GasFigure[];
  const gasOf = (start: string): number => figures.find(({ name }) => name.startsWith(start))?.gas ?? 0;

  before(async () => {
    figures = await measureLedgerGas();
  });

  it("stays within the bar for a real record of five shares, the first of a fresh account", async () => {
    expect((await realPayload()).length).to.equal(PAYLOAD_BYTES);
    expect(gasOf(`record, ${PAYLOAD_BYTES}-byte payload`)).to.be.within(60_000, BAR);
  });

  it("is the same for another record of a file, and lower in batches and for later owners", () => {
    const first = gasOf("record, ");
    expect(gasOf("record, another of the same file")).to.be.within(first - 200, first + 200);
    for (const name of ["recordMany of 8", "addOwner"]) expect(gasOf(name), name).to.be.within(30_000, first - 1);
  });

  it("is the same in every run", async () => {
    expect(await measureLedgerGas()).to.deep.equal(figures);
  });
});
