/**
 * A key generation share sealed by an independent implementation (test/vectors/derive-layouts.py) opens with the
 * context of its layout.
 */

import { expect } from "chai";
import { hpkeKeyPairFromSeed, hpkeOpen } from "../../../offchain/core/crypto/hpke.ts";
import { oprfKey } from "../../../offchain/core/dkg/key-id.ts";
import { fromHex, toHex } from "../../../offchain/core/encoding/hex.ts";
import { DKG_SHARE_INFO, dkgShareContext } from "../../../offchain/nbm/dkg/signed-messages.ts";
import vectors from "../../vectors/record-layouts.json" with { type: "json" };

describe("key generation share vector", () => {
  it("opens for its recipient, in the context of its layout", async () => {
    const { chainId, registry, committeeId, generation, from, to, transcript, recipientSeed, share, sealed } =
      vectors.dkgShare;
    const scope = { chainId: BigInt(chainId), registry, key: oprfKey(BigInt(committeeId), generation) };
    const { privateKey } = hpkeKeyPairFromSeed(fromHex(recipientSeed));
    const context = dkgShareContext(scope, from, to, fromHex(transcript));
    expect(toHex(await hpkeOpen(privateKey, DKG_SHARE_INFO, context, fromHex(sealed)))).to.equal(share);
  });
});
