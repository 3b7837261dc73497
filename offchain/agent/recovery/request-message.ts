/** What the wallet or a guardian signs when it does not send its consent itself. Pages have no command that asks. */

import { TypedDataEncoder } from "ethers";
import type { Deployment } from "../../chain/deployment.ts";
import {
  RECOVERY_PATHS,
  type RecoverableSecret,
  type RecoveryRequest,
  recoverySecretId,
} from "../../chain/recovery-policy.ts";
import { recoveryApprovalTypedData, recoveryOpeningTypedData } from "../../core/identity/typed-messages.ts";

/**
 * The message of whoever opens a request, with a deadline, and of a guardian who approves one.
 * @param consent `deadline`: unix seconds up to which the signature can be sent
 * @returns as `eth_signTypedData_v4` takes it
 */
export function requestMessage(
  { chainId, contracts }: Deployment,
  secret: RecoverableSecret,
  request: RecoveryRequest,
  consent: { readonly deadline: bigint } | { readonly guardian: string },
): unknown {
  const named = {
    ...request,
    path: BigInt(RECOVERY_PATHS.indexOf(request.path)),
    secretId: recoverySecretId(secret),
  };
  const { domain, types, message } =
    "guardian" in consent
      ? recoveryApprovalTypedData(BigInt(chainId), contracts.recoveryPolicy, { ...named, ...consent })
      : recoveryOpeningTypedData(BigInt(chainId), contracts.recoveryPolicy, { ...named, ...consent });
  return TypedDataEncoder.getPayload(domain, types, { ...message });
}
