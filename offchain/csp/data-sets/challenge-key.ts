/** The key that challenges are sealed to. It derives from the keystore, so all processes of a provider have it. */

import type { Wallet } from "ethers";
import type { ChainReader } from "../../chain/deployment.ts";
import { type HpkeKeyPair, hpkeKeyPairFromSeed } from "../../core/crypto/hpke.ts";
import { kdf } from "../../core/crypto/kdf.ts";
import { type AskedChallenge, openChallenge } from "../../core/data-set/sealed-challenge.ts";
import { fromHex, toHex } from "../../core/encoding/hex.ts";
import { InvalidInputError, TallystickError } from "../../core/errors.ts";
import { challengeKeyTypedData } from "../../core/identity/typed-messages.ts";
import { MAX_AUDIT_SAMPLES } from "../../core/wire/csp.ts";
import type { DataSetOffer } from "../../core/wire/data-sets.ts";
import type { DataSetRow } from "../../store/index/data-set-index.ts";

export class ChallengeKey {
  readonly #pair: HpkeKeyPair;

  /** @param operatorSecret 32 bytes of the keystore */
  constructor(operatorSecret: Uint8Array) {
    this.#pair = hpkeKeyPairFromSeed(kdf(operatorSecret, "csp-challenge"));
  }

  /** What the offer says of it. */
  async offered(
    { deployment }: Pick<ChainReader, "deployment">,
    signer: Wallet,
  ): Promise<Pick<DataSetOffer, "challengeKey" | "challengeKeySignature">> {
    const key = toHex(this.#pair.publicKey);
    const { chainId, contracts } = deployment;
    const typed = challengeKeyTypedData(BigInt(chainId), contracts.storageEscrow, { provider: signer.address, key });
    const challengeKeySignature = await signer.signTypedData(typed.domain, typed.types, { ...typed.message });
    return { challengeKey: key, challengeKeySignature };
  }

  /** @throws InvalidInputError for what is no challenge to this set, or draws too many slices */
  async open({ account, salt }: Pick<DataSetRow, "account" | "salt">, sealedHex: string): Promise<AskedChallenge> {
    const asked = await openChallenge(this.#pair.privateKey, account, salt, fromHex(sealedHex)).catch(refuse);
    const { sampleCount } = asked.challenge;
    if (sampleCount <= MAX_AUDIT_SAMPLES) return asked;
    throw new InvalidInputError("the audit draws too many slices", {
      party: "client",
      check: "sample count",
      expected: `at most ${MAX_AUDIT_SAMPLES}`,
      received: String(sampleCount),
    });
  }
}

/** Opening fails by what the client has sent, never by what is stored here. */
function refuse(cause: unknown): never {
  if (!(cause instanceof TallystickError)) throw cause;
  throw new InvalidInputError(`the challenge cannot be read: ${cause.message}`, {
    party: "client",
    check: cause.check ?? "sealed challenge",
    hint: "seal it to the challengeKey of the newest offer",
    cause,
  });
}
