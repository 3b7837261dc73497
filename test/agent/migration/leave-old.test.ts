/** How a migration leaves the old set: with a notice where one is needed, and without where the set has ended. */

import { expect } from "chai";
import { DataSets } from "../../../offchain/agent/data-sets/data-sets.ts";
import { leaveOld } from "../../../offchain/agent/migration/leave-old.ts";
import { readOpened } from "../../../offchain/chain/escrow-events.ts";
import { type LocalChain, startLocalChain } from "../../helpers/local-chain.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";
import { DataSetFixture, objectOf } from "../data-sets/fixture.ts";

const EPOCH_BLOCKS = 30;
const BREACH_LIMIT = 3;

describe("leaving the old set", function () {
  this.timeout(60_000);
  let net: LocalChain;
  let fixture: DataSetFixture;
  let dataSets: DataSets;
  let id: string;
  let notices: number;

  before(async () => {
    net = await startLocalChain();
  });
  after(async () => net.stop());
  beforeEach(async () => {
    fixture = await DataSetFixture.make(net);
    dataSets = new DataSets(fixture.context);
    id = (await fixture.put([objectOf(1)])).id ?? "";
    notices = 0;
  });

  const giveNotice = async () => {
    notices += 1;
    return await dataSets.giveNotice(id);
  };
  async function leave(notice: typeof giveNotice = giveNotice) {
    const opened = await readOpened(net.chain, id);
    if (opened === undefined) throw new Error("the set is not on chain");
    return await leaveOld(fixture.context, { opened, giveNotice: notice });
  }

  /** The provider proves nothing, and each miss is reported. */
  async function breach(): Promise<void> {
    for (let epoch = 0; epoch <= BREACH_LIMIT; epoch += 1) {
      await fixture.mineEpoch();
      const head = await net.chain.provider.getBlockNumber();
      await net.mine(EPOCH_BLOCKS - 4 - (head % EPOCH_BLOCKS));
      const { set } = await dataSets.settle(id);
      if (set.status === "breached") return;
    }
    throw new Error("the set was not breached");
  }

  it("gives notice once, and tells the last epoch again", async () => {
    const first = await leave();
    expect(first.lastEpoch).to.be.a("number");
    expect(first.transactionHash).to.match(/^0x[0-9a-f]{64}$/);
    expect(await leave()).to.deep.equal({ lastEpoch: first.lastEpoch });
    expect(notices).to.equal(1);
  });

  it("gives no notice to a set that was breached", async () => {
    await breach();
    expect(await leave()).to.deep.equal({});
    expect(notices).to.equal(0);
  });

  it("is done when the set is breached while the notice is on its way", async () => {
    const late = async () => {
      await breach();
      return await giveNotice();
    };
    expect(await leave(late)).to.deep.equal({});
    expect(notices).to.equal(1);
  });

  it("fails as the notice does while the set goes on", async () => {
    const dear = async () => await dataSets.giveNotice(id, { maximumFee: 1n });
    const error = await expectAsyncRejection(() => leave(dear), "FUNDS");
    expect(error.check).to.equal("fee of the transaction");
  });
});
