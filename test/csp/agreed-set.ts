/** What an index keeps of a data set that both parties agreed on, for tests that need only that there is one. */
import type { AgreedSet, CosignedState } from "../../offchain/store/index/data-set-index.ts";
import { ALICE, BOB } from "./provider-fixture.ts";

const HASH = `0x${"11".repeat(32)}`;
const ZERO = `0x${"00".repeat(20)}`;

export const AGREED: AgreedSet = {
  id: HASH,
  terms: {
    user: ALICE,
    provider: BOB,
    token: ZERO,
    mode: "every-epoch",
    feeFloor: 1n,
    feePerSlice: 1n,
    feePerIndex: 0n,
    feeCap: 10n,
    collateralPercent: 300,
    compensationPercent: 100,
    bountyPercent: 0,
    latePercent: 50,
    breachLimit: 3,
    auditHash: HASH,
  },
  audit: {
    randomness: BOB,
    verifier: BOB,
    keyHash: HASH,
    sliceElements: 1024,
    sampleCount: 20,
    phase: 0,
    windowBlocks: 5,
    graceBlocks: 2,
    disputeBond: 1n,
    predecessor: `0x${"00".repeat(32)}`,
    salt: HASH,
  },
  fromBlock: 1,
};

export const FIRST_STATE: CosignedState = {
  version: 1n,
  retirements: 0,
  ranges: Uint8Array.of(1),
  contentHash: HASH,
  deadlineBlock: 100,
  userSignature: "0x01",
  providerSignature: "0x02",
  transaction: undefined,
};
