/** Answers to the challenges of a claim, from the bytes of the claimed objects. */
import { challengeAnswer, positionCount } from "../../core/crypto/ownership-challenge.ts";
import { ADDRESS_BYTES } from "../../core/encoding/address.ts";
import { fromHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import type { SealedObject } from "../../core/recipe/tree.ts";
import type { ClaimAnswer } from "../../core/wire/csp.ts";

/** The provider that challenges. */
interface Challenger {
  readonly name: string;
  readonly account: string;
}

/**
 * @param objects in the order of the claim
 * @throws TallystickError BAD_RESPONSE for challenges that do not fit what was claimed
 */
export function answerChallenges(
  challenger: Challenger,
  objects: readonly SealedObject[],
  challenges: ClaimAnswer["challenges"],
): Uint8Array[] {
  const provider = fromHex(challenger.account, ADDRESS_BYTES, "account of the provider");
  if (challenges.length !== objects.length) {
    throw badChallenge(challenger, `${objects.length} challenges`, `${challenges.length} challenges`);
  }
  return objects.map(({ sealed }, k) => {
    const { nonce = "0x", positions = [] } = challenges[k] ?? {};
    try {
      return challengeAnswer(provider, fromHex(nonce, undefined, "nonce"), sealed, positions);
    } catch {
      const expected = `${positionCount(sealed.length)} places inside an object of ${sealed.length} bytes`;
      throw badChallenge(challenger, expected, `positions ${positions.join(", ")}`);
    }
  });
}

function badChallenge({ name }: Challenger, expected: string, received: string): TallystickError {
  return new TallystickError(`${name} challenged what was not claimed`, {
    code: "BAD_RESPONSE",
    party: name,
    check: "ownership challenge",
    expected,
    received,
  });
}
