import { readFileSync } from "node:fs";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { expect } from "chai";
import { TypedDataEncoder, Wallet } from "ethers";
import { oprfKey } from "../../../offchain/core/dkg/key-id.ts";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import { InvalidSignatureError } from "../../../offchain/core/errors.ts";
import {
  checkMessage,
  dkgShareContext,
  round1Message,
  round2Message,
  round2RequestMessage,
  signMessage,
} from "../../../offchain/nbm/dkg/signed-messages.ts";

interface Vectors {
  chainId: string;
  registry: string;
  committeeId: string;
  generation: number;
  signingKey: string;
  operator: string;
  round1: { index: number; broadcast: string; digest: string; signature: string };
  round2: {
    from: number;
    to: number;
    transcript: string;
    sealed: string;
    context: string;
    digest: string;
    signature: string;
  };
  round2Request: { from: number; to: number; expiresAt: number; digest: string; signature: string };
}

const vectors = JSON.parse(
  readFileSync(new URL("../../vectors/dkg-messages.json", import.meta.url), "utf8"),
) as Vectors;

/** EIP-712 written out by hand, without a chain library: the oracle. */
function word(value: bigint | string): Uint8Array {
  return typeof value === "bigint" ? fromHex(`0x${value.toString(16).padStart(64, "0")}`) : fromHex(value);
}
const address = (text: string) => concatBytes(new Uint8Array(12), fromHex(text));
const hashText = (text: string) => keccak_256(utf8ToBytes(text));

function digest(structHash: Uint8Array): string {
  const domain = keccak_256(
    concatBytes(
      hashText("EIP712Domain(string name,string version,uint256 chainId)"),
      hashText("Tallystick"),
      hashText("1"),
      word(BigInt(vectors.chainId)),
    ),
  );
  return toHex(keccak_256(concatBytes(fromHex("0x1901"), domain, structHash)));
}

const scope = {
  chainId: BigInt(vectors.chainId),
  registry: vectors.registry,
  key: oprfKey(BigInt(vectors.committeeId), vectors.generation),
};

describe("key generation messages", () => {
  const { round1, round2, round2Request } = vectors;
  const first = round1Message(scope, round1.index, fromHex(round1.broadcast));
  const second = round2Message(scope, {
    from: round2.from,
    to: round2.to,
    transcript: fromHex(round2.transcript),
    sealed: fromHex(round2.sealed),
  });
  const request = round2RequestMessage(scope, round2Request);
  const digestOf = (typed: typeof first) => TypedDataEncoder.hash(typed.domain, typed.types, { ...typed.message });

  it("are signed over the digests of the vectors, which EIP-712 by hand gives too", () => {
    const keyByHand = concatBytes(
      address(vectors.registry),
      word(BigInt(vectors.committeeId)),
      word(BigInt(vectors.generation)),
      word(1n),
    );
    const KEY = "address registry,uint64 committeeId,uint32 generation,uint8 purpose";
    const firstByHand = keccak_256(
      concatBytes(
        hashText(`DkgRound1(${KEY},uint16 index,bytes32 broadcastHash)`),
        keyByHand,
        word(BigInt(round1.index)),
        keccak_256(fromHex(round1.broadcast)),
      ),
    );
    const secondByHand = keccak_256(
      concatBytes(
        hashText(`DkgRound2(${KEY},uint16 from,uint16 to,bytes32 transcript,bytes32 sealedHash)`),
        keyByHand,
        word(BigInt(round2.from)),
        word(BigInt(round2.to)),
        word(round2.transcript),
        keccak_256(fromHex(round2.sealed)),
      ),
    );
    const requestByHand = keccak_256(
      concatBytes(
        hashText(`DkgRound2Request(${KEY},uint16 from,uint16 to,uint64 expiresAt)`),
        keyByHand,
        word(BigInt(round2Request.from)),
        word(BigInt(round2Request.to)),
        word(BigInt(round2Request.expiresAt)),
      ),
    );
    expect(digestOf(request)).to.equal(round2Request.digest);
    expect(digest(requestByHand)).to.equal(round2Request.digest);
    expect(digestOf(first)).to.equal(round1.digest);
    expect(digest(firstByHand)).to.equal(round1.digest);
    expect(digestOf(second)).to.equal(round2.digest);
    expect(digest(secondByHand)).to.equal(round2.digest);
  });

  it("carry signatures of the operator key as in the vectors", async () => {
    const wallet = new Wallet(vectors.signingKey);
    expect(wallet.address).to.equal(vectors.operator);
    expect(await signMessage(wallet, first)).to.equal(round1.signature);
    expect(await signMessage(wallet, second)).to.equal(round2.signature);
    expect(await signMessage(wallet, request)).to.equal(round2Request.signature);
    checkMessage(vectors.operator, round1.index, first, round1.signature);
    checkMessage(vectors.operator, round2.from, second, round2.signature);
  });

  it("bind shares to deployment, key, sender, recipient and transcript in the layout of the vectors", () => {
    const transcript = fromHex(round2.transcript);
    const byHand = concatBytes(
      word(scope.chainId).slice(24),
      fromHex(vectors.registry),
      word(BigInt(vectors.committeeId)).slice(24),
      word(BigInt(vectors.generation)).slice(28),
      Uint8Array.of(1),
      word(BigInt(round2.from)).slice(30),
      word(BigInt(round2.to)).slice(30),
      transcript,
    );
    expect(toHex(byHand)).to.equal(round2.context);
    expect(toHex(dkgShareContext(scope, round2.from, round2.to, transcript))).to.equal(round2.context);
  });

  it("do not pass for those of another chain, registry, committee, generation, round or member", () => {
    const broadcast = fromHex(round1.broadcast);
    const others = [
      round1Message({ ...scope, chainId: 1n }, round1.index, broadcast),
      round1Message({ ...scope, registry: vectors.operator }, round1.index, broadcast),
      round1Message({ ...scope, key: { ...scope.key, committeeId: 259n } }, round1.index, broadcast),
      round1Message({ ...scope, key: { ...scope.key, generation: 2 } }, round1.index, broadcast),
      round1Message(scope, round1.index + 1, broadcast),
      round1Message(scope, round1.index, broadcast.slice(1)),
      second,
    ];
    for (const other of others) {
      expect(() => checkMessage(vectors.operator, 1, other, round1.signature)).to.throw(InvalidSignatureError);
    }
    expect(() => checkMessage(vectors.registry, 1, first, round1.signature)).to.throw(InvalidSignatureError);
    for (const malformed of ["0x", `0x${"00".repeat(65)}`, `0x${"ff".repeat(65)}`]) {
      expect(() => checkMessage(vectors.operator, 1, first, malformed)).to.throw(InvalidSignatureError);
    }
  });
});
