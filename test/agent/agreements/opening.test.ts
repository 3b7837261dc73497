/** Which agreement a put relies on, as the chain's answers about the catalogued one say. */
import { expect } from "chai";
import { agreementKeys } from "../../../offchain/agent/agreements/agreement-keys.ts";
import {
  beginTagging,
  DataSetTagger,
  type PreparedDataSet,
} from "../../../offchain/agent/agreements/data-set-tagger.ts";
import { resumeAgreement } from "../../../offchain/agent/agreements/opening.ts";
import type { CataloguedAgreement } from "../../../offchain/agent/catalogue.ts";
import { systemClock } from "../../../offchain/agent/clock.ts";
import type { AgentContext } from "../../../offchain/agent/context.ts";
import type { StorageProvider } from "../../../offchain/agent/providers/storage-provider.ts";
import { ESCROW_ABI } from "../../../offchain/chain/abis.ts";
import type { ContractCall } from "../../../offchain/chain/contract-call.ts";
import { depositOf, NATIVE_TOKEN } from "../../../offchain/chain/escrow.ts";
import { contentId } from "../../../offchain/core/encoding/content-id.ts";
import { TallystickError } from "../../../offchain/core/errors.ts";
import type { Offer } from "../../../offchain/core/wire/csp.ts";
import { MemoryPreparations } from "../../helpers/memory-platform.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";

const address = (digits: string) => `0x${digits.repeat(20)}`;
const ESCROW = address("66");
const PROVIDER = address("22");
const [NONE, ACTIVE] = [0, 2];
/** The end of the last window of the agreement below. */
const LAST_WINDOW_END = 125;
const salt = `0x${"44".repeat(32)}`;
const auditSeed = new Uint8Array(32).fill(3);

describe("the agreement that a put relies on", () => {
  let rows: CataloguedAgreement[];
  let status: number;
  let head: number;
  let keyHash: string;
  let preparations: MemoryPreparations;
  /** What happened, in order. */
  let events: string[];

  beforeEach(async () => {
    const common = { salt, dataId: "d", provider: PROVIDER, escrow: ESCROW, createdAt: 0 };
    rows = [{ ...common, state: "accepted", agreementId: 9n, proposedFromBlock: 90 }];
    preparations = new MemoryPreparations();
    events = [];
    status = ACTIVE;
    head = 100;
    keyHash = (await agreementKeys(auditSeed, salt)).keyHash;
  });

  const agreement = () => ({
    user: address("11"),
    status,
    epochsProven: 0,
    epochsMissed: 0,
    terms: {
      provider: PROVIDER,
      token: address("00"),
      feePerEpoch: 1,
      compensationPerMiss: 1,
      bountyPerMiss: 0,
      collateral: 3,
      startBlock: 100,
      epochBlocks: 10,
      windowBlocks: 5,
      epochs: 3,
      sampleCount: 1,
      breachLimit: 3,
      firstIndex: 1,
      sliceCount: 1,
      auditKeyHash: keyHash,
      manifestHash: `0x${"55".repeat(32)}`,
      randomness: address("33"),
    },
  });

  function context(): AgentContext {
    const contracts = {
      storageEscrow: ESCROW,
      dataSetEscrow: ESCROW,
      possessionVerifier: ESCROW,
      randomness: address("33"),
    };
    const deployment = { chainId: 1, contracts, deployedAtBlock: 0 };
    const provider = {
      call: async () => ESCROW_ABI.encodeFunctionResult("agreementOf", [agreement()]),
      getBlockNumber: async () => head,
      getTransactionCount: async () => 1,
      getLogs: async () => [],
    };
    return {
      deployment,
      chain: async () => ({ deployment, provider }),
      account: { address: address("11") },
      identity: { auditSeed },
      platform: { preparations, clock: systemClock },
      waits: { during: async (_kind: string, _what: string, work: () => Promise<unknown>) => await work() },
      send: async ({ description }: ContractCall) => {
        events.push(description);
        throw new TallystickError("no transactions here", { code: "CHAIN_REVERTED" });
      },
      catalogue: {
        agreements: async () => [...rows],
        saveAgreement: async (row: CataloguedAgreement) => {
          rows = [row];
        },
        removeAgreement: async () => {
          rows = [];
        },
      },
    } as unknown as AgentContext;
  }

  const resume = () => resumeAgreement(context(), "d", { account: PROVIDER } as StorageProvider, {}, undefined);

  it("is the catalogued one up to the end of its last window, and a new one from then on", async () => {
    head = LAST_WINDOW_END - 1;
    expect(await resume()).to.include({ agreementId: 9n, status: "active", isNew: false });
    head = LAST_WINDOW_END;
    expect(await resume()).to.equal(undefined);
    expect(rows).to.have.length(1);
  });

  it("is a new one where one whose acceptance was not written down has passed its last window", async () => {
    rows = rows.map((row) => ({ ...row, state: "proposed" }));
    head = LAST_WINDOW_END;
    expect(await resume()).to.equal(undefined);
    expect(rows[0]).to.include({ state: "accepted", agreementId: 9n });
  });

  it("stays in the catalogue, and no other is made, when the endpoint denies it", async () => {
    status = NONE;
    const before = [...rows];
    const error = await expectAsyncRejection(resume, "CHAIN_UNAVAILABLE", /agreement 9/);
    expect(error.retryable).to.equal(true);
    expect(rows).to.deep.equal(before);
  });

  it("is a new one where somebody else's has its number: the chain is another", async () => {
    keyHash = `0x${"77".repeat(32)}`;
    expect(await resume()).to.equal(undefined);
    expect(rows).to.deep.equal([]);
  });

  it("leaves no tags of an accepted one behind, and keeps those of one that is not accepted yet", async () => {
    const make = async () => {
      const writer = await preparations.create(salt);
      await writer.finish(new Uint8Array(1));
    };
    const late = { now: () => Date.now() + 30 * 86_400_000, pause: async () => undefined };
    const begin = async () => {
      const started = context();
      await beginTagging({ ...started, platform: { ...started.platform, clock: late } } as unknown as AgentContext);
      return await preparations.find(salt);
    };
    await make();
    rows = rows.map((row) => ({ ...row, state: "proposed" }));
    expect(await begin()).to.not.equal(undefined);
    rows = rows.map((row) => ({ ...row, state: "accepted" }));
    expect(await begin()).to.equal(undefined);
  });

  it("is forgotten with its tags when it was not proposed in a week, unless a deposit may be on chain", async () => {
    const writer = await preparations.create(salt);
    await writer.finish(new Uint8Array(1));
    const createdAt = Math.floor(Date.now() / 1000);
    const daysLater = async (days: number) => {
      const clock = { now: () => Date.now() + days * 86_400_000, pause: async () => undefined };
      const started = context();
      await beginTagging({ ...started, platform: { ...started.platform, clock } } as unknown as AgentContext);
      return [rows.length, (await preparations.find(salt)) !== undefined];
    };
    rows = rows.map(({ agreementId: _, ...row }) => ({ ...row, state: "prepared", createdAt, proposedFromBlock: 5 }));
    expect(await daysLater(30)).to.deep.equal([1, true]);
    rows = rows.map(({ proposedFromBlock: _, ...row }) => row);
    expect(await daysLater(6)).to.deep.equal([1, true]);
    expect(await daysLater(8)).to.deep.equal([0, false]);
  });

  describe("when one that was begun is proposed", () => {
    const first: Offer = {
      version: 1,
      account: PROVIDER,
      chainId: 1,
      escrow: ESCROW,
      randomness: [address("33")],
      prices: [{ token: NATIVE_TOKEN, pricePerGibEpoch: "0", minimumFeePerEpoch: "500" }],
      compensationPercent: 100,
      bountyPercent: 10,
      breachLimit: 3,
      epochBlocks: 20,
      windowBlocks: 10,
      sampleCount: 460,
      maximumEpochs: 12,
      maximumSlices: 1000,
      minimumLeadBlocks: 2,
      maximumLeadBlocks: 100,
    };
    const doubled = [{ token: NATIVE_TOKEN, pricePerGibEpoch: "0", minimumFeePerEpoch: "1000" }];
    let prepared: PreparedDataSet;

    beforeEach(async () => {
      const keys = await agreementKeys(auditSeed, salt);
      const tagger = await DataSetTagger.create(preparations, salt, keys);
      const sealed = new Uint8Array(10);
      await tagger.add({ id: contentId(sealed), sealed });
      prepared = await tagger.finish();
      rows = [{ salt, dataId: "d", provider: PROVIDER, escrow: ESCROW, createdAt: 0, state: "prepared" }];
    });

    /** A provider that has verified everything, and whose offer is now this. */
    const providerWith = (offer: Offer) =>
      ({
        account: PROVIDER,
        name: "provider",
        offer: async () => offer,
        openPreparation: async () => ({
          state: "verified",
          firstIndex: 1,
          sliceCount: 1,
          manifestHash: prepared.manifestHash,
          auditKeyHash: keyHash,
          expected: { powersA: 393_216, powersB: 96, tags: 96 },
        }),
      }) as unknown as StorageProvider;
    const propose = (offer: Offer) =>
      resumeAgreement(context(), "d", providerWith(offer), { offer: first }, ({ phase, terms }) =>
        events.push(terms === undefined ? phase : `${phase} for ${depositOf(terms)}`),
      );

    it("is not proposed when the provider has made its offer worse meanwhile", async () => {
      const error = await expectAsyncRejection(() => propose({ ...first, prices: doubled }), "CONFLICT");
      expect(error).to.include({ party: "provider", check: "fee per epoch", expected: "at most 500" });
      expect(events).to.deep.equal([]);
      expect(rows[0]?.state).to.equal("prepared");
    });

    it("tells its terms before anything is sent", async () => {
      await expectAsyncRejection(() => propose(first), "CHAIN_REVERTED");
      expect(events).to.deep.equal(["proposing for 6000", "proposing an agreement"]);
    });
  });
});
