/** What a provider concludes from a chain endpoint that lags or whose last blocks are being replaced. */
import { expect } from "chai";
import { getAddress } from "ethers";
import { ESCROW_ABI } from "../../../offchain/chain/abis.ts";
import type { ChainReader } from "../../../offchain/chain/deployment.ts";
import type { TransactionSender } from "../../../offchain/chain/sender.ts";
import { FIRST_INDEX } from "../../../offchain/core/audit/field.ts";
import { toHex } from "../../../offchain/core/encoding/hex.ts";
import type { Offer } from "../../../offchain/core/wire/csp.ts";
import { AgreementService } from "../../../offchain/csp/agreements/agreements.ts";
import { Settlement } from "../../../offchain/csp/agreements/settlement.ts";
import type { PreparationService } from "../../../offchain/csp/possession/preparations.ts";
import { FailureLog } from "../../../offchain/daemon/failure-log.ts";
import type { Preparation } from "../../../offchain/store/index/preparation-index.ts";
import { openProvider, refusal, temporaryFolder } from "../provider-fixture.ts";

const STATUSES = ["none", "proposed", "active", "breached", "closed", "cancelled"] as const;
type Status = (typeof STATUSES)[number];

const ID = 7n;
const START = 1000;
const USER = getAddress(`0x${"11".repeat(20)}`);
const PROVIDER = getAddress(`0x${"c5".repeat(20)}`);
const NATIVE = `0x${"0".repeat(40)}`;
const HASH = new Uint8Array(32).fill(1);
const ACCEPTANCE = `0x${"ac".repeat(32)}`;

describe("agreements of a provider, told of by an endpoint that lags", () => {
  const folder = temporaryFolder();

  async function open() {
    const { index, logger, close } = await openProvider(folder());
    const told: { status: Status; provider: string; sent: string[] } = { status: "none", provider: PROVIDER, sent: [] };
    const agreementOf = () => [
      {
        user: USER,
        status: STATUSES.indexOf(told.status),
        epochsProven: 0,
        epochsMissed: 0,
        terms: {
          provider: told.provider,
          token: NATIVE,
          feePerEpoch: 1,
          compensationPerMiss: 1,
          bountyPerMiss: 0,
          collateral: 3,
          startBlock: START,
          epochBlocks: 10,
          windowBlocks: 5,
          epochs: 3,
          sampleCount: 1,
          breachLimit: 3,
          firstIndex: FIRST_INDEX,
          sliceCount: 1,
          auditKeyHash: toHex(HASH),
          manifestHash: toHex(HASH),
          randomness: getAddress(`0x${"33".repeat(20)}`),
        },
      },
    ];
    const provider = {
      call: async ({ data }: { data: string }) =>
        data.startsWith(ESCROW_ABI.getFunction("agreementOf")?.selector ?? "?")
          ? ESCROW_ABI.encodeFunctionResult("agreementOf", agreementOf())
          : ESCROW_ABI.encodeFunctionResult("balanceOf", [0]),
      resolveName: async (name: string) => name,
      getBlockNumber: async () => START + 1,
      getLogs: async () => [{ transactionHash: ACCEPTANCE, blockNumber: 990 }],
    };
    const deployment = { contracts: { storageEscrow: getAddress(`0x${"22".repeat(20)}`) }, deployedAtBlock: 900 };
    const chain = { deployment, provider: Object.assign(provider, { provider }) } as unknown as ChainReader;
    const sender = {
      address: PROVIDER,
      send: async ({ description }: { description: string }) => {
        told.sent.push(description);
        return { hash: ACCEPTANCE, blockNumber: 1 };
      },
    } as unknown as TransactionSender;

    const facts = { account: USER, salt: HASH, key: { X: HASH, XA: HASH, XB: HASH }, touchedAt: 0 };
    const hashes = { auditKeyHash: HASH, manifestHash: HASH };
    const creation = await index.preparations.begin({ ...facts, ...hashes }, 10);
    if (creation.outcome !== "created") throw new Error(creation.outcome);
    await index.preparations.complete(creation.id, 1);
    const found = (await index.preparations.find(creation.id)) as Preparation;
    const preparation = { ...found, verified: true };
    const preparations = { require: async () => preparation } as unknown as PreparationService;

    const rows = index.agreements;
    const service = new AgreementService({ chain, sender, offer: {} as Offer, index, preparations, logger });
    const failures = new FailureLog(logger);
    const settlement = new Settlement({ chain, sender, rows, payoutAccount: PROVIDER, logger, failures });
    const accepting = () =>
      rows.begin({
        id: ID,
        preparationId: creation.id,
        account: USER,
        salt: HASH,
        ...hashes,
        sliceCount: 1,
        token: NATIVE,
        startBlock: START,
        epochBlocks: 10,
        windowBlocks: 5,
        epochs: 3,
      });
    const state = async () => (await rows.find(ID))?.state;
    return { told, service, settlement, preparation, rows, accepting, state, close };
  }

  for (const status of ["none", "proposed", "cancelled"] as const) {
    it(`keep the row of an acceptance while the chain says "${status}", until 128 blocks after the start`, async () => {
      const { told, service, accepting, state, close } = await open();
      await accepting();
      told.status = status;
      for (const head of [START - 10, START, START + 127]) await service.resolve(head);
      expect(await state()).to.equal("accepting");
      await service.resolve(START + 128);
      expect(await state()).to.equal(undefined);
      await close();
    });
  }

  it("are taken up when the endpoint has caught up", async () => {
    const { told, service, accepting, state, close } = await open();
    await accepting();
    await service.resolve(START + 5);
    told.status = "active";
    await service.resolve(START + 6);
    expect(await state()).to.equal("active");
    await close();
  });

  it("get their row back from the preparation when acceptance is asked for again", async () => {
    const { told, service, rows, preparation, close } = await open();
    told.status = "active";
    const answer = await service.accept(USER, ID, toHex(HASH));
    expect(answer).to.deep.equal({ agreementId: "7", transactionHash: ACCEPTANCE, blockNumber: 990 });
    expect(told.sent).to.deep.equal([]);
    expect(await rows.find(ID)).to.deep.include({
      state: "active",
      preparationId: preparation.id,
      account: USER,
      startBlock: START,
      epochs: 3,
      acceptHash: ACCEPTANCE,
    });
    await close();
  });

  it("are not taken up for another provider, or for other data", async () => {
    const { told, service, preparation, state, close } = await open();
    told.status = "active";
    told.provider = getAddress(`0x${"d6".repeat(20)}`);
    await refusal(service.accept(USER, ID, toHex(HASH)), "CONFLICT");
    told.provider = PROVIDER;
    preparation.sliceCount = 2;
    await refusal(service.accept(USER, ID, toHex(HASH)), "INVALID_INPUT");
    preparation.sliceCount = 1;
    preparation.verified = false;
    await refusal(service.accept(USER, ID, toHex(HASH)), "CONFLICT");
    expect(await state()).to.equal(undefined);
    await close();
  });

  it("end when the chain says closed, not when it says something else", async () => {
    const { told, settlement, rows, accepting, state, close } = await open();
    await accepting();
    await rows.activate(ID, undefined);
    await rows.setNextEpoch(ID, 3);
    for (const status of ["none", "proposed", "cancelled"] as const) {
      told.status = status;
      await settlement.round(START + 500);
      expect(await state(), status).to.equal("active");
    }
    told.status = "closed";
    await settlement.round(START + 501);
    expect(await state()).to.equal("ended");
    expect(told.sent).to.deep.equal([]);
    await close();
  });

  for (const status of ["active", "breached"] as const) {
    it(`end after they were closed here when the chain says ${status}`, async () => {
      const { told, settlement, rows, accepting, state, close } = await open();
      await accepting();
      await rows.activate(ID, undefined);
      await rows.setNextEpoch(ID, 3);
      told.status = status;
      await settlement.round(START + 500);
      expect(told.sent.length).to.equal(1);
      expect(await state()).to.equal("ended");
      await close();
    });
  }
});
