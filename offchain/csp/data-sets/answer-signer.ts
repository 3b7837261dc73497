/** Signs answers to private challenges, so that the provider cannot deny them later. */

import { keccak256, type Wallet } from "ethers";
import type { ChainReader } from "../../chain/deployment.ts";
import { type AuditChallenge, challengeId } from "../../core/audit/challenge.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { auditAnswerTypedData } from "../../core/identity/typed-messages.ts";
import type { DataSetRow } from "../../store/index/data-set-index.ts";

export class AnswerSigner {
  readonly #chain: Pick<ChainReader, "deployment">;
  readonly #signer: Pick<Wallet, "signTypedData">;

  constructor(chain: Pick<ChainReader, "deployment">, signer: Pick<Wallet, "signTypedData">) {
    this.#chain = chain;
    this.#signer = signer;
  }

  /** @param proof encoded @returns undefined for a set without an id, which nothing can be said about on chain */
  async sign(
    { agreed }: Pick<DataSetRow, "agreed">,
    challenge: AuditChallenge,
    proof: Uint8Array,
  ): Promise<string | undefined> {
    if (agreed === undefined) return undefined;
    const { chainId, contracts } = this.#chain.deployment;
    const typed = auditAnswerTypedData(BigInt(chainId), contracts.storageEscrow, {
      dataSetId: agreed.id,
      challengeId: toHex(challengeId(challenge)),
      proofHash: keccak256(proof),
    });
    return await this.#signer.signTypedData(typed.domain, typed.types, { ...typed.message });
  }
}
