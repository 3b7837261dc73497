import { expect } from "chai";
import type { TallystickError } from "../../../offchain/core/errors.ts";
import { GenerationStore } from "../../../offchain/nbm/generations/generation-store.ts";
import { Budgets } from "../../../offchain/nbm/oprf/budget.ts";
import { OprfService } from "../../../offchain/nbm/oprf/oprf-service.ts";
import { SecretBox } from "../../../offchain/nbm/secret-box.ts";
import { NBM_MIGRATIONS } from "../../../offchain/nbm/tables.ts";
import { openDatabase } from "../../../offchain/store/index/sqlite.ts";

describe("evaluation for a committee that has no key here", () => {
  function serviceWith(known: bigint, failed?: string): OprfService {
    const database = openDatabase(":memory:", { migrations: NBM_MIGRATIONS });
    const generations = new GenerationStore(database, new SecretBox(new Uint8Array(32).fill(7)));
    const announcement = { bytes: new Uint8Array(1), signature: "0x00" };
    const id = { committeeId: known, generation: 1 };
    const state = { ...id, from: 0, size: 5, threshold: 3, partiesHash: "0x", index: 1, dealer: 1 };
    generations.begin(state, { secret: new Uint8Array(32), announcement });
    if (failed !== undefined) generations.fail(id, failed);
    const budget = { evaluations: 10, periodSeconds: 10 };
    return new OprfService({ database, budgets: new Budgets(database), generations, budget, sign: () => "0x" });
  }

  function refusalOf(service: OprfService, committeeId: string, generation = 1): TallystickError {
    try {
      service.evaluate("0x00", { committeeId, generation, blinded: [`0x${"00".repeat(32)}`] });
    } catch (error) {
      return error as TallystickError;
    }
    throw new Error("evaluated");
  }

  it("is worth asking for again while the key generation has not ended here", () => {
    expect(refusalOf(serviceWith(1n), "1")).to.include({ code: "NOT_FOUND", received: "1/1", retryable: true });
  });

  it("is final when the key generation failed, or this node is no member", () => {
    expect(refusalOf(serviceWith(1n, "member 2 lied"), "1")).to.include({ code: "NOT_FOUND", retryable: false });
    expect(refusalOf(serviceWith(1n), "2")).to.include({ code: "NOT_FOUND", retryable: false });
    expect(refusalOf(serviceWith(1n), "1", 2)).to.include({ code: "NOT_FOUND", retryable: false });
  });
});
