/** The agent's way to a verdict, and the evidence that it exports. */

import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { Wallet } from "ethers";
import { randomBytes } from "#primitives";
import { DataSets } from "../../../offchain/agent/data-sets/data-sets.ts";
import { checkEvidence } from "../../../offchain/agent/data-sets/evidence-check.ts";
import { dataSetKeys } from "../../../offchain/agent/data-sets/keys.ts";
import { readEvidence, writeEvidence } from "../../../offchain/agent/node/evidence-file.ts";
import { hpkeKeyPairFromSeed } from "../../../offchain/core/crypto/hpke.ts";
import { openChallenge, sealChallenge } from "../../../offchain/core/data-set/sealed-challenge.ts";
import { contentId } from "../../../offchain/core/encoding/content-id.ts";
import { toHex } from "../../../offchain/core/encoding/hex.ts";
import { challengeKeyTypedData } from "../../../offchain/core/identity/typed-messages.ts";
import { type LocalChain, startLocalChain } from "../../helpers/local-chain.ts";
import { memoryPlatform } from "../../helpers/memory-platform.ts";
import { expectAsyncRejection } from "../../helpers/rejection.ts";
import { DataSetFixture, objectOf } from "./fixture.ts";

/** What only the chain tells of a state that both signed. */
const ON_CHAIN = "that the state which both signed came on chain, and so counted";

describe("verdict of a data set", function () {
  this.timeout(60_000);
  let net: LocalChain;
  let fixture: DataSetFixture;
  const folder = mkdtempSync(join(tmpdir(), "tallystick-evidence-"));

  before(async () => {
    net = await startLocalChain();
  });
  after(async () => {
    rmSync(folder, { recursive: true });
    await net.stop();
  });
  beforeEach(async () => {
    fixture = await DataSetFixture.make(net);
  });

  const sets = () => new DataSets(fixture.context);
  const put = async (...slices: number[]) => (await fixture.put(slices.map(objectOf))).id ?? "";

  it("is found over a fresh challenge, and exported for anybody", async () => {
    const id = await put(2.5, 1);
    const file = join(folder, "evidence.cbor");
    const report = await writeEvidence(file, (onEvidence) => sets().verdict(id, { sampleCount: 20, onEvidence }));
    expect(report).to.include({ verdict: "intact", fault: "nobody", faultIfDenied: "user", sampleCount: 20 });
    expect(report.failures).to.deep.equal([]);
    for (const chain of [undefined, net.chain]) {
      const checked = await checkEvidence(readEvidence(file), chain);
      expect(checked).to.include({ verdict: "intact", dataSetId: id, user: fixture.context.account.address });
      expect(checked.assumed).to.deep.equal(chain === undefined ? [ON_CHAIN] : []);
    }
    // A file that exists is not replaced, and one that fails is not left behind.
    await expectAsyncRejection(() => writeEvidence(file, async () => undefined), "INVALID_INPUT");
    const failing = writeEvidence(join(folder, "other"), async (write) => {
      await write(Uint8Array.of(1));
      throw new Error("stopped");
    });
    expect(await failing.catch((error: Error) => error.message)).to.equal("stopped");
    expect(readdirSync(folder)).to.deep.equal(["evidence.cbor"]);
  });

  it("is of commitments to the indices that a segment got, and not to those that it was tagged for", async () => {
    const [first, second] = [await fixture.open(), await fixture.open()];
    await fixture.add(first, [objectOf(2)]);
    await fixture.add(second, [objectOf(3)]);
    await first.commit();
    const { id = "" } = await second.commit();
    const segments = await fixture.platform.dataSets.segments();
    expect(segments.map(({ firstIndex, taggedFrom }) => [firstIndex, taggedFrom])).to.deep.equal([
      [1, 1],
      [3, 1],
    ]);
    expect(await sets().verdict(id, { sampleCount: 40 })).to.include({ verdict: "intact", drawnSlices: 5 });
  });

  it("is found by a device that knows nothing but the phrase, by what the chain has", async () => {
    const id = await put(2);
    const [known] = await fixture.platform.dataSets.segments();
    const set = await fixture.platform.dataSets.sets();
    fixture.platform = memoryPlatform();
    fixture.context = fixture.newContext();
    await sets().recover();
    const pieces: Uint8Array[] = [];
    const onEvidence = async (piece: Uint8Array) => {
      pieces.push(piece);
    };
    expect(await sets().verdict(id, { onEvidence })).to.include({ verdict: "intact" });
    const checked = await checkEvidence(piecesOf(pieces), net.chain);
    expect(checked).to.include({ verdict: "intact" });
    // The seeds of the commitments follow from phrase, salt and the segment's id.
    const { salt } = known ?? { salt: "" };
    const keys = await dataSetKeys(fixture.identity.auditSeed, salt);
    const held = fixture.provider.sets.get(set[0]?.salt ?? "")?.segments.get(known?.id ?? "");
    expect(toHex(keys.commitmentSeed(known?.id ?? ""))).to.equal(toHex(held?.seed ?? new Uint8Array()));
  });

  it("is found over the newest proof on chain", async () => {
    const id = await put(3);
    await fixture.mineEpoch();
    await net.mine(fixture.provider.phase + 1);
    const salt = [...fixture.provider.sets.keys()][0] ?? "";
    await fixture.provider.prove(salt);
    const pieces: Uint8Array[] = [];
    const onEvidence = async (piece: Uint8Array) => {
      pieces.push(piece);
    };
    const report = await sets().verdict(id, { public: true, onEvidence });
    expect(report).to.include({ verdict: "intact", mode: "public", sampleCount: 8 });
    expect((await checkEvidence(piecesOf(pieces), net.chain)).assumed).to.deep.equal([]);
    expect((await checkEvidence(piecesOf(pieces))).assumed).to.have.length(2);
  });

  it("blames a provider that lost an object, and says what it does not show", async () => {
    const [kept, lost] = [objectOf(1), objectOf(1)];
    const { id = "" } = await fixture.put([kept, lost]);
    fixture.provider.objects.delete(contentId(lost));
    const report = await sets().verdict(id, { sampleCount: 30 });
    expect(report).to.include({ verdict: "damaged", fault: "provider", isProofValid: false, isDataCommitted: false });
    expect(report.failures.map(({ code }) => code)).to.include("OBJECT_LOST");
  });

  it("seals challenges to the key that the provider signs for, so that it alone reads them", async () => {
    const id = await put(2);
    const { provider } = fixture;
    const sent: Uint8Array[] = [];
    const audit = provider.auditDataSet.bind(provider);
    provider.auditDataSet = async (salt, sealed) => {
      sent.push(sealed);
      return await audit(salt, sealed);
    };
    const { seed } = await sets().audit(id);
    expect(provider.challenges.map((challenge) => toHex(challenge.seed))).to.deep.equal([seed]);
    expect(toHex(sent[0] ?? new Uint8Array())).not.to.include(seed.slice(2));
    // Somebody on the way puts another key into the offer, signed by another account.
    const { privateKey, publicKey } = hpkeKeyPairFromSeed(randomBytes(32));
    const stranger = Wallet.createRandom();
    const { chainId, contracts } = net.deployment;
    const key = toHex(publicKey);
    const typed = challengeKeyTypedData(BigInt(chainId), contracts.storageEscrow, { provider: provider.account, key });
    const challengeKeySignature = await stranger.signTypedData(typed.domain, typed.types, { ...typed.message });
    provider.changedOffer = { challengeKey: key, challengeKeySignature };
    const error = await expectAsyncRejection(() => sets().audit(id), "INVALID_SIGNATURE");
    expect(error).to.include({ party: provider.name, check: "signature of its key for challenges" });
    expect(sent).to.have.length(1);
    // A sealed challenge is of one set: in another one it opens to nobody.
    const asked = { challenge: { seed: randomBytes(32), sampleCount: 1, ranges: [{ firstIndex: 1, count: 2 }] } };
    const { address } = stranger;
    const [salt, other] = [randomBytes(32), randomBytes(32)];
    const sealed = await sealChallenge(publicKey, address, salt, { ...asked, isPublic: true });
    expect(await openChallenge(privateKey, address, salt, sealed)).to.deep.equal({ ...asked, isPublic: true });
    await expectAsyncRejection(() => openChallenge(privateKey, address, other, sealed), "INTEGRITY");
    await expectAsyncRejection(() => openChallenge(privateKey, provider.account, salt, sealed), "INTEGRITY");
    await expectAsyncRejection(() => openChallenge(randomBytes(32), address, salt, sealed), "INTEGRITY");
  });

  it("needs an answer that the provider signed", async () => {
    const id = await put(1);
    const { provider } = fixture;
    const audit = provider.auditDataSet.bind(provider);
    provider.auditDataSet = async (salt, sealed) => ({ proof: (await audit(salt, sealed)).proof });
    const error = await expectAsyncRejection(() => sets().verdict(id), "INVALID_SIGNATURE");
    expect(error).to.include({ check: "signature of its answer" });
  });
});

async function* piecesOf(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  // Of any size.
  for (const piece of pieces) for (let at = 0; at < piece.length; at += 4096) yield piece.subarray(at, at + 4096);
}
