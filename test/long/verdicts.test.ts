/** Who is at fault: each verdict, by parties that are really dishonest, over a real provider process and chain. */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect } from "chai";
import { hexlify } from "ethers";
import { randomBytes } from "#primitives";
import { checkEvidence } from "../../offchain/agent/data-sets/evidence-check.ts";
import { type AuditChallenge, expandChallenge } from "../../offchain/core/audit/challenge.ts";
import { auditReady } from "../../offchain/core/audit/ready.ts";
import { faultOf, verdictOf } from "../../offchain/core/audit/verdict.ts";
import {
  type AuditEvidence,
  encodeEvidenceHead,
  type OpenedContent,
  type SignedAgreement,
} from "../../offchain/core/data-set/evidence.ts";
import { requireOpened, requireSegments, verifyEvidence } from "../../offchain/core/data-set/verify-evidence.ts";
import { encodeCbor } from "../../offchain/core/encoding/cbor.ts";
import { contentIdFromDigest } from "../../offchain/core/encoding/content-id.ts";
import { fromHex, toHex } from "../../offchain/core/encoding/hex.ts";
import { InvalidSignatureError } from "../../offchain/core/errors.ts";
import type { OpeningsAnswer, UpdateRequest } from "../../offchain/core/wire/data-sets.ts";
import { Device, ok, SLICE_ELEMENTS } from "../csp/data-sets/device.ts";
import { randomChunk, type TestChunk } from "../csp/provider-fixture.ts";
import { type Answer, ProviderProcess, TEST_OFFER } from "../csp/provider-process.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { damageObjects } from "../helpers/pack-files.ts";
import { expectAsyncRejection, expectRejection } from "../helpers/rejection.ts";

const SLICE_BYTES = 31 * SLICE_ELEMENTS;
const OFFER = { ...TEST_OFFER, dataSets: { graceBlocks: 10, sliceElements: [SLICE_ELEMENTS], maximumIndex: 1000 } };
const FUNDS = 10n ** 17n;

/** A set with everything that its user knows of it. */
interface Opened {
  readonly device: Device;
  readonly agreement: SignedAgreement;
}

describe("verdicts about a provider and a user", function () {
  this.timeout(240_000);
  let local: LocalChain;
  let provider: ProviderProcess;
  let account = 0;

  before(async () => {
    await auditReady();
    local = await startLocalChain({ parameters: { epochBlocks: 60n, noticeEpochs: 2n } });
  });
  after(async () => local.stop());
  beforeEach(async () => {
    provider = await ProviderProcess.prepare(local, { offer: OFFER });
    await provider.start();
  });
  afterEach(async () => provider.remove());

  async function device(): Promise<Device> {
    account += 1;
    const made = await Device.connect(local.chain, provider, local.account(account));
    await made.deposit(FUNDS);
    await made.begin();
    return made;
  }

  /** Opens a set, or signs its next state. */
  async function agreed(of: Device): Promise<Opened> {
    const isNew = of.agreed === undefined;
    of.agreed ??= of.termsWith();
    const state: UpdateRequest = await of.state();
    const answer = ok(
      isNew
        ? await of.client.request("POST", `${of.path}/open`, { body: of.openRequest(state) })
        : await of.propose(state),
    );
    of.version += 1n;
    const agreement: SignedAgreement = {
      kind: "signed",
      version: BigInt(state.version),
      retirements: state.retirements,
      ranges: fromHex(state.ranges),
      contentHash: state.contentHash,
      deadlineBlock: BigInt(state.deadlineBlock),
      userSignature: state.userSignature,
      providerSignature: answer.providerSignature,
    };
    return { device: of, agreement };
  }

  async function honest(...chunks: TestChunk[]): Promise<Opened> {
    const alice = await device();
    await alice.add(...(chunks.length > 0 ? chunks : [randomChunk(3 * SLICE_BYTES + 500), randomChunk(SLICE_BYTES)]));
    return await agreed(alice);
  }

  const challengeOf = ({ device: { ranges } }: Opened, sampleCount = 40): AuditChallenge => {
    return { seed: randomBytes(32), sampleCount, ranges };
  };
  const drawnOf = (challenge: AuditChallenge) => [...new Set(expandChallenge(challenge).indices)].sort((a, b) => a - b);

  function contentOf({ before, segments, slices }: OpeningsAnswer): OpenedContent {
    return {
      before,
      segments,
      slices: slices.map(({ index, blinding, pieces, path }) => ({
        index,
        blinding: fromHex(blinding),
        pieces: pieces.map(({ digest, ...place }) => ({ digest: fromHex(digest), ...place })),
        path: path.map((hash) => fromHex(hash)),
      })),
    };
  }

  /** What the user asks for, and makes evidence of; `answered` is a proof that the provider gave to something else. */
  async function collect(opened: Opened, challenge = challengeOf(opened), answered?: string): Promise<AuditEvidence> {
    const { device: of, agreement } = opened;
    const asked = answered === undefined ? await of.audit({ challenge, isPublic: true }) : undefined;
    const { chainId, contracts } = local.deployment;
    const terms = of.agreed;
    if (terms === undefined) throw new Error("not opened");
    const facts = { chainId: BigInt(chainId), escrow: contracts.storageEscrow, ...terms, key: of.audited.key };
    const proof = fromHex(answered ?? asked?.json.proof ?? "0x");
    const answer = { kind: "asked" as const, proof, signature: asked?.json.signature ?? "0x" };
    const content = await openingsOf(await of.openSlices(drawnOf(challenge), agreement.contentHash));
    return { ...facts, agreement, challenge, answer, content };
  }

  const openingsOf = (answer: Answer): OpenedContent =>
    answer.status === 200 ? contentOf(answer.json) : { before: `0x${"00".repeat(32)}`, segments: [], slices: [] };

  /** The ciphertexts, as the provider serves them. */
  async function* shown({ device: { client } }: Opened, { content }: AuditEvidence): AsyncGenerator<Uint8Array> {
    const ids = content.slices.flatMap(({ pieces }) => pieces.map(({ digest }) => contentIdFromDigest(digest)));
    for (const id of new Set(ids)) {
      const headers = { authorization: `Bearer ${client.token}` };
      const answer = await fetch(`${provider.url}/v1/chunks/${id}`, { headers });
      if (answer.status === 200) yield new Uint8Array(await answer.arrayBuffer());
    }
  }

  async function verdictFor(opened: Opened, evidence: AuditEvidence) {
    const examined = await verifyEvidence(evidence, shown(opened, evidence));
    const { isProofValid, isDataCommitted, isAnswerOfData } = examined;
    const verdict = verdictOf(examined);
    const pair = [isProofValid, isDataCommitted, isAnswerOfData].map(Number).join("");
    return { ...examined, pair, verdict, fault: faultOf(verdict, false), ifDenied: faultOf(verdict, true) };
  }

  /** Evidence as a file. */
  async function* fileOf(opened: Opened, evidence: AuditEvidence): AsyncGenerator<Uint8Array> {
    yield encodeEvidenceHead(evidence);
    for await (const chunk of shown(opened, evidence)) yield encodeCbor(chunk);
  }

  it("(1,1): the data is there, so a user that denies the good proof is wrong, as anybody finds out", async () => {
    const alice = await honest();
    const evidence = await collect(alice);
    const found = await verdictFor(alice, evidence);
    expect(found).to.include({ pair: "111", verdict: "intact", fault: "nobody", ifDenied: "user" });
    for (const chain of [undefined, local.chain]) {
      const checked = await checkEvidence(fileOf(alice, evidence), chain);
      expect(checked).to.include({ verdict: "intact", faultIfDenied: "user", dataSetId: alice.device.id });
      // The provider signs with the account that it is registered by, and the chain has the state.
      const believed = chain === undefined ? ["that the state which both signed came on chain, and so counted"] : [];
      expect(checked.assumed).to.deep.equal(believed);
    }
  });

  it("(0,0): a provider that has lost a slice neither proves nor shows it", async () => {
    const alice = await honest();
    damageObjects(join(provider.dataDir, "store"), 1);
    const evidence = await collect(alice);
    const found = await verdictFor(alice, evidence);
    expect(found).to.include({ pair: "000", verdict: "damaged", fault: "provider", ifDenied: "provider" });
    expect(found.failures.map(({ check }) => check)).to.include("revealed chunks");
  });

  it("(1,0): a provider that proves and then shows other bytes is at fault all the same", async () => {
    const alice = await honest();
    const evidence = await collect(alice);
    const flipped = async function* () {
      for await (const chunk of shown(alice, evidence)) yield chunk.map((byte) => byte ^ 1);
    };
    const examined = await verifyEvidence(evidence, flipped());
    expect(examined).to.include({ isProofValid: true, isDataCommitted: false });
    expect([verdictOf(examined), faultOf(verdictOf(examined), false)]).to.deep.equal(["damaged", "provider"]);
  });

  it("a provider that answers with the proof of other slices is at fault, although it shows the data", async () => {
    const alice = await honest();
    const other = challengeOf(alice);
    const { proof } = ok(await alice.device.audit({ challenge: other, isPublic: true }));
    const evidence = await collect(alice, challengeOf(alice), proof);
    expect(evidence.answer.proof).to.have.length(178);
    const found = await verdictFor(alice, evidence);
    expect(found).to.include({ pair: "010", verdict: "unproven", fault: "provider" });
    // Bytes that are no proof at all are no better, nor is none.
    for (const forged of [`0x0201${"00".repeat(176)}`, hexlify(randomBytes(178)), "0x"]) {
      const changed = { ...evidence, answer: { ...evidence.answer, proof: fromHex(forged) } };
      expect(await verdictFor(alice, changed), forged).to.include({ pair: "010", verdict: "unproven" });
    }
  });

  it("(0,1): tags that are not of the data, where the provider did not look before it signed", async () => {
    const mallory = await device();
    const [chunk, other] = [randomChunk(3 * SLICE_BYTES), randomChunk(3 * SLICE_BYTES)];
    await mallory.client.upload(chunk);
    const lying = { ...mallory.segmentOf([chunk]), tags: mallory.segmentOf([other]).tags };
    await mallory.deliver(lying);
    // The honest provider finds out, and does not sign.
    expect((await mallory.verify(lying)).json.error.code).to.equal("INVALID_PROOF");
    mallory.include(lying);
    mallory.agreed = mallory.termsWith();
    const refused = await mallory.client.request("POST", `${mallory.path}/open`, {
      body: mallory.openRequest(await mallory.state()),
    });
    expect(refused.json.error.check).to.equal("verified segments");
    // One that does not check: its index says that it has.
    await provider.end();
    const database = new DatabaseSync(join(provider.dataDir, "csp.db"));
    database.prepare("UPDATE segments SET verified = 1, tags_bytes = slice_count * 96").run();
    database.close();
    await provider.start();
    const { client } = await Device.connect(local.chain, provider, mallory.signer);
    Object.assign(mallory, { client });
    await mallory.client.request("PUT", `${mallory.path}/segments/${lying.name}/tags?offset=0`, { bytes: lying.tags });
    const body = mallory.openRequest(await mallory.state());
    const { providerSignature } = ok(await mallory.client.request("POST", `${mallory.path}/open`, { body }));
    const state = await mallory.state();
    expect(providerSignature).to.match(/^0x/);
    const agreement: SignedAgreement = {
      kind: "signed",
      version: 1n,
      retirements: 0,
      ranges: fromHex(state.ranges),
      contentHash: state.contentHash,
      deadlineBlock: BigInt(state.deadlineBlock),
      userSignature: state.userSignature,
      providerSignature,
    };
    const opened = { device: mallory, agreement };
    const found = await verdictFor(opened, await collect(opened));
    expect(found).to.include({ pair: "011", verdict: "bad-tags", fault: "user", ifDenied: "user" });
  });

  it("a state with another root than the provider's own is not signed", async () => {
    const alice = await device();
    const chunk = randomChunk(SLICE_BYTES);
    await alice.client.upload(chunk);
    const segment = alice.segmentOf([chunk]);
    await alice.send(segment);
    alice.include({ ...segment, commitmentsRoot: toHex(randomBytes(32)) });
    alice.agreed = alice.termsWith();
    const body = alice.openRequest(await alice.state());
    const answer = await alice.client.request("POST", `${alice.path}/open`, { body });
    expect(answer.json.error).to.include({ code: "INVALID_INPUT", check: "content hash" });
  });

  it("openings for another index, segment, version or chain are refused by what does not fit", async () => {
    const alice = await honest();
    const first = alice.agreement;
    await alice.device.add(randomChunk(2 * SLICE_BYTES));
    const second = await agreed(alice.device);
    const { contentHash } = second.agreement;
    const { content } = await collect(second, challengeOf(second, 200));
    expect(content.segments).to.have.length(2);
    requireSegments(content, contentHash);
    const [one, two] = content.slices;
    const last = content.slices.at(-1);
    if (one === undefined || two === undefined || last === undefined) throw new Error("too few slices were drawn");
    for (const slice of content.slices) requireOpened(slice, content.segments, SLICE_ELEMENTS);
    const refused = (change: () => void, check: string) =>
      expect(expectRejection(change, "INVALID_PROOF")).to.include({ check });
    refused(() => requireOpened({ ...one, index: two.index }, content.segments, SLICE_ELEMENTS), "commitment root");
    refused(() => requireOpened({ ...one, index: 999 }, content.segments, SLICE_ELEMENTS), "segment of the slice");
    refused(
      () => requireOpened({ ...one, index: last.index, path: last.path }, content.segments, SLICE_ELEMENTS),
      "commitment root",
    );
    // A piece that is left out.
    refused(() => requireOpened({ ...one, pieces: [] }, content.segments, SLICE_ELEMENTS), "bytes of the slice");
    // The state before this one.
    refused(() => requireSegments(content, first.contentHash), "content hash");
    refused(
      () => requireSegments({ ...content, segments: content.segments.toReversed() }, contentHash),
      "order of segments",
    );
    const old = ok(await alice.device.openSlices([1], first.contentHash));
    expect(old.segments).to.have.length(1);
    requireSegments(contentOf(old), first.contentHash);
    const late = await alice.device.openSlices([last.index], first.contentHash);
    expect(late.json.error).to.include({ code: "CONFLICT", check: "content hash" });
    const never = await alice.device.openSlices([1], toHex(randomBytes(32)));
    expect(never.json.error).to.include({ code: "CONFLICT", check: "content hash" });
    const gap = await alice.device.openSlices([900], contentHash);
    expect(gap.json.error).to.include({ code: "INVALID_INPUT", check: "opened slices" });
    // The chain of segments begins at the first that is needed.
    const later = ok(await alice.device.openSlices([last.index], contentHash));
    expect(later.segments).to.have.length(1);
    expect(later.before).to.equal(first.contentHash);
    const stranger = await device();
    const foreign = await stranger.client.request("POST", `${alice.device.path}/openings`, {
      body: { contentHash, indices: [1] },
    });
    expect(foreign.json.error.code).to.equal("NOT_FOUND");
  });

  it("evidence that was altered is refused by whoever checks it", async () => {
    const alice = await honest();
    const evidence = await collect(alice);
    const { agreement } = alice;
    const check = (changed: Partial<AuditEvidence>, chain = local.chain) =>
      checkEvidence(fileOf(alice, { ...evidence, ...changed }), chain);
    expect(await expectAsyncRejection(() => check({ chainId: 1n }), "INTEGRITY")).to.include({
      check: "chain and contract",
    });
    // Without a chain, the signatures are of another domain.
    const foreign = () => checkEvidence(fileOf(alice, { ...evidence, chainId: 1n }));
    expect(await expectAsyncRejection(foreign, "INVALID_SIGNATURE")).to.be.instanceOf(InvalidSignatureError);
    const altered: [Partial<AuditEvidence>, string, string][] = [
      [{ agreement: { ...agreement, version: 2n } }, "INVALID_SIGNATURE", "signature of DataSetUpdate"],
      [{ agreement: { ...agreement, contentHash: toHex(randomBytes(32)) } }, "INVALID_SIGNATURE", ""],
      [{ answer: { kind: "asked", proof: evidence.answer.proof, signature: "0x11" } }, "INVALID_SIGNATURE", ""],
      [
        { challenge: { ...evidence.challenge, seed: randomBytes(32) } },
        "INVALID_SIGNATURE",
        "signature of AuditAnswer",
      ],
      [{ challenge: { ...evidence.challenge, ranges: [{ firstIndex: 50, count: 1 }] } }, "INTEGRITY", "live ranges"],
      [{ key: { ...evidence.key, X: evidence.key.XA } }, "INTEGRITY", "audit key"],
      [{ audit: { ...evidence.audit, sampleCount: 1 } }, "INTEGRITY", "audit terms"],
      [{ terms: { ...evidence.terms, feeCap: 1n } }, "INVALID_SIGNATURE", "signature of DataSetUpdate"],
      [{ agreement: { kind: "scheduled", schedule: new Uint8Array([1]) } }, "INVALID_INPUT", ""],
    ];
    for (const [changed, code, name] of altered) {
      const error = await expectAsyncRejection(() => check(changed), code as "INTEGRITY");
      if (name !== "") expect(error.check).to.equal(name);
    }
    // A schedule that the chain has is as good as both signatures.
    const onChain = await alice.device.onChain();
    if (onChain === undefined) throw new Error("not on chain");
    const scheduled = { kind: "scheduled" as const, schedule: onChain.schedule };
    expect(await check({ agreement: scheduled })).to.include({ verdict: "intact" });
    const offline = await checkEvidence(fileOf(alice, { ...evidence, agreement: scheduled }));
    expect(offline.assumed).to.deep.equal(["that the chain has the schedule of the data set"]);
    // A user that leaves chunks out shows nothing about the provider, and the check says so.
    const without = await checkEvidence([encodeEvidenceHead(evidence)] as never, local.chain);
    expect(without.verdict).to.equal("damaged");
    expect(without.assumed).to.have.length(1);
  });
});
