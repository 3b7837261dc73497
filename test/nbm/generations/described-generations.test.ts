import { expect } from "chai";
import type { GenerationId } from "../../../offchain/core/committee/key-id.ts";
import { oprfReady } from "../../../offchain/core/oprf/ristretto255.ts";
import { RunAnswers } from "../../../offchain/nbm/generations/answers.ts";
import {
  GenerationCoordinator,
  type GenerationCoordinatorOptions,
} from "../../../offchain/nbm/generations/coordinator.ts";
import { type GenerationState, GenerationStore } from "../../../offchain/nbm/generations/generation-store.ts";
import { SecretBox } from "../../../offchain/nbm/secret-box.ts";
import { NBM_MIGRATIONS } from "../../../offchain/nbm/tables.ts";
import { openDatabase } from "../../../offchain/store/index/sqlite.ts";
import { completeRun } from "../../helpers/committee-run.ts";

const ID: GenerationId = { committeeId: 7n, generation: 1 };
const KEYS = `0x${"0a".repeat(32)}`;

class CountingBox extends SecretBox {
  opened = 0;

  override open(place: string, value: Uint8Array): Uint8Array {
    this.opened += 1;
    return super.open(place, value);
  }
}

describe("what a node tells anybody about its generations", () => {
  it("is told without decrypting its key shares", async () => {
    await oprfReady();
    const box = new CountingBox(new Uint8Array(32).fill(1));
    const store = new GenerationStore(openDatabase(":memory:", { migrations: NBM_MIGRATIONS }), box);
    const coordinator = new GenerationCoordinator({ store } as unknown as GenerationCoordinatorOptions);
    const { generation } = completeRun({ size: 3, threshold: 2 });
    store.begin({ ...ID, from: 0, size: 3, threshold: 2, partiesHash: "0x", index: 1, dealer: 1 });
    const shares = new Uint8Array(64).fill(5);
    store.addResult(ID, { keyMaterialHash: KEYS, transcript: "ab", generation, shares, faults: ["dealer 2"] });
    store.activate(ID, KEYS);
    const state = store.find(ID) as GenerationState;
    expect(coordinator.faultsOf(state)).to.deep.equal(["dealer 2"]);
    const answer = new RunAnswers({ store, coordinator }).messages(ID, { known: [] });
    expect(answer.transcript).to.equal("ab");
    expect(box.opened).to.equal(0);
    expect(store.used(ID).shares).to.deep.equal(shares);
    expect(box.opened).to.equal(1);
  });
});
