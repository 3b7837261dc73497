/** Evidence made up of true parts, to frame the other party or to deny what was signed, on a real chain. */

import { expect } from "chai";
import { getBytes, isError, Wallet } from "ethers";
import { stateTypedData } from "../../offchain/agent/data-sets/co-signing.ts";
import { DataSets } from "../../offchain/agent/data-sets/data-sets.ts";
import { answerTypedData, checkEvidence } from "../../offchain/agent/data-sets/evidence-check.ts";
import type { ChainReader, Deployment } from "../../offchain/chain/deployment.ts";
import { readSchedule } from "../../offchain/chain/escrow.ts";
import { type DataSetProof, parseProveCall, proveDataSetsCall } from "../../offchain/chain/escrow-calls.ts";
import { readProvenRandomness } from "../../offchain/chain/randomness.ts";
import { encodeG1, generatorG1 } from "../../offchain/core/audit/curve.ts";
import { type AuditProof, decodeProof, encodeAnswer, encodeProof } from "../../offchain/core/audit/proof.ts";
import { challengeSeed } from "../../offchain/core/data-set/epochs.ts";
import {
  type AuditEvidence,
  type ChainAnswer,
  decodeEvidenceHead,
  encodeEvidenceHead,
} from "../../offchain/core/data-set/evidence.ts";
import { decodeLiveRanges } from "../../offchain/core/data-set/ranges.ts";
import { toHex } from "../../offchain/core/encoding/hex.ts";
import { DataSetFixture, objectOf } from "../agent/data-sets/fixture.ts";
import { type LocalChain, startLocalChain } from "../helpers/local-chain.ts";
import { expectAsyncRejection } from "../helpers/rejection.ts";

interface Exported {
  readonly evidence: AuditEvidence;
  readonly chunks: readonly Uint8Array[];
}

interface OnChain extends Exported {
  readonly evidence: AuditEvidence & { readonly answer: ChainAnswer };
}

describe("evidence that is made up", function () {
  this.timeout(60_000);
  let net: LocalChain;
  let fixture: DataSetFixture;

  before(async () => {
    net = await startLocalChain();
  });
  after(async () => net.stop());
  beforeEach(async () => {
    fixture = await DataSetFixture.make(net);
  });

  const salt = () => [...fixture.provider.sets.keys()][0] ?? "";

  async function exported(id: string, options: { readonly public?: boolean } = {}): Promise<Exported> {
    const pieces: Uint8Array[] = [];
    const onEvidence = async (piece: Uint8Array) => {
      pieces.push(piece);
    };
    await new DataSets(fixture.context).verdict(id, { ...options, onEvidence });
    const [head = new Uint8Array(), ...chunks] = pieces;
    return { evidence: decodeEvidenceHead(head), chunks };
  }

  async function exportedProof(id: string): Promise<OnChain> {
    const { evidence, chunks } = await exported(id, { public: true });
    if (evidence.answer.kind !== "chain") throw new Error("not of a proof on chain");
    return { evidence: { ...evidence, answer: evidence.answer }, chunks };
  }

  const check = ({ chunks }: Exported, evidence: AuditEvidence, chain?: ChainReader) => {
    const file = async function* () {
      yield encodeEvidenceHead(evidence);
      yield* chunks;
    };
    return checkEvidence(file(), chain);
  };

  /** A set with a proof on chain, one block behind its challenge. */
  async function proven(): Promise<{ readonly id: string; readonly transaction: string }> {
    const { id = "" } = await fixture.put([objectOf(3)]);
    await fixture.mineEpoch();
    await net.mine(fixture.provider.phase + 1);
    return { id, transaction: await fixture.provider.prove(salt()) };
  }

  async function callIn(hash: string): Promise<DataSetProof> {
    const transaction = await net.chain.provider.getTransaction(hash);
    const [call] = parseProveCall(transaction?.data ?? "0x") ?? [];
    if (call === undefined) throw new Error("no call of `prove`");
    return call;
  }

  /** @returns hash of the transaction, whatever became of it */
  async function send(to: string | null, data: string): Promise<string> {
    const sent = await net.account(1).sendTransaction({ to, data, gasLimit: 3_000_000n });
    // Not `waitForTransaction`: it misses a block that is mined while it asks for the receipt, and no other follows.
    await sent.wait().catch((error: unknown) => {
      if (!isError(error, "CALL_EXCEPTION")) throw error;
    });
    return sent.hash;
  }

  /** The document about another block, with the randomness that this one has. */
  async function atBlock({ evidence }: OnChain, challengeBlock: number): Promise<AuditEvidence> {
    const { chainId, escrow, audit, challenge, answer } = evidence;
    const head = await net.chain.provider.getBlockNumber();
    const randomness = await readProvenRandomness(net.chain, audit.randomness, BigInt(challengeBlock), head);
    if (randomness === undefined) throw new Error("no randomness");
    const id = (await check({ evidence, chunks: [] }, evidence)).dataSetId;
    const seed = challengeSeed(chainId, escrow, id, challengeBlock, randomness);
    return {
      ...evidence,
      challenge: { ...challenge, seed },
      answer: { ...answer, challengeBlock, randomness: toHex(randomness) },
    };
  }

  it("says that an honest proof answered another block", async () => {
    const honest = await exportedProof((await proven()).id);
    expect(await check(honest, honest.evidence, net.chain)).to.deep.include({ verdict: "intact", assumed: [] });
    const { challengeBlock } = honest.evidence.answer;
    for (const other of [challengeBlock - 1, challengeBlock + 1]) {
      const framed = await atBlock(honest, other);
      // The file alone fits together: only the chain knows which block it was.
      expect((await check(honest, framed)).verdict).not.to.equal("intact");
      const error = await expectAsyncRejection(() => check(honest, framed, net.chain), "INTEGRITY");
      expect(error).to.include({ check: "challenge block of the proof", expected: String(challengeBlock) });
    }
  });

  it("says that a proof on demand answered another block than that of the dispute", async () => {
    fixture.provider.changedOffer = { modes: ["every-epoch", "on-demand"] };
    await fixture.mineEpoch();
    const { id = "" } = await fixture.put([objectOf(2)], { mode: "on-demand" });
    for (let k = 0; k < 2; k += 1) {
      await fixture.mineEpoch();
      await net.mine(fixture.provider.phase + 3);
      const { challengeBlock } = await new DataSets(fixture.context).dispute(id);
      await net.mine(challengeBlock + 1 - (await net.chain.provider.getBlockNumber()));
      await fixture.provider.prove(salt());
      const honest = await exportedProof(id);
      expect(honest.evidence.answer).to.include({ challengeBlock });
      expect(await check(honest, honest.evidence, net.chain)).to.deep.include({ verdict: "intact", assumed: [] });
      const framed = await atBlock(honest, challengeBlock - 1);
      const error = await expectAsyncRejection(() => check(honest, framed, net.chain), "INTEGRITY");
      expect(error).to.include({ check: "challenge block of the proof", expected: String(challengeBlock) });
    }
  });

  it("names a transaction that brought a wrong proof, and that the escrow never took", async () => {
    const { id, transaction } = await proven();
    const honest = await exportedProof(id);
    const { evidence } = honest;
    const proof = wrong(decodeProof(evidence.answer.proof));
    const call = { ...(await callIn(transaction)), answer: encodeAnswer(evidence.key, proof) };
    const { to, data } = proveDataSetsCall(net.deployment, [call]);
    // To the sender itself; to the escrow, which refuses it; and none at all.
    const own = await send(await net.account(1).getAddress(), data);
    const reverted = await send(to, data);
    expect((await net.chain.provider.getTransactionReceipt(reverted))?.status).to.equal(0);
    for (const transactionHash of [own, reverted, `0x${"77".repeat(32)}`]) {
      const framed = { ...evidence, answer: { ...evidence.answer, proof: encodeProof(proof), transactionHash } };
      expect(await check(honest, framed)).to.include({ verdict: "unproven", fault: "provider" });
      const error = await expectAsyncRejection(() => check(honest, framed, net.chain), "INTEGRITY");
      expect(error).to.include({ check: "EpochProven event" });
    }
    const swapped = { ...evidence, answer: { ...evidence.answer, proof: encodeProof(proof) } };
    const error = await expectAsyncRejection(() => check(honest, swapped, net.chain), "INTEGRITY");
    expect(error).to.include({ check: "proof of the transaction" });
  });

  it("names a call of another contract, which gave the escrow the honest proof in place of its own", async () => {
    const { id = "" } = await fixture.put([objectOf(3)]);
    await fixture.mineEpoch();
    await net.mine(fixture.provider.phase + 1);
    // What the provider will send, as somebody reads it before it is mined.
    const { provider } = net.chain;
    const snapshot = await provider.send("evm_snapshot", []);
    const call = await callIn(await fixture.provider.prove(salt()));
    const honest = await exportedProof(id);
    await provider.send("evm_revert", [snapshot]);
    const { to, data } = proveDataSetsCall(net.deployment, [call]);
    const creation = await send(null, sendingOn(to, data));
    const contract = (await provider.getTransactionReceipt(creation))?.contractAddress ?? "";
    const proof = wrong(decodeProof(honest.evidence.answer.proof));
    const lie = { ...call, answer: encodeAnswer(honest.evidence.key, proof) };
    const transactionHash = await send(contract, proveDataSetsCall(net.deployment, [lie]).data);
    // The escrow has accepted a proof in it.
    expect((await provider.getTransactionReceipt(transactionHash))?.logs.length).to.be.above(0);
    const { answer } = honest.evidence;
    const framed = { ...honest.evidence, answer: { ...answer, proof: encodeProof(proof), transactionHash } };
    expect(await check(honest, framed)).to.include({ verdict: "unproven", fault: "provider" });
    const error = await expectAsyncRejection(() => check(honest, framed, net.chain), "NOT_FOUND");
    expect(error).to.include({ check: "arguments of the proof's transaction" });
    // Nor is the provider blamed for it by an audit.
    const audit = () => new DataSets(fixture.context).audit(id, { public: true });
    expect((await expectAsyncRejection(audit, "NOT_FOUND")).party).to.equal("chain");
  });

  it("has a schedule of the set, or ranges of it, that the proof was not about", async () => {
    const { id = "" } = await fixture.put([objectOf(3)]);
    await fixture.mineEpoch();
    await net.mine(fixture.provider.phase + 1);
    const { provider } = net.chain;
    const snapshot = await provider.send("evm_snapshot", []);
    const call = await callIn(await fixture.provider.prove(salt()));
    await provider.send("evm_revert", [snapshot]);
    // With the next state, the schedule has two levels, and the epoch is still of the first.
    const older = call.schedule;
    await fixture.put([objectOf(2)]);
    const scheduled = await readSchedule(net.chain, id, undefined);
    if (scheduled === undefined) throw new Error("not on chain");
    const { schedule, ranges } = scheduled;
    const { to, data } = proveDataSetsCall(net.deployment, [{ ...call, schedule }]);
    await send(to, data);
    const honest = await exportedProof(id);
    const { evidence } = honest;
    expect(await check(honest, evidence, net.chain)).to.deep.include({ verdict: "intact", assumed: [] });
    const framed: [AuditEvidence, string][] = [
      [{ ...evidence, agreement: { kind: "scheduled", schedule: older } }, "schedule of the proof"],
      [
        { ...evidence, challenge: { ...evidence.challenge, ranges: decodeLiveRanges(ranges) } },
        "live ranges of the proof",
      ],
    ];
    for (const [document, name] of framed) {
      const error = await expectAsyncRejection(() => check(honest, document, net.chain), "INTEGRITY");
      expect(error.check).to.equal(name);
    }
    // Nor is a state that both signed what a proof on chain was about, whether the chain is asked or not.
    const { agreement } = (await exported(id)).evidence;
    expect(agreement.kind).to.equal("signed");
    for (const chain of [undefined, net.chain]) {
      const error = await expectAsyncRejection(() => check(honest, { ...evidence, agreement }, chain), "INTEGRITY");
      expect(error).to.include({ check: "agreement", expected: "scheduled" });
    }
  });

  it("is not made by an endpoint that gives an accepted transaction another proof", async () => {
    const { id, transaction } = await proven();
    const honest = await exportedProof(id);
    const { evidence } = honest;
    const proof = wrong(decodeProof(evidence.answer.proof));
    const call = { ...(await callIn(transaction)), answer: encodeAnswer(evidence.key, proof) };
    const { data } = proveDataSetsCall(net.deployment, [call]);
    const { provider } = net.chain;
    const lying = new Proxy(provider, {
      get: (target, name) => {
        if (name === "getTransaction") {
          return async (hash: string) => ({ to: (await target.getTransaction(hash))?.to, data });
        }
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    const framed = { ...evidence, answer: { ...evidence.answer, proof: encodeProof(proof) } };
    const chain = { ...net.chain, provider: lying };
    const error = await expectAsyncRejection(() => check(honest, framed, chain), "INTEGRITY");
    expect(error).to.include({ party: "chain", check: "proof that the escrow accepted" });
  });

  it("is not what a file becomes when the provider names another account to sign for it", async () => {
    const { id = "" } = await fixture.put([objectOf(2)]);
    const own = await exported(id);
    const operators = [1, 2, 3].map(() => Wallet.createRandom());
    const [first, second, stranger] = operators.map(({ address }) => address);
    if (first === undefined || second === undefined || stranger === undefined) throw new Error("no operators");
    await fixture.provider.setOperator(first);
    // What the provider signed itself, and what its operator did.
    const [signed, never] = await Promise.all([
      signedBy(net.deployment, own, id, operators[0]),
      signedBy(net.deployment, own, id, operators[2]),
    ]);
    expect((await check(own, signed, net.chain)).assumed).to.deep.equal([]);
    await fixture.provider.setOperator(second);
    const believed = (signer: string) =>
      `that ${signer} signed while it was the one to sign for the provider, which is now ${second}`;
    expect(await check(own, signed, net.chain)).to.deep.include({ verdict: "intact", assumed: [believed(first)] });
    const { account } = fixture.provider;
    expect((await check(own, own.evidence, net.chain)).assumed).to.deep.equal([believed(account)]);
    // A wrong answer that it signed is its fault as before.
    const lie = await signedBy(net.deployment, own, id, operators[0], randomAnswer(own.evidence));
    expect(await check(own, lie, net.chain)).to.deep.include({ fault: "provider", assumed: [believed(first)] });
    const error = await expectAsyncRejection(() => check(own, never, net.chain), "INVALID_SIGNATURE");
    expect(error.check).to.equal("signature of DataSetUpdate");
    // Offline, whoever signed has to be believed to be the provider's.
    const offline = (await check(own, signed)).assumed;
    expect(offline).to.include(`that ${first} signed for the provider ${account}`);
    expect((await check(own, own.evidence)).assumed).to.deep.equal([
      "that the state which both signed came on chain, and so counted",
    ]);
    // None at all ends it: the provider signs for itself again, and what the operators signed still counts.
    await fixture.provider.setOperator(`0x${"00".repeat(20)}`);
    expect((await check(own, own.evidence, net.chain)).assumed).to.deep.equal([]);
    expect((await check(own, signed, net.chain)).assumed).to.have.length(1);
  });

  it("is not what a file becomes when a contract that signed is replaced, of the newest 16 accounts", async () => {
    const { id = "" } = await fixture.put([objectOf(1)]);
    const own = await exported(id);
    // A wallet that stands by whatever it is asked about: `return 0x1626ba7e`.
    const creation = await send(null, creating("631626ba7e60e01b60005260206000f3"));
    const wallet = (await net.chain.provider.getTransactionReceipt(creation))?.contractAddress ?? "";
    const signed = await signedBy(net.deployment, own, id, Wallet.createRandom());
    await expectAsyncRejection(() => check(own, signed, net.chain), "INVALID_SIGNATURE");
    await fixture.provider.setOperator(wallet);
    expect((await check(own, signed, net.chain)).assumed).to.deep.equal([]);
    const others = Array.from({ length: 16 }, () => Wallet.createRandom().address);
    for (const other of others.slice(1)) await fixture.provider.setOperator(other);
    const { assumed } = await check(own, signed, net.chain);
    expect(assumed).to.have.length(1);
    expect(assumed[0]).to.contain(`that ${wallet} signed while`);
    // Naming one again makes no room, and one more is one too many: a provider can name any number.
    await fixture.provider.setOperator(others[1] ?? "");
    expect((await check(own, signed, net.chain)).assumed).to.have.length(1);
    await fixture.provider.setOperator(others[0] ?? "");
    await expectAsyncRejection(() => check(own, signed, net.chain), "INVALID_SIGNATURE");
  });

  it("is told from what only one party can know", async () => {
    const { id = "" } = await fixture.put([objectOf(2)]);
    const own = await exported(id);
    const { evidence } = own;
    const empty = { ...evidence, answer: { kind: "asked" as const, proof: new Uint8Array(), signature: "0x" } };
    expect(await check(own, empty, net.chain)).to.deep.include({
      verdict: "unproven",
      fault: "provider",
      assumed: ["that the provider was asked for a proof and gave none: only the user says so"],
    });
    // A provider that computes y from the data, and makes up the part that is of the tags.
    const proof = encodeProof({ ...decodeProof(evidence.answer.proof), sigma: encodeG1(generatorG1()) });
    const madeUp = await signedAnswer({ ...evidence, answer: { kind: "asked", proof, signature: "0x" } }, id);
    const found = await check(own, madeUp, net.chain);
    expect(found).to.include({ verdict: "bad-tags", fault: "user", isProofValid: false, isAnswerOfData: true });
    expect(found.assumed).to.have.length(1);
    expect(found.assumed[0]).to.contain("did not make up σ");
    // What the fault hangs on comes before all else.
    const offline = await check(own, empty);
    expect(offline.assumed).to.have.length(2);
    expect(offline.assumed[0]).to.contain("gave none");
  });

  it("is told from a state that both signed and that never came on chain", async () => {
    const { id = "" } = await fixture.put([objectOf(1)]);
    const own = await exported(id);
    expect((await check(own, own.evidence, net.chain)).assumed).to.deep.equal([]);
    const { agreement } = own.evidence;
    if (agreement.kind !== "signed") throw new Error("not signed");
    const later = { ...agreement, version: agreement.version + 1n };
    const typed = stateTypedData(net.deployment, id, later);
    const [userSignature, providerSignature] = await Promise.all([
      fixture.context.account.sign(typed),
      fixture.provider.sign(typed),
    ]);
    const evidence = { ...own.evidence, agreement: { ...later, userSignature, providerSignature } };
    expect(await check(own, evidence, net.chain)).to.deep.include({
      verdict: "intact",
      assumed: ["that the state which both signed counted: it has not come on chain"],
    });
  });

  /** Signed by the provider's own key. */
  async function signedAnswer(evidence: AuditEvidence, id: string): Promise<AuditEvidence> {
    const { answer } = evidence;
    if (answer.kind !== "asked") throw new Error("not asked");
    const signature = await fixture.provider.sign(answerTypedData({ ...evidence, answer }, id));
    return { ...evidence, answer: { ...answer, signature } };
  }
});

const wrong = (proof: AuditProof): AuditProof => ({ ...proof, y: proof.y + 1n });

/** The answer with another y. */
function randomAnswer({ answer }: AuditEvidence): Uint8Array {
  return encodeProof(wrong(decodeProof(answer.proof)));
}

/** The document with an operator's signatures in place of the provider's. */
async function signedBy(
  deployment: Deployment,
  { evidence }: Exported,
  id: string,
  signer: Pick<Wallet, "signTypedData"> | undefined,
  proof = evidence.answer.proof,
): Promise<AuditEvidence> {
  const { agreement } = evidence;
  if (agreement.kind !== "signed" || signer === undefined) throw new Error("not signed");
  const state = stateTypedData(deployment, id, agreement);
  const answer = { kind: "asked" as const, proof, signature: "0x" };
  const typed = answerTypedData({ ...evidence, answer }, id);
  const sign = ({ domain, types, message }: typeof state | typeof typed) =>
    signer.signTypedData(domain, types, { ...message });
  return {
    ...evidence,
    agreement: { ...agreement, providerSignature: await sign(state) },
    answer: { ...answer, signature: await sign(typed) },
  };
}

/** Creates a contract that answers every call by sending these bytes to another one. */
function sendingOn(to: string, data: string): string {
  const bytes = getBytes(data);
  const word = (value: number) => value.toString(16).padStart(4, "0");
  const size = word(bytes.length);
  // codecopy(0, 44, size); call(gas(), to, 0, 0, size, 0, 0); stop()
  const code = `61${size}61${word(44)}6000396000600061${size}60006000`;
  return creating(`${code}73${to.slice(2).toLowerCase()}5af100${data.slice(2)}`);
}

/** Creates a contract. @param runtime its code, hex without 0x */
function creating(runtime: string): string {
  const size = (runtime.length / 2).toString(16).padStart(4, "0");
  // codecopy(0, 12, size); return(0, size)
  return `0x61${size}80600c6000396000f3${runtime}`;
}
