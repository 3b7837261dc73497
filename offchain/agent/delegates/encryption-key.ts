/** What a device signs about the key that its owner seals to. */

import type { Deployment } from "../../chain/deployment.ts";
import {
  type DelegateEncryptionKeyMessage,
  delegateEncryptionKeyTypedData,
  type TypedData,
} from "../../core/identity/typed-messages.ts";

/** @param message more fields than those of the message may be there */
export function encryptionKeyTypedData(
  { chainId, contracts }: Deployment,
  { account, key, encryptionKey }: DelegateEncryptionKeyMessage,
): TypedData<DelegateEncryptionKeyMessage> {
  return delegateEncryptionKeyTypedData(BigInt(chainId), contracts.accountDirectory, { account, key, encryptionKey });
}
