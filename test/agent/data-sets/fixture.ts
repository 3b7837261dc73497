/** One user, one provider and a real chain, for the tests of data sets. */

import { randomBytes } from "node:crypto";
import { Wallet } from "ethers";
import { AgentContext } from "../../../offchain/agent/context.ts";
import { type DataSetLane, type LaneProvider, openDataSetLane } from "../../../offchain/agent/data-sets/lane.ts";
import type { DataSetReport } from "../../../offchain/agent/data-sets/lane-report.ts";
import type { LaneWishes } from "../../../offchain/agent/data-sets/wishes.ts";
import type { AgentPlatform } from "../../../offchain/agent/platform.ts";
import { SILENT } from "../../../offchain/agent/progress.ts";
import { contentId } from "../../../offchain/core/encoding/content-id.ts";
import { type Identity, identityFromEntropy } from "../../../offchain/core/identity/identity.ts";
import type { LocalChain } from "../../helpers/local-chain.ts";
import { MemoryDataSetProvider } from "../../helpers/memory-data-sets.ts";
import { memoryPlatform } from "../../helpers/memory-platform.ts";

/** Bytes of a slice of 1024 elements. */
export const SLICE = 31 * 1024;
const COIN = 10n ** 18n;

export class DataSetFixture {
  readonly net: LocalChain;
  readonly identity: Identity = identityFromEntropy(randomBytes(16));
  readonly provider: MemoryDataSetProvider;
  platform: AgentPlatform = memoryPlatform();
  context: AgentContext;

  private constructor(net: LocalChain, wallet: Wallet) {
    this.net = net;
    this.provider = new MemoryDataSetProvider(net.chain, wallet);
    this.context = this.newContext();
  }

  static async make(net: LocalChain): Promise<DataSetFixture> {
    const wallet = new Wallet(`0x${randomBytes(32).toString("hex")}`, net.chain.provider);
    const fixture = new DataSetFixture(net, wallet);
    await net.fund([wallet.address, fixture.context.account.address], 10n * COIN);
    await fixture.provider.addCollateral(COIN);
    return fixture;
  }

  /** A new process of the same home. */
  newContext(): AgentContext {
    const context = new AgentContext({
      identity: this.identity,
      deployment: this.net.deployment,
      chain: Promise.resolve(this.net.chain),
      platform: this.platform,
      logger: SILENT,
      confirmations: 1,
    });
    // The deployment of a local chain names no providers.
    const byAccount = () => this.provider;
    return Object.assign(context, { providers: () => ({ byAccount, find: byAccount }) });
  }

  async put(objects: readonly Uint8Array[], wishes: LaneWishes = {}): Promise<DataSetReport> {
    const lane = await this.open(wishes);
    await this.add(lane, objects);
    return await lane.commit();
  }

  async open(wishes: LaneWishes = {}, provider: LaneProvider = this.provider): Promise<DataSetLane> {
    return await openDataSetLane(this.context, provider, wishes);
  }

  /** Stores objects and tags them, as a put does. @returns their ids */
  async add(lane: DataSetLane, objects: readonly Uint8Array[]): Promise<string[]> {
    for (const sealed of objects) {
      await lane.tagger.add({ id: contentId(sealed), sealed });
      this.provider.store(sealed);
    }
    return objects.map(contentId);
  }

  async mineEpoch(): Promise<void> {
    const head = await this.net.chain.provider.getBlockNumber();
    await this.net.mine(30 - (head % 30));
  }
}

/** Random bytes of a length in slices. */
export function objectOf(slices: number): Uint8Array {
  return new Uint8Array(randomBytes(Math.round(slices * SLICE)));
}
