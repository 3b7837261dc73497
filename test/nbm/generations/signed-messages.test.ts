import { expect } from "chai";
import { TypedDataEncoder, Wallet } from "ethers";
import { fromHex } from "../../../offchain/core/encoding/hex.ts";
import { InvalidSignatureError } from "../../../offchain/core/errors.ts";
import {
  checkMessage,
  KIND_CODES,
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
  const typed = runMessage(scope, generation, dealing, bytes);

  it("are signed over the digests of the vectors, which an independent implementation made", () => {
    for (const kind of ["announcement", "dealing", "complaint"] as const) {
      const { domain, types, message } = runMessage(scope, generation, { kind, sender }, bytes);
      expect(TypedDataEncoder.hash(domain, types, { ...message })).to.equal(vectors.digests[kind]);
    }
    expect(Object.keys(KIND_CODES)).to.deep.equal(Object.keys(vectors.digests));
  });

  it("do not pass for those of another chain, registry, committee, generation, kind, sender or content", async () => {
    const signature = await signMessage(wallet, typed);
    checkMessage(wallet.address, dealing, typed, signature);
    const others = [
      runMessage({ ...scope, chainId: 1n }, generation, dealing, bytes),
      runMessage({ ...scope, registry: wallet.address }, generation, dealing, bytes),
      runMessage({ ...scope, committeeId: 259n }, generation, dealing, bytes),
      runMessage(scope, generation + 1, dealing, bytes),
      runMessage(scope, generation, { ...dealing, kind: "complaint" }, bytes),
      runMessage(scope, generation, { ...dealing, sender: sender + 1 }, bytes),
      runMessage(scope, generation, dealing, bytes.slice(1)),
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
