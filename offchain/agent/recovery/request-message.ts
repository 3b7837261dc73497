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
 * The message of whoever opens a request, with a deadline, and of whoever approves one, without.
 * @param deadline unix seconds up to which the signature can be sent
 * @returns as `eth_signTypedData_v4` takes it
 */
export function requestMessage(
  { chainId, contracts }: Deployment,
  secret: RecoverableSecret,
  request: RecoveryRequest,
  deadline?: bigint,
): unknown {
  const named = {
    ...request,
    path: BigInt(RECOVERY_PATHS.indexOf(request.path)),
    secretId: recoverySecretId(secret),
  };
  const { domain, types, message } =
    deadline === undefined
      ? recoveryApprovalTypedData(BigInt(chainId), contracts.recoveryPolicy, named)
      : recoveryOpeningTypedData(BigInt(chainId), contracts.recoveryPolicy, { ...named, deadline });
  return TypedDataEncoder.getPayload(domain, types, { ...message });
}
