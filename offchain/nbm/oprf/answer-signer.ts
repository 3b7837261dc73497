/**
 * Signs answers with the operator key. One signature covers a batch, because the proof's composites depend on all of
 * it; it takes about a millisecond, where a full batch takes some hundred.
 */

import { TypedDataEncoder, type Wallet } from "ethers";
import type { Deployment } from "../../chain/deployment.ts";
import { type OprfAnswerMessage, oprfAnswerTypedData } from "../../core/identity/typed-messages.ts";

/** @returns a function that gives 65 bytes, 0x hex; synchronous, as the evaluation is */
export function answerSigner(
  { chainId, contracts }: Pick<Deployment, "chainId" | "contracts">,
  wallet: Pick<Wallet, "signingKey">,
): (answer: OprfAnswerMessage) => string {
  return (answer) => {
    const { domain, types, message } = oprfAnswerTypedData(BigInt(chainId), contracts.nodeRegistry, answer);
    return wallet.signingKey.sign(TypedDataEncoder.hash(domain, types, { ...message })).serialized;
  };
}
