import { expect } from "chai";
import { TypedDataEncoder, Wallet } from "ethers";
import { fromHex } from "../../../offchain/core/encoding/hex.ts";
import { InvalidSignatureError } from "../../../offchain/core/errors.ts";
import { partiesHash, type RunParties } from "../../../offchain/nbm/generations/run-parties.ts";
import {
  checkMessage,
  KIND_CODES,
  messageId,
  type RunMessageName,
  runMessage,
  signMessage,
} from "../../../offchain/nbm/generations/signed-messages.ts";
import vectors from "../../vectors/run-messages.json" with { type: "json" };

describe("messages of a run", () => {
  const wallet = new Wallet(`0x${"11".repeat(32)}`);
  const { generation, sender } = vectors;
  const scope = {
    chainId: BigInt(vectors.chainId),
    registry: vectors.registry,
    committeeId: BigInt(vectors.committeeId),
  };
  const bytes = fromHex(vectors.message);
  const dealing: RunMessageName = { kind: "dealing", sender };
  const membersOf = (operators: readonly string[]) =>
    operators.map((operator, at) => ({
      index: at + 1,
      operator,
      url: "",
      hpkePublicKey: new Uint8Array(),
      stakeWei: 1n,
      exitAt: 0,
    }));
  const list = (operators = vectors.members, dealers = vectors.dealers, facts: object = {}): RunParties => ({
    run: { scope, generation, from: vectors.from, threshold: vectors.threshold, ...facts } as RunParties["run"],
    members: membersOf(operators),
    dealers: membersOf(dealers),
  });
  const parties = list();
  const typed = runMessage(parties, dealing, bytes);

  it("are signed over the digests of the vectors, which an independent implementation made", () => {
    for (const kind of ["announcement", "dealing", "complaint"] as const) {
      const { domain, types, message } = runMessage(parties, { kind, sender }, bytes);
      expect(TypedDataEncoder.hash(domain, types, { ...message })).to.equal(vectors.digests[kind]);
    }
    expect(partiesHash(parties)).to.equal(vectors.partiesHash);
    expect(messageId(dealing, bytes)).to.equal(vectors.dealingId);
    expect(Object.keys(KIND_CODES)).to.deep.equal(Object.keys(vectors.digests));
  });

  it("do not pass for those of another chain, registry, run, kind, sender or content", async () => {
    const signature = await signMessage(wallet, typed);
    checkMessage(wallet.address, dealing, typed, signature);
    const others = [
      ...[
        { scope: { ...scope, chainId: 1n } },
        { scope: { ...scope, registry: wallet.address } },
        { scope: { ...scope, committeeId: 259n } },
        { generation: generation + 1 },
        { from: vectors.from + 1 },
        { threshold: vectors.threshold + 1 },
      ].map((facts) => runMessage(list(vectors.members, vectors.dealers, facts), dealing, bytes)),
      runMessage(list(vectors.members.toReversed()), dealing, bytes),
      runMessage(list(vectors.members, vectors.dealers.slice(1)), dealing, bytes),
      runMessage(parties, { ...dealing, kind: "complaint" }, bytes),
      runMessage(parties, { ...dealing, sender: sender + 1 }, bytes),
      runMessage(parties, dealing, bytes.slice(1)),
    ];
    for (const other of others) {
      expect(() => checkMessage(wallet.address, dealing, other, signature)).to.throw(InvalidSignatureError, "dealer 5");
    }
    expect(() => checkMessage(vectors.registry, dealing, typed, signature)).to.throw(InvalidSignatureError);
    for (const malformed of ["0x", `0x${"00".repeat(65)}`, `0x${"ff".repeat(65)}`]) {
      expect(() => checkMessage(wallet.address, dealing, typed, malformed)).to.throw(InvalidSignatureError);
    }
  });
});
