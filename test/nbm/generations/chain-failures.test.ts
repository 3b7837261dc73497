import { expect } from "chai";
import type { ChainReader } from "../../../offchain/chain/deployment.ts";
import { ChainUnavailableError } from "../../../offchain/chain/revert.ts";
import type { GenerationId } from "../../../offchain/core/committee/key-id.ts";
import {
  GenerationCoordinator,
  type GenerationCoordinatorOptions,
} from "../../../offchain/nbm/generations/coordinator.ts";
import { type GenerationState, GenerationStore } from "../../../offchain/nbm/generations/generation-store.ts";
import { SecretBox } from "../../../offchain/nbm/secret-box.ts";
import { NBM_MIGRATIONS } from "../../../offchain/nbm/tables.ts";
import { openDatabase } from "../../../offchain/store/index/sqlite.ts";
import { walletOf } from "../../helpers/ledger-records.ts";
import { failure } from "../../helpers/promises.ts";

const idOf = (committee: number): GenerationId => ({ committeeId: BigInt(committee), generation: 1 });

describe("generations while the chain's endpoint fails", () => {
  it("are all taken as far as possible, though one that a stranger opened cannot be read", async () => {
    const box = new SecretBox(new Uint8Array(32).fill(1));
    const store = new GenerationStore(openDatabase(":memory:", { migrations: NBM_MIGRATIONS }), box);
    for (const committee of [1, 2]) {
      store.begin({ ...idOf(committee), from: 0, size: 3, threshold: 2, partiesHash: "0x", index: 1, dealer: 1 });
    }
    const seen: GenerationId[] = [];
    const read: string[] = [];
    const provider = {
      getBlockNumber: async () => {
        throw new ChainUnavailableError("reading the number of the latest block");
      },
    };
    const coordinator = new GenerationCoordinator({
      store,
      chain: { deployment: { contracts: { nodeRegistry: walletOf(1).address } }, provider } as unknown as ChainReader,
      namings: {
        catchUp: async () => {
          read.push("logs");
          throw new ChainUnavailableError("reading logs");
        },
        // Committee 1 is known: nothing has to be read to see that it is.
        fresh: () => [idOf(9), idOf(1)],
        see: (id: GenerationId) => seen.push(id),
      },
      logger: { debug: () => undefined, warn: () => undefined },
    } as unknown as GenerationCoordinatorOptions);

    expect(await failure(coordinator.advance())).to.be.instanceOf(ChainUnavailableError);
    expect(read).to.deep.equal(["logs"]);
    // What was not read is looked at again.
    expect(seen).to.deep.equal([idOf(1)]);
    for (const committee of [1, 2]) {
      expect(coordinator.problemOf(store.find(idOf(committee)) as GenerationState)).to.contain("endpoint failed");
    }
  });
});
