/** A provider that signs two states under one version, and honest ones that nothing makes look so. */

import { expect } from "chai";
import { stateTypedData } from "../../../offchain/agent/data-sets/co-signing.ts";
import { DataSets } from "../../../offchain/agent/data-sets/data-sets.ts";
import type { SignedByDevice } from "../../../offchain/agent/data-sets/journal.ts";
import { readBooks } from "../../../offchain/chain/escrow.ts";
import { updateDataSetCall } from "../../../offchain/chain/escrow-calls.ts";
import { encodeLiveRanges } from "../../../offchain/core/data-set/ranges.ts";
import { type LocalChain, startLocalChain } from "../../helpers/local-chain.ts";
import { DataSetFixture, objectOf } from "./fixture.ts";

describe("evidence against a provider", function () {
  this.timeout(60_000);
  let net: LocalChain;
  let fixture: DataSetFixture;
  let id: string;

  before(async () => {
    net = await startLocalChain();
  });
  after(async () => net.stop());
  beforeEach(async () => {
    fixture = await DataSetFixture.make(net);
    id = (await fixture.put([objectOf(2)])).id ?? "";
    await fixture.mineEpoch();
  });

  const set = async () => {
    const newest = (await fixture.platform.dataSets.sets()).at(-1);
    if (newest?.agreed === undefined || newest.scheduled === undefined) throw new Error("no set");
    return { ...newest, agreed: newest.agreed, scheduled: newest.scheduled };
  };
  const settle = async () => await new DataSets(fixture.context).settle(id);
  const status = async () => (await readBooks(net.chain, id))?.status;

  /** A put that is killed when the provider has signed, and nobody has sent. */
  async function killed(): Promise<SignedByDevice> {
    fixture.provider.sends = false;
    const send = fixture.context.send.bind(fixture.context);
    const fail = async () => {
      throw new Error("killed");
    };
    Object.assign(fixture.context, { send: fail });
    await fixture.put([objectOf(1)]).catch(() => undefined);
    Object.assign(fixture.context, { send });
    const { signed } = await set();
    if (signed?.providerSignature === undefined) throw new Error("not signed");
    return signed;
  }

  /** Brings another state of a version on chain, with both signatures. */
  async function sendOther(signed: SignedByDevice, over: Partial<SignedByDevice> = {}): Promise<void> {
    const { agreed, scheduled } = await set();
    const state = { ...signed, ranges: encodeLiveRanges([{ firstIndex: 1, count: 1 }]), ...over };
    const typed = stateTypedData(net.deployment, agreed.id, state);
    const userSignature = await fixture.context.account.sign(typed);
    const providerSignature = await fixture.provider.sign(typed);
    const { version, ranges, contentHash, deadlineBlock } = state;
    const next = { version, ranges, contentHash, deadlineBlock, userSignature, providerSignature };
    await fixture.context.send(updateDataSetCall(net.deployment, { terms: agreed.terms, ...scheduled }, next));
  }

  it("is shown by `settle`: the set ends, and the user has the collateral", async () => {
    await sendOther(await killed());
    const before = (await new DataSets(fixture.context).balance()).available;
    const settlement = await settle();
    expect(settlement).to.include({ doubleSigned: true, closed: false });
    expect(settlement.reported).to.deep.equal([]);
    expect(await status()).to.equal("breached");
    const { available } = await new DataSets(fixture.context).balance();
    expect(available > before).to.equal(true);
    expect(await settle()).to.include({ doubleSigned: false });
  });

  it("is shown though the user has retired slices since", async () => {
    await sendOther(await killed(), { ranges: encodeLiveRanges([{ firstIndex: 1, count: 2 }]) });
    await fixture.mineEpoch();
    await new DataSets(fixture.context).retire(id, [{ firstIndex: 1, count: 1 }]);
    expect(await settle()).to.include({ doubleSigned: true });
    expect(await status()).to.equal("breached");
  });

  it("is none when the chain has the same state with another deadline", async () => {
    const signed = await killed();
    await sendOther(signed, { ranges: signed.ranges, deadlineBlock: signed.deadlineBlock - 1n });
    expect(await settle()).to.include({ doubleSigned: false });
    expect(await status()).to.equal("running");
  });

  it("is none after a crash, a state that this device sends, a retirement and a notice", async () => {
    await killed();
    expect(await settle()).to.include({ doubleSigned: false });
    // Carries the state along.
    const dataSets = new DataSets(fixture.context);
    expect((await dataSets.retire(id, [{ firstIndex: 1, count: 1 }])).carriedVersion).to.equal(2n);
    expect(await settle()).to.include({ doubleSigned: false });
    for (let epoch = 0; epoch < 2; epoch += 1) await fixture.mineEpoch();
    fixture.provider.sends = true;
    expect(await fixture.put([objectOf(1)])).to.include({ version: 3n });
    expect(await settle()).to.include({ doubleSigned: false });
    await dataSets.giveNotice(id);
    expect(await settle()).to.include({ doubleSigned: false });
    expect(await status()).to.equal("running");
    expect(fixture.provider.forgeries).to.deep.equal([]);
  });

  it("is none after a reorganisation that took a state, which is signed again under a higher version", async () => {
    const rpc = net.chain.provider;
    for (const isExpired of [false, true]) {
      const snapshot: unknown = await rpc.send("evm_snapshot", []);
      await fixture.put([objectOf(1)]);
      await rpc.send("evm_revert", [snapshot]);
      fixture.context = fixture.newContext();
      for (let epoch = 0; isExpired && epoch < 5; epoch += 1) await fixture.mineEpoch();
      await fixture.put([objectOf(1)]);
      expect(await settle()).to.include({ doubleSigned: false });
      await fixture.mineEpoch();
    }
    expect(await status()).to.equal("running");
    expect(fixture.provider.forgeries).to.deep.equal([]);
  });
});
