/** The keys that the shares of a new record are sealed to, as the registry lists them now. */

import { randomBytes } from "#primitives";
import type { Committee } from "../../chain/registry.ts";
import { hpkeKeyPairFromSeed, hpkeSeal } from "../../core/crypto/hpke.ts";
import { InvalidPointError, TallystickError } from "../../core/errors.ts";
import { type AgentLogger, SILENT } from "../progress.ts";

/**
 * Keys to seal the committee's shares to. A member that has withdrawn, or registered a key that nothing can be sealed
 * to, must not prevent new records: its share is sealed to a random key that nobody has, as if the node were down for
 * good.
 *
 * @throws TallystickError CONFLICT when fewer than k members are left
 */
export async function sealableKeys(committee: Committee, logger: AgentLogger = SILENT): Promise<Uint8Array[]> {
  const nothing = new Uint8Array(0);
  const keys: Uint8Array[] = [];
  const without: string[] = [];
  for (const { index, operator, hpkePublicKey } of committee.members) {
    try {
      await hpkeSeal(hpkePublicKey, nothing, nothing, nothing);
      keys.push(hpkePublicKey);
    } catch (error) {
      if (!(error instanceof InvalidPointError)) throw error;
      without.push(`member ${index} (${operator})`);
      keys.push(hpkeKeyPairFromSeed(randomBytes(32)).publicKey);
    }
  }
  if (committee.size - without.length < committee.threshold) throw tooFewKeys(committee, without);
  if (without.length > 0) {
    logger.warn(
      { members: without },
      `${without.join(", ")} of committee ${committee.id} cannot hold a share; the key is recorded without it`,
    );
  }
  return keys;
}

function tooFewKeys(committee: Committee, without: readonly string[]): TallystickError {
  return new TallystickError(`committee ${committee.id} has too few members left to take new keys`, {
    code: "CONFLICT",
    party: `committee ${committee.id}`,
    check: "registered keys of the members",
    expected: `${committee.threshold} members that a share can be sealed to`,
    received: `withdrawn, or registered with a key of no use: ${without.join(", ")}`,
    hint: "name another committee in the deployment file, or seal the key to yourself",
  });
}
