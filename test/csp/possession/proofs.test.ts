import { expect } from "chai";
import { randomBytes } from "#primitives";
import { auditReady } from "../../../offchain/core/audit/ready.ts";
import { createCspMetrics } from "../../../offchain/csp/metrics.ts";
import { ProofService } from "../../../offchain/csp/possession/proofs.ts";
import { createMetrics } from "../../../offchain/daemon/metrics.ts";
import { AuditedData } from "../audited-data.ts";
import {
  ALICE,
  frame,
  framesOf,
  openProvider,
  randomChunk,
  refusal,
  streamOf,
  temporaryFolder,
} from "../provider-fixture.ts";

describe("proofs of a provider", () => {
  const folder = temporaryFolder();
  before(() => auditReady());

  async function provable() {
    const provider = await openProvider(folder());
    const { parts, chunks, index, preparations, verification } = provider;
    const stored = [randomChunk(200_000)];
    const data = new AuditedData(randomBytes(32), stored);
    await chunks.store(ALICE, framesOf(...stored.map((chunk) => frame(chunk))));
    await preparations.open(ALICE, data.saltHex, data.request);
    for (const [part, bytes] of [
      ["powers-a", data.powersA],
      ["powers-b", data.powersB],
      ["tags", data.tags],
    ] as const) {
      await preparations.append(ALICE, data.saltHex, part, 0, streamOf(bytes));
    }
    await verification.verify(await preparations.require(ALICE, data.saltHex), 60);
    const metrics = createCspMetrics(createMetrics("csp"), index, async () => 0n);
    const proofs = new ProofService(parts, chunks, metrics);
    return { proofs, preparation: await preparations.require(ALICE, data.saltHex), sliceCount: data.sliceCount };
  }

  it("for the chain come before all private audits that are waiting", async () => {
    const { proofs, preparation, sliceCount } = await provable();
    const done: string[] = [];
    const audits = [1, 2, 3, 4].map(async (number) => {
      await proofs.provePrivate(preparation, randomBytes(32), 5);
      done.push(`audit ${number}`);
    });
    await refusal(proofs.provePrivate(preparation, randomBytes(32), 5), "RATE_LIMITED");
    const challenge = { seed: randomBytes(32), sampleCount: 5, ranges: [{ firstIndex: 1, count: sliceCount }] };
    await proofs.provePublic(preparation, challenge);
    done.push("proof");
    await Promise.all(audits);
    expect(done).to.deep.equal(["audit 1", "proof", "audit 2", "audit 3", "audit 4"]);
  });

  it("go on after one that failed", async () => {
    const { proofs, preparation } = await provable();
    const failing = proofs.provePrivate(preparation, randomBytes(32), 0);
    const next = proofs.provePrivate(preparation, randomBytes(32), 5);
    await refusal(failing, "INVALID_INPUT");
    expect((await next).length).to.equal(130);
  });
});
