/** Asks a provider for a possession proof: the challenge is sealed to the key that the provider signs for. */

import type { AuditChallenge } from "../../core/audit/challenge.ts";
import { sealChallenge } from "../../core/data-set/sealed-challenge.ts";
import { fromHex } from "../../core/encoding/hex.ts";
import { challengeKeyTypedData } from "../../core/identity/typed-messages.ts";
import type { AgentContext } from "../context.ts";
import type { AuditAnswer, DataSetKeeper } from "../providers/storage-provider.ts";
import { requireSignedByProvider } from "./account-signatures.ts";

/**
 * @param salt of a set of this account
 * @param isPublic whether anybody shall be able to check the proof
 * @returns the answer, not verified here
 * @throws InvalidSignatureError when the key of the offer is not the provider's; what the provider answers
 */
export async function askProof(
  context: AgentContext,
  provider: DataSetKeeper,
  salt: string,
  challenge: AuditChallenge,
  isPublic: boolean,
): Promise<AuditAnswer> {
  const { deployment, account } = context;
  const { challengeKey: key, challengeKeySignature } = await provider.dataSetOffer();
  const { chainId, contracts } = deployment;
  const typed = challengeKeyTypedData(BigInt(chainId), contracts.storageEscrow, { provider: provider.account, key });
  await requireSignedByProvider(
    await context.chain(),
    provider,
    typed,
    challengeKeySignature,
    "its key for challenges",
  );
  const asked = { challenge, isPublic };
  const sealed = await sealChallenge(fromHex(key), account.address, fromHex(salt, 32, "salt"), asked);
  return await provider.auditDataSet(salt, sealed);
}
