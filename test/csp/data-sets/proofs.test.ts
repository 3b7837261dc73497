import { setTimeout } from "node:timers/promises";
import { expect } from "chai";
import { randomBytes } from "#primitives";
import { decodeProof } from "../../../offchain/core/audit/proof.ts";
import { auditReady } from "../../../offchain/core/audit/ready.ts";
import { verifyPrivate, verifyPublic } from "../../../offchain/core/audit/verifier.ts";
import type { AnswerSigner } from "../../../offchain/csp/data-sets/answer-signer.ts";
import { DataDamagedError } from "../../../offchain/csp/data-sets/data-damaged.ts";
import { DataSetProofs } from "../../../offchain/csp/data-sets/proofs.ts";
import { PROVING_THREADS } from "../../../offchain/csp/data-sets/proving-threads.ts";
import { createCspMetrics } from "../../../offchain/csp/metrics.ts";
import { createMetrics } from "../../../offchain/daemon/metrics.ts";
import { AuditedSet } from "../audited-data.ts";
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

/** Of a set that is not on chain, nothing is signed. */
const UNSIGNED = { sign: async () => undefined } as unknown as AnswerSigner;

const URGENCY = { priority: -1, signal: new AbortController().signal };

describe("proofs of a provider", () => {
  const folder = temporaryFolder();
  before(() => auditReady());

  /** A data set of two segments with a gap between them. */
  async function provable() {
    const provider = await openProvider(folder());
    const { data, chunks, index, sets, segments, threads } = provider;
    const stored = [randomChunk(200_000), randomChunk(100_000)];
    const audited = new AuditedSet(1024);
    await chunks.store(ALICE, framesOf(...stored.map((chunk) => frame(chunk))));
    const set = await sets.begin(ALICE, audited.saltHex, audited.request);
    const parts = stored.map((chunk, k) => audited.segmentOf([chunk], 1 + 10 * k));
    await sets.append(ALICE, audited.saltHex, "powers-a", 0, streamOf(audited.powersA));
    await sets.append(ALICE, audited.saltHex, "powers-b", 0, streamOf(audited.powersB(1, 14)));
    for (const { name, firstIndex, body, tags } of parts) {
      await segments.begin(set, name, firstIndex, streamOf(body));
      await segments.append(set, name, 0, streamOf(tags));
    }
    const metrics = createCspMetrics(createMetrics("csp"), index, async () => 0n);
    const proofs = new DataSetProofs({ data, chunks, metrics, threads, signer: UNSIGNED });
    const held = parts.map(({ firstIndex, sliceCount }) => ({ firstIndex, count: sliceCount }));
    const challenge = (sampleCount = 5, ranges = held) => ({ seed: randomBytes(32), sampleCount, ranges });
    const row = await sets.require(ALICE, audited.saltHex);
    return { ...provider, metrics, proofs, row, held, challenge, stored, audited };
  }

  it("for the chain come before all audits of owners, also before one that is under way", async () => {
    const { proofs, row, held, challenge } = await provable();
    const done: string[] = [];
    const audits = [1, 2, 3, 4].map(async (number) => {
      await proofs.answer(row, { challenge: challenge(), isPublic: false }, held);
      done.push(`audit ${number}`);
    });
    expect(
      (await refusal(proofs.answer(row, { challenge: challenge(), isPublic: false }, held), "RATE_LIMITED")).check,
    ).to.equal("audits waiting for one account");
    await proofs.provePublic(row, challenge(), URGENCY);
    done.push("proof");
    await Promise.all(audits);
    expect(done).to.deep.equal(["proof", "audit 1", "audit 2", "audit 3", "audit 4"]);
    // The places are free again.
    await proofs.answer(row, { challenge: challenge(), isPublic: false }, held);
  });

  it("are made with the nearest deadline first, and end when they take long and others wait", async () => {
    const { data, chunks, metrics, threads, row, challenge } = await provable();
    let slow = true;
    const store = {
      ...data.store,
      getRange: async (...at: Parameters<typeof data.store.getRange>) => {
        while (slow) await setTimeout(20);
        return await data.store.getRange(...at);
      },
    } as typeof data.store;
    const parts = { data: { ...data, store }, chunks, metrics, threads, signer: UNSIGNED };
    const impatient = new DataSetProofs(parts, { leastMilliseconds: 100, lookMilliseconds: 20 });
    const proven = (proofs: DataSetProofs, deadlineBlock: number) =>
      proofs.provePublic(row, challenge(), { ...URGENCY, priority: -deadlineBlock });
    const threadsOf = (proofs: DataSetProofs) => Array.from({ length: PROVING_THREADS }, () => proven(proofs, 9));
    const waited = threadsOf(impatient).map((proof) => refusal(proof, "RATE_LIMITED"));
    const other = proven(impatient, 8);
    const error = await Promise.any(waited);
    slow = false;
    expect(error).to.include({ check: "time of a proof", retryable: true });
    await Promise.allSettled([...waited, other]);
    await other;
    // One that nobody waits for has all the time it needs.
    slow = true;
    const alone = proven(impatient, 9);
    await setTimeout(300);
    slow = false;
    await alone;

    const ended: string[] = [];
    slow = true;
    const patient = new DataSetProofs(parts);
    const running = threadsOf(patient);
    const late = proven(patient, 8).then(() => ended.push("late"));
    const early = proven(patient, 7).then(() => ended.push("early"));
    slow = false;
    await Promise.all([...running, late, early]);
    if (PROVING_THREADS === 1) expect(ended).to.deep.equal(["early", "late"]);
  });

  it("for owners read nothing while one for the chain is made", async () => {
    const { data, chunks, metrics, threads, row, held, challenge, stored } = await provable();
    const [ofOwner, ofChain] = stored.map(({ id }) => ({ id, reads: 0, opened: Promise.withResolvers<void>() }));
    if (ofOwner === undefined || ofChain === undefined) throw new Error("two objects");
    const store = {
      ...data.store,
      getRange: async (...at: Parameters<typeof data.store.getRange>) => {
        const read = at[0] === ofOwner.id ? ofOwner : ofChain;
        read.reads += 1;
        await read.opened.promise;
        return await data.store.getRange(...at);
      },
    } as typeof data.store;
    const proofs = new DataSetProofs({ data: { ...data, store }, chunks, metrics, threads, signer: UNSIGNED });
    const isRead = async (object: typeof ofOwner) => {
      while (object.reads === 0) await setTimeout(10);
    };
    const audit = proofs.answer(row, { challenge: challenge(30, held.slice(0, 1)), isPublic: false }, held);
    await isRead(ofOwner);
    const proof = proofs.provePublic(row, challenge(30, held.slice(1)), URGENCY);
    await isRead(ofChain);
    const { reads } = ofOwner;
    ofOwner.opened.resolve();
    await setTimeout(300);
    expect(ofOwner.reads).to.equal(reads);
    ofChain.opened.resolve();
    await proof;
    await audit;
    expect(ofOwner.reads).to.be.greaterThan(reads);
  });

  it("for the chain are made once for a challenge, however often they are sent", async () => {
    const { proofs, row, challenge, store, stored } = await provable();
    const asked = challenge(30);
    const made = await proofs.provePublic(row, asked, URGENCY);
    await store.put(stored[0]?.id ?? "", randomChunk(200_000).bytes);
    expect(await proofs.provePublic(row, { ...asked }, URGENCY)).to.equal(made);
    await refusal(proofs.provePublic(row, challenge(30), URGENCY), "OBJECT_LOST");
  });

  it("for anybody hold with the key, and come with a pause for the account behind them", async () => {
    const { proofs, row, held, challenge } = await provable();
    const asked = challenge(8);
    const { proof } = await proofs.answer(row, { challenge: asked, isPublic: true }, held);
    verifyPublic(row.key, asked, decodeProof(proof));
    const error = await refusal(proofs.answer(row, { challenge: challenge(), isPublic: true }, held), "RATE_LIMITED");
    expect(error.check).to.equal("proofs for anybody");
    // The owner's own checks go on.
    await proofs.answer(row, { challenge: challenge(), isPublic: false }, held);
  });

  it("go on after one that failed", async () => {
    const { proofs, row, held, challenge } = await provable();
    const failing = proofs.answer(row, { challenge: challenge(0), isPublic: false }, held);
    const next = proofs.answer(row, { challenge: challenge(5), isPublic: false }, held);
    await refusal(failing, "INVALID_INPUT");
    expect((await next).proof.length).to.equal(130);
  });

  it("for the owner hold with the owner's secrets, and are about slices that the set holds", async () => {
    const { proofs, row, held, challenge, audited } = await provable();
    const asked = challenge(8);
    const proof = decodeProof((await proofs.answer(row, { challenge: asked, isPublic: false }, held)).proof);
    verifyPrivate(audited.secrets, audited.secrets.x, asked, proof);
    // Between the segments, and behind the last one.
    for (const [firstIndex, received] of [
      [7, "8 to 10"],
      [13, "15 to 16"],
    ] as const) {
      const error = await refusal(
        proofs.answer(row, { challenge: challenge(5, [{ firstIndex, count: 4 }]), isPublic: false }, held),
        "INVALID_INPUT",
      );
      expect(error).to.include({ check: "audited ranges", received });
    }
  });

  it("are not made of damaged data: the chunks that are damaged are named, and no others", async () => {
    const { proofs, row, held, challenge, store, stored } = await provable();
    const [damaged = randomChunk(1), whole = randomChunk(1)] = stored;
    await store.put(damaged.id, randomChunk(200_000).bytes);
    const error = await refusal(proofs.provePublic(row, challenge(30), URGENCY), "OBJECT_LOST");
    expect(error).to.be.instanceOf(DataDamagedError);
    expect(error).to.deep.include({ party: "provider", received: damaged.id, details: { damagedChunks: 1 } });
    expect(error.message).not.to.contain(whole.id);
    // Slices that lie in the other chunk alone are proven.
    await proofs.provePublic(row, challenge(5, held.slice(1)), URGENCY);
  });
});
